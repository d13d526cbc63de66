"""The model file: one safetensors file, tensors by name and a JSON description in its header.

Loading reads numbers and names; it runs no code.  Saving writes a temporary file and renames it.
"""

import json
import os
import tempfile
from pathlib import Path

import numpy as np

# Raised when a file of this version could not be read by the release before.
FORMAT_VERSION = 1
_KEY = "fastbp"


class ModelFileError(ValueError):
    """A file that is not a whole fastbp model file of a known version."""


def save_tensors(path, tensors, description):
    """Write tensors and a JSON-ready description to one safetensors file, whole or not at all.

    Parameters
    ----------
    path : str or path
    tensors : dict of arrays
    description : dict
    """
    from safetensors.numpy import save

    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot save {path}: there is no folder {path.parent}.")
    text = json.dumps({"version": FORMAT_VERSION, **description})
    content = save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, metadata={_KEY: text})
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask():
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


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
    ModelFileError
        If the file is truncated, not a model file, or of a newer version.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}.")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            if text is None:
                raise ModelFileError(f"{path} is a safetensors file, but not one that fastbp wrote.")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ModelFileError(f"{path} is not a whole model file ({error}). Was it cut short?") from None
    description = _parsed(path, text)
    return tensors, description


def _parsed(path, text):
    try:
        description = json.loads(text)
        version = description.pop("version")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ModelFileError(f"{path} has a description that fastbp cannot read.") from None
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {version}; this fastbp reads up to {FORMAT_VERSION}: upgrade fastbp."
        )
    return description
