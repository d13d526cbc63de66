"""The folder of compiled kernels.  Files in it are code that runs, so its owner is checked.  Old files are removed.

A file begins with a digest of its own name and of its content.  A file that is damaged, or has another kernel's name,
does not count.
"""

import contextlib
import hashlib
import os
import re
import stat
import sys
import time
from pathlib import Path

from fastbp.io.files import ENDING

_DAY = 24 * 3600
# Times of use are noted once in so many days: in a day's processes no load writes anything.
_NOTED_DAYS = 7
# Files that no process used for so long are removed, and the oldest ones of more than so many bytes.
_KEPT_DAYS, _KEPT_BYTES = 60, 2_000_000_000
_OF_A_COMPILER = re.compile("[0-9a-f]{20}")
_ROOT = 0
_DIGEST_SIZE = hashlib.sha256().digest_size


class UnsafeFolderError(Exception):
    """A folder or a file in which others could have put code of theirs."""


def cache_dir():
    """The folder of compiled kernels: FASTBP_CACHE_DIR, or the platform's user cache folder."""
    if folder := os.environ.get("FASTBP_CACHE_DIR"):
        return Path(folder).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fastbp"


def told_folder() -> str:
    """Return the cache folder as users are told of it, with the reason where nothing is kept in it."""
    try:
        folder = cache_dir()
    except RuntimeError:  # a user whom the system does not know, as in containers that run as any number
        return "none, because there is no home folder: set FASTBP_CACHE_DIR to a writable one"
    try:
        _check_cache_folder(folder)
        there = folder
    except FileNotFoundError:  # made when it is needed
        there = next(outer for outer in folder.absolute().parents if outer.exists())
    except (UnsafeFolderError, OSError) as error:
        return f"{folder} is not used: {error}"
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return str(folder) if writable else f"{folder}, to which nothing can be written: what is compiled is not kept"


def make_folder(path: Path) -> None:
    """Make a folder of kernels, and the cache folder that it stands in, for this user alone.

    Raises
    ------
    UnsafeFolderError
        As `check_folder` does; then nothing is made in the cache folder.
    """
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    _check_cache_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    _check_owner(path, os.stat(path))


def kept_sizes() -> list[int]:
    """Return the bytes of each kernel in the cache folder."""
    try:
        return [path.stat().st_size for path in cache_dir().glob("*/*.kernel")]
    except (OSError, RuntimeError):
        return []


def check_folder(path: Path) -> None:
    """Raise UnsafeFolderError where others can write to a folder of kernels or to the one that it stands in.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder.
    """
    _check_cache_folder(path.parent)
    _check_owner(path, os.stat(path))


def _check_cache_folder(path):
    """Raise UnsafeFolderError where others can put a folder of theirs in the place of one of ours.

    They cannot in a folder that they may write to but not rename others' entries in (/tmp).
    """
    status = os.stat(path)
    if not status.st_mode & stat.S_ISVTX:
        _check_owner(path, status)


def _check_owner(path, status):
    """Raise UnsafeFolderError unless a thing is the user's or root's, and nobody else may write to it."""
    if not hasattr(os, "geteuid"):
        return
    if status.st_uid not in (os.geteuid(), _ROOT):
        raise UnsafeFolderError(f"{path} belongs to another user (uid {status.st_uid})")
    if status.st_mode & 0o022:
        raise UnsafeFolderError(f"others may write to {path}: chmod go-w {path}")


def read_kernel(path: Path) -> bytes | None:
    """Return what `write_kernel` wrote, or None where the file is damaged.

    Raises
    ------
    OSError
        Where there is no file to read.
    UnsafeFolderError
        Where others can write to it, or to its folder.
    """
    check_folder(path.parent)
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        _check_owner(path, status)
        content = file.read()
    if time.time() - status.st_mtime > _NOTED_DAYS * _DAY:
        with contextlib.suppress(OSError):
            os.utime(path)
    payload = content[_DIGEST_SIZE:]
    return payload if content[:_DIGEST_SIZE] == _digest(path, payload) else None


def kernel_content(path: Path, payload: bytes) -> bytes:
    """Return the bytes of a kernel's file at `path`."""
    return _digest(path, payload) + payload


def _digest(path, payload):
    return hashlib.sha256(path.name.encode() + payload).digest()


def prune(folder: Path) -> None:
    """Remove what no process has used for long from a cache folder: kernels, temporary files, empty folders."""
    with contextlib.suppress(OSError):
        inner = [path for path in folder.iterdir() if _OF_A_COMPILER.fullmatch(path.name)]
        kernels = _with_status(path for one in inner for path in [*one.glob("*.kernel"), *one.glob(f".*{ENDING}")])
        total, now = 0, time.time()
        for status, path in sorted(kernels, key=lambda pair: pair[0].st_mtime, reverse=True):
            total += status.st_size
            if now - status.st_mtime > (_DAY if path.suffix == ENDING else _KEPT_DAYS * _DAY) or total > _KEPT_BYTES:
                path.unlink(missing_ok=True)
        for status, path in _with_status(inner):
            if now - status.st_mtime > _DAY and not any(path.iterdir()):
                path.rmdir()


def _with_status(paths):
    """Return (status, path) of those that are there."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            found.append((path.stat(), path))
    return found
