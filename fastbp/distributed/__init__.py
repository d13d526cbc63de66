"""One network trained by many processes, on one machine or many, over MPI."""

from importlib import import_module

_HOMES = {"PipelineModel": "pipeline", "RankFailed": "ranks", "fit": "training"}
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'fastbp.distributed' has no attribute {name!r}")
    value = getattr(import_module(f"fastbp.distributed.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOMES})
