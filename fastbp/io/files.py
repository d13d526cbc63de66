"""Writing a file whole or not at all: this module writes all of fastbp's files.

A temporary file beside the target is renamed onto it, so that readers see the old file or the new one.  A symbolic link
goes on pointing to the target, whose mode and, where the system allows it, owner and group are kept.  Other hard links
keep the old content, because a rename gives the new file this one name.

A killed process leaves its temporary file behind.  The process held a lock on it, and locks end with their process, in
other containers too.  So the next process that writes the same target removes the temporary files that nobody locks.
"""

import errno
import hashlib
import os
import secrets
import stat
import sys
import time
from functools import partial
from pathlib import Path

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows, where an open file cannot be removed
    flock = None  # type: ignore[assignment]

# On systems without locks, nobody is thought to write a temporary file of this age (in seconds) any more.
OLD = 3600.0
ENDING = ".fastbp-tmp"
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# "Standard output", and what programs call it.
STDOUT = ("-", "/dev/stdout")


def replace_file(path: str | Path, content: bytes, *, durable: bool = False, mode: int = 0o666) -> None:
    """Give a file new content; readers see the old one or the new one.

    Parameters
    ----------
    path : str or path
        A regular file or a link to one, or nothing yet, in a folder that exists.
    content : bytes
    durable : bool, default False
        Wait until it is on the disk before renaming, so that a power cut leaves one of the two as well.
    mode : int, default 0o666
        The mode of a new file, less the bits of the process's umask.

    Raises
    ------
    OSError
        Where there is no such folder, the path is something else than a file, or the file may not be written.
    """
    target, old = writable(path)
    start = _temporary_start(target)
    _remove_stale(target.parent, start)
    temporary = None
    try:
        temporary, file = _new_temporary(target.parent, start, mode if old is None else 0o600)
        with file:
            file.write(content)
            if old is not None:
                _keep_owner_and_mode(file.fileno(), old)
            file.flush()
            if durable:
                os.fsync(file.fileno())
            if flock is not None:  # the lock ends where the file is closed
                os.replace(temporary, target)
        if flock is None:
            os.replace(temporary, target)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from error
        raise


def write_out(path: str, content: bytes) -> None:
    """Write to a file as `replace_file` does; to standard output ("-"), a pipe or a device as a shell would.

    Parameters
    ----------
    path : str
    content : bytes
    """
    if path in STDOUT:
        sys.stdout.write(content.decode())
    elif is_stream(path):
        with open(path, "wb") as stream:
            stream.write(content)
    else:
        replace_file(path, content)


def is_stream(path: str | Path) -> bool:
    """Is it standard output, a pipe, a socket or a device, to which one writes without replacing anything?"""
    # A shell's ">(...)" and file descriptors have paths below /dev or /proc, whatever they point to.
    if str(path) in STDOUT or str(path).startswith(("/dev/fd/", "/dev/std", "/proc/")):
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def writable(path: str | Path):
    """Return where a file is (links followed), and its `os.stat` or None, or raise OSError where it cannot be written.

    Parameters
    ----------
    path : str or path
    """
    named_as_folder, path = os.fspath(path).endswith(os.sep), Path(path)
    try:
        target = Path(os.path.realpath(path))
        old = os.stat(target)
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise FileNotFoundError(f"cannot save {path}: there is no folder {target.parent}.") from None
        if named_as_folder:
            raise IsADirectoryError(errno.EISDIR, f"cannot save {path}{os.sep}: give the file a name") from None
        return target, None
    except OSError as error:
        raise OSError(error.errno, f"cannot save {path}: {error.strerror}") from None
    if not stat.S_ISREG(old.st_mode):
        what = KINDS.get(stat.S_IFMT(old.st_mode), "no regular file")
        kind = IsADirectoryError if stat.S_ISDIR(old.st_mode) else OSError
        raise kind(errno.EINVAL, f"cannot save {path}: it is {what}, not a file")
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, f"cannot save {path}: it is write-protected")
    return target, old


def open_to_read(path: str | Path, what: str):
    """Open a regular file for reading, or raise an OSError that says why that cannot be done.

    Parameters
    ----------
    path : str or path
    what : str
        Such as "model file", for messages.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            return open(path, "rb")
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(errno.ENOENT, f"there is no {what} {path}") from None
    except OSError as error:
        raise type(error)(error.errno, f"the {what} {path} cannot be read: {(error.strerror or '').lower()}") from None
    kind = KINDS.get(stat.S_IFMT(mode), "no regular file")
    raise FileNotFoundError(errno.ENOENT, f"there is no {what} {path}: it is {kind}")


def _temporary_start(target):
    """Return the start of the names of a target's temporary files: short, because a name has at most 255 bytes."""
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]
    return f".{digest}."


def _new_temporary(folder, start, mode):
    """Return the path of a new temporary file, and the file, locked."""
    while True:
        path = folder / f"{start}{os.getpid()}-{secrets.token_hex(4)}{ENDING}"
        # No line of Python stands between the descriptor and its file: a signal handler that raises there (signals
        # that come during the system call are handled right after it) would leave it open.
        file = open(path, "xb", opener=partial(os.open, mode=mode))  # noqa: SIM115 (the caller closes it)
        # Whoever cleans up may have been quicker with the lock.
        if flock is None or (_locks(file) and path.exists()):
            return path, file
        file.close()


def _locks(file):
    """Lock a file; return whether nobody else holds it."""
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return time.time() - os.fstat(file.fileno()).st_mtime < OLD
    return True


def _remove_stale(folder, start):
    """Remove temporary files of a target that no process writes any more."""
    try:
        names = [name for name in os.listdir(folder) if name.startswith(start) and name.endswith(ENDING)]
    except OSError:  # a folder that may be written, not read
        return
    for path in (folder / name for name in names):
        try:
            with open(path, "rb") as file:
                if _is_stale(file):
                    path.unlink(missing_ok=True)
        except OSError:
            pass


def _is_stale(file):
    """Is it a file that no process locks any more?"""
    old = time.time() - os.fstat(file.fileno()).st_mtime >= OLD
    if flock is None:
        return old
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return old
    return True


def _keep_owner_and_mode(descriptor, old):
    """Give a file the owner, the group and the mode of another one, as far as the system allows it."""
    if not hasattr(os, "fchown"):
        return
    mode, now = stat.S_IMODE(old.st_mode), os.fstat(descriptor)
    for owner, group in ((old.st_uid, -1), (-1, old.st_gid)):
        if (owner, group) in ((now.st_uid, -1), (-1, now.st_gid)):
            continue
        try:
            os.fchown(descriptor, owner, group)
        except PermissionError:
            # The group cannot be kept.  The new one must not gain the old one's rights: it gets those of everybody.
            mode = mode & ~0o6070 | (mode & 0o007) << 3 if owner == -1 else mode & ~0o6000
    os.fchmod(descriptor, mode)
