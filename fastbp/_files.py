"""Writing a file whole or not at all."""

import os
import secrets
from pathlib import Path


def replace_file(path: Path, content: bytes, *, durable: bool = False, mode: int = 0o666) -> None:
    """Write `content` to a temporary file beside `path`, then rename it: readers see the old file or the new one.

    Parameters
    ----------
    path : Path
    content : bytes
    durable : bool, default False
        Wait until it is on the disk before renaming, so that a power cut leaves one of the two as well.
    mode : int, default 0o666
        Of a new file, of which the process's umask takes away.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
