"""Callbacks, by Keras's names, one a file: what users hang on `fit`.  A file loads when its name is used.

`base` says which hooks there are, `callbacklist` calls them, `monitor` is what callbacks share that watch a figure.
"""

from importlib import import_module

from fastbp import _HOME_OF  # type: ignore[attr-defined]

_NAMES = {name: f"fastbp.{home}" for name, home in _HOME_OF.items() if home.startswith("callbacks.")}

__all__ = sorted(_NAMES)


def __getattr__(name):
    if name not in _NAMES:
        raise AttributeError(f"module 'fastbp.callbacks' has no attribute {name!r}")
    value = getattr(import_module(_NAMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *_NAMES])
