"""A model's weights as a list of arrays, and as a file."""

from pathlib import Path

import numpy as np

from fastbp.engine.exclusive import check_free
from fastbp.engine.user_arrays import real_array
from fastbp.models.weightsfile import read_weights, write_weights


def get_weights(self) -> list[np.ndarray]:
    """Return copies of all parameters, and of what layers keep beside them.

    Returns
    -------
    list of array
        Those of `views`, in Keras's order and shapes: each layer's kernel and bias, its moving statistics.

    Raises
    ------
    ValueError
        Where the model is not built.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dense(1)], input_shape=(3,), seed=0)
    >>> [weight.shape for weight in model.get_weights()]
    [(3, 8), (8,), (8, 1), (1,)]
    """
    return [view.copy() for view in self.views.values()]


def set_weights(self, weights: list) -> None:
    """Overwrite the parameters, and what layers keep beside them.

    Parameters
    ----------
    weights : list of arrays
        As `get_weights` returns them.

    Raises
    ------
    ValueError
        For another number of arrays, or other shapes; nothing is changed.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,))
    >>> model.set_weights([np.array([[2.0], [-1.0]]), np.array([0.5])])
    >>> model.predict([[1.0, 1.0]]).tolist()
    [[1.5]]
    """
    views = self.views
    if len(weights) != len(views):
        raise ValueError(f"set_weights takes {len(views)} arrays ({', '.join(views)}), not {len(weights)}.")
    named = zip(views, weights, strict=True)
    arrays = [real_array(weight, f"the weight for {name!r}").astype(self.dtype) for name, weight in named]
    for (name, view), array in zip(views.items(), arrays, strict=True):
        if array.shape != view.shape:
            raise ValueError(f"the weight for {name!r} has shape {array.shape}; it must have {view.shape}.")
    for view, array in zip(views.values(), arrays, strict=True):
        view[...] = array


def save_weights(self, path: str | Path, note: dict | None = None) -> None:
    """Write the weights alone to a safetensors file, by the names of `views`: what `load_weights` reads.

    The tensors are named ``"LAYER/kernel"``, ``"LAYER/bias"``, ``"LAYER/moving_mean"`` and so on, where a layer
    without a name of its own is ``"dense"``, ``"dense_1"`` ...; any safetensors library reads them.

    Parameters
    ----------
    path : str or path
        The file appears whole or not at all.
    note : dict, optional
        Ready for JSON, for the file's description.

    Raises
    ------
    ValueError
        Where the model is not built.
    OSError
        Where the file cannot be written.

    Examples
    --------
    >>> import fastbp, tempfile, pathlib
    >>> from safetensors.numpy import load_file
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "w.safetensors")
    ...     model.save_weights(path)
    ...     sorted((name, array.shape) for name, array in load_file(path).items())
    [('dense/bias', (1,)), ('dense/kernel', (2, 1))]
    """
    engine = self._built("save_weights")
    check_free(engine)
    write_weights(engine.views, path, note)


def load_weights(self, path: str | Path) -> None:
    """Overwrite the weights with those of a file: of `save_weights`, of `save`, or any safetensors file.

    Parameters
    ----------
    path : str or path
        Its tensors bear the names of `views`. Optimizer, counters and seed stay as they are.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ModelFileError
        If it is no whole safetensors file.
    ValueError
        For a weight that is missing, that the model does not have, of another shape, or not finite; nothing is
        changed.

    Examples
    --------
    >>> import fastbp, tempfile
    >>> first, second = (fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=seed) for seed in (0, 1))
    >>> path = f"{tempfile.mkdtemp()}/weights.safetensors"
    >>> first.save_weights(path)
    >>> second.load_weights(path)
    >>> bool((first.params == second.params).all())
    True
    """
    engine = self._built("load_weights")
    check_free(engine)
    self.set_weights(read_weights(engine.views, path))


def count_params(self) -> int:
    """Return the number of parameters, moving statistics and the like included, as in Keras.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        Where the model is not built.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dense(1)], input_shape=(3,)).count_params()
    41
    """
    return sum(view.size for view in self.views.values())
