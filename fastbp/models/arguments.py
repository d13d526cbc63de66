"""Arguments of `Sequential` other than data: checked, with errors that name the value and the fix."""

import numpy as np

from fastbp.callbacks.base import Callback
from fastbp.engine.epochs import Course
from fastbp.layers import LAYERS, Layer
from fastbp.metrics import resolve as resolve_metric
from fastbp.metrics.weighted import Weighted, weighted
from fastbp.settings.user_warnings import warn


def checked_layers(layers):
    """Return the layer specs as a list of its own."""
    if isinstance(layers, str | Layer) or not hasattr(layers, "__iter__"):
        raise TypeError(f"Sequential takes a list of layers, not {layers!r}.")
    layers = list(layers)
    if not layers:
        raise ValueError("Sequential needs at least one layer.")
    if names := [layer for layer in layers if isinstance(layer, str)]:
        raise TypeError(f"{names[0]!r} is a name; a layer is an object, such as fastbp.Dense(10).")
    return [LAYERS.resolve(layer) for layer in layers]


def checked_metrics(metrics, loss, weighted_metrics=None):
    """Return (name, function) of each metric; names must differ, for they are keys of the history."""
    for setting, given in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
        if isinstance(given, str) or callable(given):
            raise TypeError(f"{setting} is a list: write {setting}=[{given!r}].")
    resolved = [resolve_metric(metric, loss) for metric in metrics or []]
    plain = {name for name, _ in resolved}
    for metric in weighted_metrics or []:
        name, function = resolve_metric(metric, loss)
        resolved.append((f"weighted_{name}" if name in plain else name, weighted(name, function, metric)))
    taken = {"loss", "learning_rate"}
    for name, _ in resolved:
        if name in taken:
            raise ValueError(f"there are two figures named {name!r}: give one of the functions another __name__.")
        taken.add(name)
    return resolved


def names_of_functions(metrics, resolved):
    """Return the names of the metrics that were given as functions, which a file cannot hold."""
    given = [*(metrics or []), *(metric.given for _, metric in resolved if isinstance(metric, Weighted))]
    names = [getattr(one, "__name__", type(one).__name__) for one in given]
    pairs = zip(given, names, strict=True)
    return [name for one, name in pairs if not isinstance(one, str) and not hasattr(one, "registered")]


def checked_callbacks(callbacks):
    """Return the callbacks as a list."""
    if isinstance(callbacks, Callback | type) or not hasattr(callbacks or [], "__iter__"):
        raise TypeError(f"callbacks is a list of Callback objects, not {callbacks!r}.")
    for callback in callbacks or []:
        if isinstance(callback, type) and issubclass(callback, Callback):
            raise TypeError(f"{callback.__name__} is a class; write {callback.__name__}() among the callbacks.")
        if not isinstance(callback, Callback):
            raise TypeError(f"a callback is an object of a class derived from fastbp.Callback, not {callback!r}.")
    return list(callbacks or [])


def checked_seed(seed):
    """Return the seed, or a new one for None."""
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise ValueError(f"seed={seed!r}: a seed is a whole number from 0 to 2**63 - 1, or None.")
    return int(seed)


def is_count(value):
    """Is it a whole number of at least 1?"""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1


def checked_counts(**counts):
    """Return the values as a list of int (those of NumPy have 8 to 64 bits, and overflow); they are at least 1."""
    for name, value in counts.items():
        if not is_count(value):
            raise ValueError(f"{name}={value!r}: it is a whole number of at least 1.")
    return [int(value) for value in counts.values()]


def check_shuffle(shuffle):
    """Raise ValueError where it is neither True nor False."""
    if not isinstance(shuffle, bool | np.bool_) and (type(shuffle) is not int or shuffle not in (0, 1)):
        raise ValueError(f"shuffle={shuffle!r}: True draws a new order of the rows for every epoch, False keeps it.")


def checked_verbose(verbose):
    """Return Keras's 0, 1 or 2, or raise ValueError; "auto" is 1."""
    if isinstance(verbose, str) and verbose == "auto":
        return 1
    if isinstance(verbose, int | np.integer | np.bool_) and verbose in (0, 1, 2):
        return int(verbose)
    raise ValueError(f'verbose={verbose!r}: 0 shows nothing, 1 a progress bar, 2 a line an epoch; "auto" is 1.')


def checked_course(epochs, batch_size, shuffle, verbose, initial_epoch, steps_per_epoch):
    """Return the `Course` of a run, or raise ValueError."""
    epochs, batch_size = checked_counts(epochs=epochs, batch_size=batch_size)
    check_shuffle(shuffle)
    if initial_epoch is not None:
        if isinstance(initial_epoch, bool) or not isinstance(initial_epoch, int | np.integer) or initial_epoch < 0:
            raise ValueError(
                f"initial_epoch={initial_epoch!r}: it is the number of the first epoch, at least 0, or None."
            )
        initial_epoch = int(initial_epoch)
        if initial_epoch >= epochs:
            warn(
                f"initial_epoch={initial_epoch} is not below epochs={epochs}, the number to train up to: no epoch is "
                "left to train."
            )
    if steps_per_epoch is not None:
        (steps_per_epoch,) = checked_counts(steps_per_epoch=steps_per_epoch)
    return Course(epochs, batch_size, bool(shuffle), checked_verbose(verbose), initial_epoch, steps_per_epoch)
