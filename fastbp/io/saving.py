"""The model file: one safetensors file, tensors by name and a JSON description in its header.

Loading reads numbers and names; it runs no code.  Saving writes a temporary file and renames it (`files.py`).  A long
description, such as texts of thousands of columns, is stored as a tensor, because a header has at most 100 MB.
"""

import json
import zlib

import numpy as np

from fastbp.io.files import open_to_read, replace_file

# This number goes up when the release before cannot read the files of this one.
FORMAT_VERSION = 1
_KEY = "fastbp"
# The checksum follows this mark at the end of the description.  It is no metadata entry of its own, because safetensors
# writes several entries in no fixed order, and a model should always give the same bytes.
_CHECKSUM = ', "crc32": '
# A description of more characters is a tensor of this name; the header says so in a way that older releases refuse.
MOST_IN_HEADER = 2**20
_TEXT = "fastbp/description"
_IN_TENSOR = {"kind": "described in a tensor"}


class ModelFileError(ValueError):
    """A file that is not a whole fastbp model file of a known version.

    Examples
    --------
    >>> import fastbp, tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> _ = path.write_text("x,y")
    >>> try:
    ...     fastbp.load_model(path)
    ... except fastbp.ModelFileError:
    ...     print("no model file")
    no model file
    """


def save_tensors(path, tensors, description):
    """Write tensors and a JSON-ready description to one safetensors file, whole or not at all.

    Parameters
    ----------
    path : str or path
        A file that is there keeps its mode and its owner, a symbolic link its target. Of several hard links, the others
        keep the old content.
    tensors : dict of arrays
    description : dict
    """
    from safetensors.numpy import save

    text = json.dumps({"version": FORMAT_VERSION, **description})
    if len(text) > MOST_IN_HEADER:
        tensors = {**tensors, _TEXT: np.frombuffer(json.dumps(description).encode(), np.uint8)}
        text = json.dumps({"version": FORMAT_VERSION, **_IN_TENSOR})
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    content = save(tensors, metadata={_KEY: f"{text[:-1]}{_CHECKSUM}{_checksum(tensors, text)}}}"})
    replace_file(path, content, durable=True)


def _checksum(tensors, text):
    """Return a number that changes if a bit of the tensors or of the description changes."""
    checksum = zlib.crc32(text.encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        checksum = zlib.crc32(f"{name} {array.dtype.name} {array.shape}".encode(), checksum)
        checksum = zlib.crc32(array.view(np.uint8) if array.size else b"", checksum)
    return checksum


def load_tensors(path):
    """Read a file of `save_tensors`.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    tensors : dict of arrays
    description : dict

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ModelFileError
        If the file is truncated, damaged, not a model file, or of a newer version.
    """
    from safetensors import SafetensorError, safe_open

    open_to_read(path, "model file").close()
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if _KEY not in metadata:
                raise ModelFileError(f"{path} is a safetensors file, but not one that fastbp wrote.")
            description = _parsed(path, metadata[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ModelFileError(f"{path} is not a whole model file ({error}). Was it cut short?") from None
    except (TypeError, AttributeError) as error:  # types of numbers that NumPy does not have
        raise ModelFileError(f"{path} holds tensors that fastbp cannot read ({error}).") from None
    text, _, end = metadata[_KEY].rpartition(_CHECKSUM)
    if end != f"{_checksum(tensors, text + '}')}}}":
        raise ModelFileError(f"{path} is damaged: its content does not match its checksum.")
    if description == _IN_TENSOR and _TEXT in tensors:
        description = _read_json(path, tensors.pop(_TEXT).tobytes())
    return tensors, description


def noted(path):
    """Return the description in a file's header, without reading the tensors: its content is not checked.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is not a model file.
    """
    from safetensors import SafetensorError, safe_open

    open_to_read(path, "model file").close()
    try:
        with safe_open(path, framework="numpy") as file:
            return _read_json(path, (file.metadata() or {}).get(_KEY, ""))
    except SafetensorError as error:
        raise ModelFileError(f"{path} is not a whole model file ({error}). Was it cut short?") from None


def _read_json(path, text):
    """Return the dict that a JSON text describes."""
    try:
        description = json.loads(text)
    except (ValueError, RecursionError):
        description = None
    if not isinstance(description, dict):
        raise ModelFileError(f"{path} has a description that fastbp cannot read.")
    return description


def _parsed(path, text):
    description = _read_json(path, text)
    version = description.pop("version", None)
    description.pop("crc32", None)
    if type(version) is not int or version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {version}; this fastbp reads up to {FORMAT_VERSION}: upgrade fastbp."
        )
    return description
