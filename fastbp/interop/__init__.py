"""Models from and to other libraries; names and modules load when they are first used."""

from importlib import import_module

from fastbp import _HOME_OF  # type: ignore[attr-defined]
from fastbp.settings.lazy_names import late_names

_HOMES = {name: f"fastbp.{home}" for name, home in _HOME_OF.items() if home.startswith("interop.")}
__all__ = sorted(_HOMES)
# What users write with the names before it, `fastbp.interop.dask.TabularClassifier`: no names of `import *`, which
# would need Dask and Optuna.
_MODULES = ("dask", "optuna")
_late, __dir__ = late_names(__name__, _HOMES | dict.fromkeys(_MODULES, ""))


def __getattr__(name):
    return import_module(f"fastbp.interop.{name}") if name in _MODULES else _late(name)
