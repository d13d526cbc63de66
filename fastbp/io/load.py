"""load_model reads any model's file.  It imports the code of that kind of model only when the file names it."""

from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from fastbp.io.saving import ModelFileError, load_tensors

# The kind that a file names: the function (tensors, description, custom_objects) -> model.
LOADERS = {
    "sequential": "fastbp.models.sequential:Sequential.from_state",
    "estimator": "fastbp.estimators:loaded",
    "tabular": "fastbp.tabular.model:loaded",
}
# Errors that a setting of a wrong type or size leads to.  Other errors are not the file's fault: a warning, or a time
# limit that a signal handler raises.
WRONG = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)


def load_model(path: str | Path, custom_objects: dict | None = None) -> Any:
    """Read a model file.

    Parameters
    ----------
    path : str or path
        Written by ``save`` of a model.
    custom_objects : dict, optional
        Losses and metrics of one's own by name: files hold no code.

    Returns
    -------
    Sequential, TabularClassifier, TabularRegressor, MLPClassifier or MLPRegressor
        What was saved. Its predictions and its continued training have the bits of the saved one's.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ModelFileError
        If the file is truncated, damaged, foreign, or of a newer version, or if what it says does not fit together.

    Examples
    --------
    >>> import fastbp, tempfile, pathlib
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "m.fastbp")
    ...     model.save(path)
    ...     again = fastbp.load_model(path)
    >>> bool((again.params == model.params).all())
    True
    """
    check_custom(custom_objects)
    tensors, description = load_tensors(path)
    kind = description.get("kind")
    if kind == "weights":
        raise ModelFileError(f"{path} holds weights alone: make the model, and call model.load_weights({str(path)!r}).")
    if not isinstance(kind, str) or kind not in LOADERS:
        raise ModelFileError(f"{path} holds a model of unknown kind {kind!r}: upgrade fastbp.")
    module, name = LOADERS[kind].split(":")
    try:
        return attrgetter(name)(import_module(module))(tensors, description, custom_objects)
    except WRONG as error:
        raise ModelFileError(f"{path} does not describe a whole model: {error or type(error).__name__}") from error


def check_custom(custom_objects):
    """Raise TypeError where an object of the user's own is neither a loss nor a metric."""
    for name, value in (custom_objects or {}).items():
        if not hasattr(value, "check_output") and not callable(value):
            raise TypeError(
                f"custom_objects[{name!r}] is {value!r}: give a fastbp.CustomLoss object, or a metric's function."
            )
