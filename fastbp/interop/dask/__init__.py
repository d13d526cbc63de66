"""Tables of Dask, beyond the memory of one machine: ``from fastbp.interop.dask import TabularClassifier``."""

from fastbp.interop.dask.estimators import TabularClassifier, TabularRegressor

__all__ = ["TabularClassifier", "TabularRegressor"]
