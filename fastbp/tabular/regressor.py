"""TabularRegressor: quantities, or quantiles of them, from a table, without settings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _check_y

from fastbp.losses.quantile import checked_quantiles
from fastbp.tabular.estimator import PARAMETER_CONSTRAINTS, BaseTabular
from fastbp.tabular.multicolumn_targets import Quantities, is_several, numbers_of
from fastbp.tabular.objectives import REGRESSION_METRICS, quantile_objective, regression_objective
from fastbp.tabular.quantiles import uncrossed
from fastbp.tabular.target import Quantity, refuse_missing


class TabularRegressor(RegressorMixin, BaseTabular):
    """Regressor for tables: an ensemble of networks that needs no tuning.

    It takes a DataFrame as it is, with text, categories, dates and missing values, or an array; what it leaves out or
    guesses is said in a `fastbp.TableWarning`, once a call of `fit` or `predict`. Each network is trained without one
    part of the rows, by which its best epoch is chosen; the predictions are the networks' mean.

    Parameters
    ----------
    preset : {'fast', 'default', 'best'}, default='default'
        How much time goes into accuracy: 3 networks (6 for fewer than 2,500 rows), 10, or 20, half of them wide;
        some 3, 12 and 50 seconds for 10,000 rows on two cores.
    quantiles : sequence of float, default=None
        Predict these quantiles, each above 0, below 1 and above the one before it, in place of the mean.
    time_limit : float, default=None
        Seconds that `fit` may take, in all: it ends with fewer epochs or fewer networks. One network is trained
        for a step at least; a `fastbp.TableWarning` says so where the table is too large for more.
    eval_metric : {'rmse', 'mae'}, default=None
        By which each network's best epoch is chosen; None: 'rmse', and with `quantiles` their mean pinball loss,
        beside which there is no choice. The networks minimise squared errors (or the pinball loss) in any case.
    categorical_features : None, 'from_dtype', or array-like of str, int or bool, default=None
        Which columns of numbers are categories: by a rule (whole numbers with few different values), none, or those
        named, at these positions, or with a True in a list for all columns. Text, categories and booleans always are.
    random_state : int, RandomState instance or None, default=None
        Of the parts of the rows, the first weights, the order of rows and dropout. The same number gives the same
        bits, whatever the number of threads, unless a time limit cuts training short.
    n_threads : int, default=None
        Threads at most; None: as `fastbp.get_num_threads` says.
    n_jobs : int, default=None
        None: networks train in threads of this process. A number: so many of joblib's workers train a network each, -1
        all of them: processes of this machine, or those of a cluster under ``joblib.parallel_config(backend="dask")``
        (or "ray", "spark"). The bits are the same. A worker has its share of the cores.
    verbose : {0, 1, 2, 'auto'}, default=0
        1 and 'auto' show a progress bar, or ten lines where standard error is no terminal; 2 shows lines alone.
    callbacks : list of fastbp callbacks, default=None
        Told of the epochs of each network, one at a time, from the threads that train: `on_epoch_end` gets its number
        (``network``), ``loss``, ``learning_rate`` and ``val_`` with the metric's name, NaN after epochs that are not
        scored. ``callback.model`` is the network; its ``stop_training = True`` ends its training, and what is raised
        ends `fit`. Files hold none.

    Attributes
    ----------
    oof_predictions_ : array of shape (n_samples,), (n_samples, n_targets) or (n_samples, n_quantiles), or None
        Out-of-fold predictions: those of the networks that did not train on a row. NaN in rows that all networks
        trained on (where there are fewer networks than parts) and in rows of weight 0. None with `eval_set` and in a
        loaded model.
    best_score_ : float
        `eval_metric` of the out-of-fold predictions (with `eval_set`: on its rows), in the target's unit. A little
        too good, because each network's best epoch was chosen by the rows that it left out. Of several targets the
        mean, each in its own unit.
    ensemble_ : Ensemble
        The networks (``ensemble_.networks``), and `repeats`: the training rows whose targets join the prediction for
        rows with the same features, or None where that does not help (and with `quantiles`).
    encoder_ : TableEncoder
        What makes numbers of columns; its `dropped` tells which columns are not used, and why.
    history_ : list of dict
        The best epoch and its score (of the standardised target) for each network, and the scores of all validations:
        "best_epoch", "score", "epochs", "scores".
    target_name_ : str or None
        The name of y, where it has one.
    n_features_in_, feature_names_in_
        As in scikit-learn; all names of a DataFrame's columns as text.

    Raises
    ------
    ValueError
        In `fit`, for a setting out of its range: the message names it. (As in scikit-learn nothing is checked before.)

    Notes
    -----
    Of several targets, y (n_samples, n_targets), each is standardised, and the networks lower the mean of their losses.
    Predictions stay within the range of the targets in training. The quantiles of a row are sorted, so that they do
    not cross: that never raises their loss.

    A DataFrame's columns are found by name, in any order, when predicting; others are ignored, unseen categories are
    taken for missing values.

    Where training rows with the same features help, which the rows left out tell, the prediction f becomes
    ``(a f + sum of their targets) / (a + their number)``, the mean of a normal posterior of prior weight a.

    With `n_jobs` the task of a worker is one network, with a reference to the encoded table; a lost worker's networks
    are trained again. The progress bar moves with each network that is done. Ctrl-C and `time_limit` leave those that
    are done (with Ctrl-C and none of them, ``KeyboardInterrupt`` is raised and the estimator is as before); the clocks
    of a cluster's machines must agree for a time limit.

    References
    ----------
    Holzmueller et al., Better by default: strong pre-tuned MLPs and boosted trees on tabular data, 2024
    (arXiv:2407.04491), for the networks; Chernozhukov, Fernandez-Val and Galichon, Quantile and probability curves
    without crossing, 2010, for sorted quantiles.

    Examples
    --------
    >>> import fastbp
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> reg = fastbp.TabularRegressor("fast", random_state=0).fit(X, y)
    >>> reg.score(X, y) > 0.4
    True
    >>> bands = fastbp.TabularRegressor("fast", quantiles=[0.1, 0.9], random_state=0).fit(X, y).predict(X)
    >>> bands.shape, bool((bands[:, 0] <= bands[:, 1]).all())
    ((442, 2), True)
    """

    _parameter_constraints: dict[str, list] = {
        **PARAMETER_CONSTRAINTS,
        "quantiles": ["array-like", None],
        "eval_metric": [StrOptions(set(REGRESSION_METRICS)), None],
    }
    _target_kind = Quantities

    def __init__(
        self,
        preset: str = "default",
        *,
        quantiles: ArrayLike | None = None,
        time_limit: float | None = None,
        eval_metric: str | None = None,
        categorical_features: Any = None,
        random_state: Any = None,
        n_threads: int | None = None,
        n_jobs: int | None = None,
        verbose: int | str = 0,
        callbacks: list | None = None,
    ) -> None:
        self.preset = preset
        self.quantiles = quantiles
        self.time_limit = time_limit
        self.eval_metric = eval_metric
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.n_threads = n_threads
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.callbacks = callbacks

    def predict(self, X: Any) -> np.ndarray:
        """Predict the quantity.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,), (n_samples, n_targets) of several targets, or (n_samples, n_quantiles)
            float64; a row's quantiles rise.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            Where a column of training is missing, or `X` has another number of columns.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> reg = fastbp.TabularRegressor("fast", random_state=0).fit(X[::2], y[::2])
        >>> reg.predict(X[1:4]).shape
        (3,)
        """
        return self._decided(self._outputs(X))

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return R^2; with `quantiles` the mean over them of its counterpart, scikit-learn's `d2_pinball_score`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            1.0 is best; 0.0 is as good as the mean (or the quantiles) of y for all rows.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            Where a column of training is missing, or `X` has another number of columns.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> reg = fastbp.TabularRegressor("fast", random_state=0).fit(X[::2], y[::2])
        >>> reg.score(X[1::2], y[1::2]) > 0.4  # rows that it has not seen
        True
        """
        if self.quantiles is None:
            return super().score(X, y, sample_weight)
        from sklearn.metrics import d2_pinball_score  # 0.5 s, which predictions do not need

        predicted, levels = self.predict(X), checked_quantiles(self.quantiles)
        scores = [
            d2_pinball_score(y, predicted[:, i], sample_weight=sample_weight, alpha=level)
            for i, level in enumerate(levels)
        ]
        return float(np.mean(scores))

    def _decided(self, outputs):
        """Return the values (n,) or (n, t), or quantiles (n, q), of outputs (n, k)."""
        values = self._target.decode(outputs)
        if self.quantiles is not None:
            return uncrossed(values)
        return values if isinstance(self._target, Quantities) else values[:, 0]

    def _checked_target(self, y):
        if is_several(y):
            if self.quantiles is not None:
                raise ValueError("y should be a 1d array: quantiles are of one target; fit a regressor for each.")
            advice = "a regressor's targets are numbers; classes are for TabularClassifier, both for TabularMultiTask."
            return numbers_of(y, advice)
        refuse_missing(y)
        y = _check_y(y, y_numeric=True, estimator=self)
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y holds {y.dtype} values such as {y.tolist()[0]!r}: regression needs numbers.")
        return y.astype(np.float64)

    def _target_of(self, y, weight, names):
        return Quantity.of(y, weight) if y.ndim == 1 else Quantities.of(y, weight)

    def _objective(self, target):
        if self.quantiles is None:
            n_targets = len(target.parts) if isinstance(target, Quantities) else 1
            return regression_objective(self.eval_metric, n_targets)
        if self.eval_metric is not None:
            raise ValueError(
                f"eval_metric={self.eval_metric!r} is not for quantiles, which are judged by their pinball loss: leave "
                "it out."
            )
        return quantile_objective(self.quantiles)

    def _calibrated(self, outputs, part, share):
        return outputs

    def _score(self, objective, outputs, part):
        # In the unit of the networks, where the squares of 1e200 do not overflow.
        outputs = self._target.limit(outputs)
        if not isinstance(self._target, Quantities):
            return objective.value(outputs, part.targets, part.weight) * self._target.scale
        scores = [
            objective.value(outputs[:, [i]], part.targets[:, [i]], part.weight) * quantity.scale
            for i, quantity in enumerate(self._target.parts)
        ]
        return float(np.mean(scores))

    def _hold_oof(self, unseen):
        self.oof_predictions_ = None if unseen is None else unseen.spread(self._decided(unseen.outputs))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self.quantiles is None
        return tags
