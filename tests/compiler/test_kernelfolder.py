"""What users are told of the cache folder, wherever it is; a package in an archive."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import fastbp
from fastbp.commands.main import main
from fastbp.compiler.kernelfolder import UnsafeFolderError, kept_sizes, make_folder, told_folder
from fastbp.compiler.levels import named_level, runnable_levels

POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX modes")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where the cache folder is to be; nothing is there."""
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_folder_of_ones_own_is_told_as_it_is(place):
    assert told_folder() == str(place)
    make_folder(place / ("0" * 20))
    assert told_folder() == str(place)
    assert kept_sizes() == []


@POSIX
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda place: (place.mkdir(), place.chmod(0o777)), "is not used: others may write to .*chmod go-w"),
        (lambda place: place.touch(), "nothing can be written"),
        (lambda place: place.symlink_to("/dev/null/nobody"), "is not used: .*Not a directory"),
    ],
    ids=["writable by others", "a file", "a link into nothing"],
)
def test_a_folder_that_is_not_used_is_told_with_the_reason(place, make, told, capsys):
    make(place)
    assert main(["info"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("cache folder"))
    assert re.search(told, line)


@POSIX
def test_in_a_folder_of_others_not_even_a_folder_is_made(place):
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(UnsafeFolderError):
        make_folder(place / "inner")
    assert list(place.iterdir()) == []


def test_a_user_without_a_home_is_told_what_to_do(monkeypatch, capsys):
    """As in a container that runs as a number that its system does not know."""
    for name in ("FASTBP_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    assert main(["info"]) == 0
    assert "no home folder: set FASTBP_CACHE_DIR" in capsys.readouterr().out
    assert kept_sizes() == []


IN_AN_ARCHIVE = """
import numpy as np
from fastbp.compiler import library
from fastbp.custom import kernel
assert library.library().refused == ()
import own
x = np.ones(2)
own.double(x)
print(x.sum())
"""
OWN = """
from fastbp.custom import kernel

@kernel
def double(x):
    for i in range(x.size):
        x[i] *= 2.0
"""


def test_a_package_in_an_archive_says_once_that_nothing_is_kept(tmp_path):
    """Its library cannot be read there, which is no damage."""
    package = Path(fastbp.__file__).parent
    with zipfile.ZipFile(tmp_path / "fastbp.zip", "w") as archive:
        for path in package.rglob("*.py"):
            archive.write(path, path.relative_to(package.parent))
    (tmp_path / "own.py").write_text(OWN)
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path / 'fastbp.zip'}{os.pathsep}{tmp_path}",
        "FASTBP_CACHE_DIR": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-c", IN_AN_ARCHIVE], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "4.0\n", done.stderr
    assert done.stderr.count("Warning: ") == 1
    assert "cannot read its own files" in done.stderr


@pytest.mark.skipif(not runnable_levels(), reason="this machine's CPU has no level")
def test_blanks_around_a_level_do_not_count(monkeypatch):
    monkeypatch.setenv("FASTBP_KERNELS", f" {runnable_levels()[0].upper()} ")
    assert named_level().name == runnable_levels()[0]
