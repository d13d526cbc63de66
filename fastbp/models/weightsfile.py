"""Weights alone in a safetensors file, under the names of `Sequential.views`."""

import numpy as np

from fastbp.io.files import open_to_read
from fastbp.io.saving import ModelFileError, save_tensors
from fastbp.settings.naming import nearest

KIND = "weights"
# A model's file holds more than weights.
_STATE = "optimizer/"


def write_weights(views, path, note=None):
    """Write the weights by their names; `note` goes into the file's description."""
    save_tensors(path, dict(views), {"kind": KIND, **(note or {})})


def read_weights(views, path):
    """Return the arrays of a file for `views`, in their order, or raise before anything is overwritten."""
    found = _tensors(path)
    if missing := [name for name in views if name not in found]:
        others = [name for name in found if name not in views]
        hint = nearest(missing[0], others) if others else ""
        has = ", ".join(found) or "nothing"
        raise ValueError(f"{path} has no weight {missing[0]!r}.{hint} It has {has}; the model has {', '.join(views)}.")
    if extra := [name for name in found if name not in views]:
        raise ValueError(
            f"{path} has the weight {extra[0]!r}, which the model has not: {', '.join(views)}. No weight was changed."
        )
    arrays = []
    for name, view in views.items():
        array = found[name]
        if array.shape != view.shape:
            raise ValueError(
                f"the weight {name!r} has shape {array.shape} in {path}, {view.shape} in the model. No weight was "
                "changed."
            )
        if array.dtype.kind not in "fiu":
            raise ValueError(f"the weight {name!r} in {path} holds {array.dtype}, not real numbers.")
        arrays.append(array.astype(view.dtype))
        if not np.isfinite(arrays[-1]).all():
            raise ValueError(f"the weight {name!r} in {path} has entries that are not finite in {view.dtype}.")
    return arrays


def _tensors(path):
    """Return the tensors of any safetensors file by their names, but for an optimizer's state."""
    from safetensors import SafetensorError, safe_open

    open_to_read(path, "file of weights").close()
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys() if not name.startswith(_STATE)}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelFileError(f"{path} is not a whole safetensors file ({error}). Was it cut short?") from None
    except (TypeError, AttributeError) as error:  # bfloat16, which NumPy does not have
        raise ModelFileError(f"{path} holds tensors of a type that NumPy does not have ({error}).") from None
