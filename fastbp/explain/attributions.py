"""What `Sequential.explain` returns."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Attributions:
    """How much each input counts for each output, by row.

    Parameters
    ----------
    values : array
        Of the shape of `data`; of several outputs with their shape behind it.
    base_values : array (n,), or None
        What the values start from: with them they sum to the prediction. Of several outputs with their shape behind
        it; None where they are no contributions.
    data : array (n, ...)
        The rows.
    error : array like `base_values`, or None
        How far the sums were off before what was left was spread over the values.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
    >>> found = model.explain(np.eye(2))
    >>> found.values.shape, bool(np.allclose(found.values, np.eye(2) * model.views["dense/kernel"].T, atol=1e-6))
    ((2, 2), True)
    """

    values: np.ndarray
    base_values: np.ndarray | None
    data: np.ndarray
    error: np.ndarray | None = None

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype, copy=True) if copy else np.asarray(self.values, dtype)

    def to_shap(self, feature_names: list | None = None, output_names: list | None = None) -> Any:
        """Return a `shap.Explanation`, which the plots of shap take.

        Parameters
        ----------
        feature_names, output_names : list of str, optional

        Returns
        -------
        shap.Explanation

        Raises
        ------
        ImportError
            Where shap is not installed.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
        >>> found = model.explain(np.eye(2), output=0)
        >>> shap.plots.waterfall(found.to_shap(["age", "income"])[0])  # doctest: +SKIP
        """
        return shap_explanation(self.values, self.base_values, self.data, feature_names, output_names)


def shap_explanation(values, base_values, data, feature_names=None, output_names=None):
    """Return a `shap.Explanation`, or raise ImportError that says how to install shap."""
    try:
        import shap
    except ImportError:
        raise ImportError('this needs shap: pip install "fastbp[interop]", or pip install shap.') from None
    names = {"feature_names": feature_names, "output_names": output_names}
    named = {key: list(value) for key, value in names.items() if value is not None}
    return shap.Explanation(values=values, base_values=base_values, data=data, **named)
