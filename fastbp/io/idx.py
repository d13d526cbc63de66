"""Files in the IDX format, the format of MNIST: a file holds one array of whole numbers or floats.

It begins with four bytes: two zeros, a code of the numbers' type, and the number of axes.  The sizes of the axes follow
as int32, then the entries, the last axis fastest.  The most significant byte of a number comes first.
"""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

# The types of numbers, by their codes in the third byte.
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """Read the array in an IDX file, plain or compressed with gzip (told by the content, not by the name).

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    array
        In the machine's byte order; MNIST's images are uint8 ``(n, 28, 28)``, its labels uint8 ``(n,)``.

    Raises
    ------
    OSError
        Where the file cannot be read.
    ValueError
        Where it is no such file, or its length is not the one that its sizes say.

    References
    ----------
    LeCun, Cortes and Burges, "The MNIST database of handwritten digits", section "The IDX file format".

    Examples
    --------
    >>> import fastbp, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels-idx1-ubyte"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    >>> fastbp.read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    path = Path(path)
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or content[3] == 0:
        raise ValueError(f"{path} is no IDX file: it begins with the bytes {content[:4].hex(' ') or 'of nothing'}.")
    axes, dtype = content[3], np.dtype(TYPES[content[2]])
    start = 4 + 4 * axes
    if len(content) < start:
        raise ValueError(f"{path} ends within the sizes of its {axes} axes, after {len(content)} bytes.")
    shape = struct.unpack(f">{axes}I", content[4:start])
    expected = math.prod(shape) * dtype.itemsize
    if len(content) - start != expected:
        raise ValueError(
            f"{path} says that it holds {' x '.join(map(str, shape))} entries, {expected} bytes, but "
            f"{len(content) - start} follow: it was cut off or is damaged."
        )
    entries = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return entries.astype(dtype.newbyteorder("="))


def _content(path):
    """Return the bytes of a file, uncompressed."""
    content = path.read_bytes()
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is a damaged gzip file: {str(error).rstrip('.')}.") from None
