"""IDX files: every type of number, plain and compressed, and files that are refused."""

import gzip
import struct

import numpy as np
import pytest

from fastbp import read_idx
from fastbp.io.idx import TYPES


def idx(array, code):
    """Return the bytes of an array as an IDX file."""
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.dtype(TYPES[code])).tobytes()


@pytest.mark.parametrize("code", TYPES)
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 28, 28)])
def test_what_was_written_is_read(tmp_path, code, compress, shape):
    array = np.random.default_rng(0).integers(0, 100, shape)
    path = tmp_path / "numbers"
    path.write_bytes(compress(idx(array, code)))
    read = read_idx(str(path))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.dtype(TYPES[code]).newbyteorder("=")
    assert read.flags.writeable


GOOD = idx(np.arange(6).reshape(2, 3), 0x08)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with the bytes of nothing"),
        (b"\x89PNG....", "begins with the bytes 89 50 4e 47"),
        (b"\0\0\x0a\x01\0\0\0\0", "no IDX file"),
        (b"\0\0\x08\0", "no IDX file"),
        (GOOD[:9], "within the sizes of its 2 axes, after 9 bytes"),
        (GOOD[:-1], r"2 x 3 entries, 6 bytes, but 5 follow"),
        (GOOD + b"\0", "but 7 follow"),
        (gzip.compress(GOOD, mtime=0)[:-9], "damaged gzip file"),
        (gzip.compress(GOOD, mtime=0)[:12] + b"\xff" * 20, "damaged gzip file"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "wrong"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_idx(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_idx(tmp_path / "nowhere")
