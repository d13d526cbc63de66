"""What ails a network that does not learn: `diagnose`, the callback `Doctor`, and a learning-rate range test.

`checks` are the findings that there are, a function each; `patient` is what they look at, a copy of the model with its
rows and its curves; `finding` and `diagnosis` are what comes out. Names load what they need when they are first used.
"""

from importlib import import_module

_HOMES = {
    "CHECKS": "registered",
    "Diagnosis": "diagnosis",
    "Doctor": "callback",
    "Finding": "finding",
    "LearningRateRange": "raterange",
    "diagnose": "examination",
    "learning_rate_range": "raterange",
}
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'fastbp.doctor' has no attribute {name!r}")
    return getattr(import_module(f"fastbp.doctor.{_HOMES[name]}"), name)


def __dir__():
    return sorted({*globals(), *__all__})
