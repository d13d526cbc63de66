"""How many cores a process may use: what the machine has, less what the system keeps from it.

A container's limit is a quota of CPU time in a file of its control group.  joblib and loky can read it, but importing
them takes 0.15 s where the whole of fastbp takes 0.5, and people who train with `Sequential` do not need them.
"""

import os
from functools import cache
from pathlib import Path

PROC, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Return the number of cores this process may use, by its affinity and by its container's quota of CPU time."""
    quota = cgroup_quota()
    return _allowed_cores() if quota is None else max(min(_allowed_cores(), quota), 1)


def _allowed_cores():
    """Return the number of cores of the affinity mask."""
    # From Python 3.13 on, which lets users say less (-X cpu_count).
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def cgroup_quota(proc=PROC, root=CGROUPS):
    """Return the cores whose time a control group of this process may use at most, rounded up; None: no limit.

    Parameters
    ----------
    proc : path
        Lists the process's groups, a line each: ``number:controllers:path``.
    root : path
        Where groups are folders: of version 2 from here on, of version 1 below a folder ``cpu``.

    Examples
    --------
    >>> import fastbp.engine.cores
    >>> fastbp.engine.cores.cgroup_quota("/no/such/file") is None
    True
    """
    try:
        lines = [line.split(":", 2) for line in Path(proc).read_text().splitlines()]
    except (OSError, UnicodeDecodeError):
        return None
    quotas = [_quota_of(Path(root), *line[1:]) for line in lines if len(line) == 3]
    cores = [-(-quota // period) for quota, period in filter(None, quotas)]
    return max(min(cores), 1) if cores else None


def _quota_of(root, controllers, path):
    """Return the smallest quota and its period of a group and those around it, or None."""
    if not controllers:
        read, mounts = _read_v2, [root, root / "unified"]
    elif "cpu" in controllers.split(","):
        read, mounts = _read_v1, [root / controllers, root / "cpu"]
    else:
        return None
    found = [read(folder) for mount in mounts for folder in _folders(mount, path)]
    return min(filter(None, found), key=lambda limit: limit[0] / limit[1], default=None)


def _folders(mount, path):
    """Return the folders of a group and of all around it; in a container, the mount itself is the group."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return [mount.joinpath(*parts[:i]) for i in range(len(parts) + 1)]


def _read_v2(folder):
    """Return (quota, period) in microseconds from ``cpu.max``: "200000 100000", or "max 100000"."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return _limit(int(quota), int(period))
    except (OSError, ValueError):
        return None


def _read_v1(folder):
    """Return (quota, period) in microseconds from two files; a quota of -1 is no limit."""
    try:
        return _limit(*(int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period")))
    except (OSError, ValueError):
        return None


def _limit(quota, period):
    return (quota, period) if quota > 0 and period > 0 else None
