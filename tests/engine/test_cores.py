"""How many cores there are: affinity, and the quotas of control groups in folders made here."""

import os

import pytest

from fastbp.engine import cores

V1 = {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}


def group(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def quota(tmp_path, lines):
    listed = tmp_path / "cgroup"
    listed.write_text("".join(f"{line}\n" for line in lines))
    return cores.cgroup_quota.__wrapped__(listed, tmp_path / "fs")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("200000 100000", 2),  # docker run --cpus=2
        ("150000 100000", 2),  # 1.5 cores keep two threads busy
        ("50000 100000", 1),  # half a core: two threads would only wait for each other
        ("max 100000", None),
        ("0 100000", None),
        ("200000", None),
        ("", None),
        ("many much", None),
    ],
)
def test_version_2_in_a_container(tmp_path, limit, expected):
    """The group's folder is the mount itself, and its path is "/"."""
    group(tmp_path / "fs", cpu__max=limit)
    assert quota(tmp_path, ["0::/"]) == expected


def test_version_2_outside_a_container(tmp_path):
    """The smallest of a group's limit and those of the groups around it."""
    group(tmp_path / "fs" / "user.slice" / "job", cpu__max="800000 100000")
    group(tmp_path / "fs" / "user.slice", cpu__max="30000 10000")
    group(tmp_path / "fs" / "other", cpu__max="10000 10000")
    assert quota(tmp_path, ["0::/user.slice/job"]) == 3
    assert quota(tmp_path, ["0::/user.slice"]) == 3
    assert quota(tmp_path, ["0::/none"]) is None


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize(("limit", "expected"), [("400000", 4), ("-1", None), ("1", 1), ("what", None)])
def test_version_1(tmp_path, mount, limit, expected):
    files = V1 | {"cpu.cfs_quota_us": limit}
    lines = ["12:memory:/docker/1", "3:cpu,cpuacct:/docker/1", "1:name=systemd:/docker/1"]
    group(tmp_path / "fs" / mount / "docker" / "1", **files)
    assert quota(tmp_path, lines) == expected
    assert quota(tmp_path, lines[:1]) is None


def test_version_1_in_a_container(tmp_path):
    """The path is the host's; the mount is the group."""
    group(tmp_path / "fs" / "cpu", **V1 | {"cpu.cfs_quota_us": "250000"})
    assert quota(tmp_path, ["3:cpu,cpuacct:/docker/0123"]) == 3


def test_both_versions_at_once(tmp_path):
    group(tmp_path / "fs" / "unified" / "a", cpu__max="700000 100000")
    group(tmp_path / "fs" / "cpu" / "b", **V1 | {"cpu.cfs_quota_us": "300000"})
    assert quota(tmp_path, ["0::/a", "2:cpu:/b"]) == 3
    assert quota(tmp_path, ["0::/a", "2:cpu:/c"]) == 7


@pytest.mark.parametrize("lines", [[], ["nonsense"], ["0::/../../etc"], [":::"]])
def test_no_limit_is_found(tmp_path, lines):
    assert quota(tmp_path, lines) is None
    assert cores.cgroup_quota(tmp_path / "absent", tmp_path) is None


@pytest.mark.parametrize(("limit", "expected"), [(None, 8), (2, 2), (64, 8), (1, 1)])
def test_the_smaller_of_affinity_and_quota(monkeypatch, limit, expected):
    monkeypatch.setattr(os, "process_cpu_count", lambda: 8, raising=False)
    monkeypatch.setattr(cores, "cgroup_quota", lambda: limit)
    assert cores.available_cores() == expected


def test_the_affinity_counts(monkeypatch):
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda who: {1, 5, 6}, raising=False)
    monkeypatch.setattr(cores, "cgroup_quota", lambda: None)
    assert cores.available_cores() == 3
