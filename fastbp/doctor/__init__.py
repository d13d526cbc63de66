"""What ails a network that does not learn: `diagnose`, the callback `Doctor`, and a learning-rate range test.

`checks` are the findings that there are, a function each; `patient` is what they look at, a copy of the model with its
rows and its curves; `finding` and `diagnosis` are what comes out. Names load what they need when they are first used.
"""

from fastbp.settings.lazy_names import late_names

_HOMES = {
    "CHECKS": "fastbp.doctor.check_registry",
    "Diagnosis": "fastbp.doctor.diagnosis",
    "Doctor": "fastbp.doctor.callback",
    "Finding": "fastbp.doctor.finding",
    "LearningRateRange": "fastbp.doctor.raterange",
    "diagnose": "fastbp.doctor.examination",
    "learning_rate_range": "fastbp.doctor.raterange",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = late_names(__name__, _HOMES)
