"""TabularClassifier: classes from a table, without settings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils._param_validation import StrOptions

from fastbp.estimators.labels import plain_labels
from fastbp.tabular.calibration import fit_temperature, temper
from fastbp.tabular.estimator import PARAMETER_CONSTRAINTS, BaseTabular
from fastbp.tabular.multicolumn_targets import SoftClasses, is_several, probabilities_of
from fastbp.tabular.objectives import CLASSIFICATION_METRICS, classification_objective
from fastbp.tabular.target import Classes, refuse_missing


class TabularClassifier(ClassifierMixin, BaseTabular):
    """Classifier for tables: an ensemble of networks that needs no tuning.

    It takes a DataFrame as it is, with text, categories, dates and missing values, or an array; what it leaves out or
    guesses is said in a `fastbp.TableWarning`, once a call of `fit` or `predict`. Each network is trained without one
    part of the rows, by which its best epoch is chosen; the probabilities are the networks' mean, calibrated on the
    rows that they left out.

    Parameters
    ----------
    preset : {'fast', 'default', 'best'}, default='default'
        How much time goes into accuracy: 3 networks (6 for fewer than 2,500 rows), 10, or 20, half of them wide;
        some 3, 12 and 50 seconds for 10,000 rows on two cores.
    time_limit : float, default=None
        Seconds that `fit` may take, in all: it ends with fewer epochs or fewer networks. One network is trained
        for a step at least; a `fastbp.TableWarning` says so where the table is too large for more.
    eval_metric : {'log_loss', 'accuracy', 'roc_auc'}, default=None
        By which each network's best epoch is chosen; None: 'log_loss'. The networks minimise the log loss in any case.
    class_weight : dict, 'balanced' or None, default=None
        Factors on the rows of each class; 'balanced' makes the classes weigh the same. `predict` then favours the
        classes that weigh more: it takes the one with the largest factor times probability. Probabilities are those
        of rows as they come: what the networks learnt from weighed rows is divided by the factors again.
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
    classes_ : array of shape (n_classes,)
        Sorted; of probabilities in the order of their columns.
    oof_proba_ : array of shape (n_samples, n_classes) or None
        Out-of-fold probabilities: those of the networks that did not train on a row, calibrated. NaN in rows that all
        networks trained on (where there are fewer networks than parts) and in rows of weight 0. None with `eval_set`
        and in a loaded model.
    best_score_ : float
        `eval_metric` of the out-of-fold probabilities (with `eval_set`: on its rows), in its own sense: the greater
        the better for accuracy and ROC AUC; rows and probabilities weigh what `class_weight` makes of them. A little
        too good, because each network's best epoch was chosen by the rows that it left out: on noise an accuracy of
        0.576 with 240 rows, of 0.542 with 1,500.
    ensemble_ : Ensemble
        The networks (``ensemble_.networks``), the temperature of the calibration, and `repeats`: the training rows
        whose targets join the prediction for rows with the same features, or None where that does not help.
    encoder_ : TableEncoder
        What makes numbers of columns; its `dropped` tells which columns are not used, and why.
    history_ : list of dict
        The best epoch and its score for each network, and the scores of all validations: "best_epoch", "score",
        "epochs", "scores".
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
    A DataFrame's columns are found by name, in any order, when predicting; others are ignored, unseen categories are
    taken for missing values.

    Where training rows with the same features help, which the rows left out tell, the prediction p becomes
    ``(a p + sum of their classes) / (a + their number)``, the mean of a Dirichlet posterior of prior weight a.

    With `n_jobs` the task of a worker is one network, with a reference to the encoded table; a lost worker's networks
    are trained again. The progress bar moves with each network that is done. Ctrl-C and `time_limit` leave those that
    are done (with Ctrl-C and none of them, ``KeyboardInterrupt`` is raised and the estimator is as before); the clocks
    of a cluster's machines must agree for a time limit.

    References
    ----------
    Holzmueller et al., Better by default: strong pre-tuned MLPs and boosted trees on tabular data, 2024
    (arXiv:2407.04491), for the networks; Guo et al., On calibration of modern neural networks, 2017
    (arXiv:1706.04599).

    Examples
    --------
    >>> import fastbp
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> clf = fastbp.TabularClassifier("fast", random_state=0).fit(X, y)
    >>> clf.predict(X[::50])
    array([0, 1, 2])
    >>> clf.score(X, y) > 0.9
    True
    """

    _parameter_constraints: dict[str, list] = {
        **PARAMETER_CONSTRAINTS,
        "eval_metric": [StrOptions(set(CLASSIFICATION_METRICS)), None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }
    _target_kind = Classes

    def __init__(
        self,
        preset: str = "default",
        *,
        time_limit: float | None = None,
        eval_metric: str | None = None,
        class_weight: dict | str | None = None,
        categorical_features: Any = None,
        random_state: Any = None,
        n_threads: int | None = None,
        n_jobs: int | None = None,
        verbose: int | str = 0,
        callbacks: list | None = None,
    ) -> None:
        self.preset = preset
        self.time_limit = time_limit
        self.eval_metric = eval_metric
        self.class_weight = class_weight
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.n_threads = n_threads
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.callbacks = callbacks

    @property
    def classes_(self) -> np.ndarray:
        """The classes, in the order of the probabilities."""
        return self._target.classes

    @property
    def oof_proba_(self) -> np.ndarray | None:
        """Out-of-fold probabilities (n_samples, n_classes), or None."""
        if "oof_proba_" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted: there is no oof_proba_.")
        # Held in float32, in the rows that have some: of 200,000 rows of 1,000 classes all of them are 1.6 GB.
        unseen = vars(self)["oof_proba_"]
        return None if unseen is None else unseen.spread(self._shares(unseen.outputs))

    def predict(self, X: Any) -> np.ndarray:
        """Predict classes.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,)

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            Where a column of training is missing, or `X` has another number of columns.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> clf = fastbp.TabularClassifier("fast", random_state=0).fit(X[::2], y[::2])
        >>> clf.predict(X[1::50])
        array([0, 1, 2])
        """
        return self._decided(self._outputs(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_classes)
            float64, in the order of `classes_`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            Where a column of training is missing, or `X` has another number of columns.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> clf = fastbp.TabularClassifier("fast", random_state=0).fit(X[::2], y[::2])
        >>> clf.predict_proba(X[1::50]).round(1)
        array([[1., 0., 0.],
               [0., 1., 0.],
               [0., 0., 1.]])
        """
        return self._shares(self._outputs(X))

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy of `predict`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), or (n_samples, n_classes)
            Labels; or probabilities in the order of `classes_`: the mean probability of the predicted class.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            Where a column of training is missing, or `X` has another number of columns.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> clf = fastbp.TabularClassifier("fast", random_state=0).fit(X[::2], y[::2])
        >>> clf.score(X[1::2], y[1::2]) > 0.9  # rows that it has not seen
        True
        """
        if not is_several(y):
            return super().score(X, plain_labels(y), sample_weight)
        chosen = self._outputs(X).argmax(axis=1)
        return float(np.average(probabilities_of(y)[np.arange(len(chosen)), chosen], weights=sample_weight))  # type: ignore[arg-type]

    def _decided(self, outputs):
        """Return the classes (n,) that outputs (n, k) choose."""
        return self.classes_[outputs.argmax(axis=1)]

    def _shares(self, outputs):
        """Return probabilities (n, k) in float64 for rows as they come; float32 ones sum to 1 within 1e-7 only."""
        probabilities, factors = outputs.astype(np.float64), self._target.factors
        if factors is not None:
            probabilities /= np.where(factors > 0, factors, 1.0)  # of a class that weighs nothing nothing was learnt
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities

    def _chosen(self, probabilities):
        """Return the codes (n,) of the classes that `predict` takes by the probabilities of `predict_proba`."""
        factors = self._target.factors
        return (probabilities if factors is None else probabilities * factors).argmax(axis=1)

    def _checked_target(self, y):
        if is_several(y):
            return probabilities_of(y)
        refuse_missing(y)
        y = plain_labels(y)
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        return y

    def _target_of(self, y, weight, names):
        if y.ndim == 1:
            return Classes.of(y, weight, self.class_weight)
        if self.class_weight is not None:
            raise ValueError("class_weight is for labels: with probabilities, weigh the rows by sample_weight.")
        return SoftClasses.of(y, names)

    def _objective(self, target):
        return classification_objective(len(target.classes), self.eval_metric, soft=isinstance(target, SoftClasses))

    def _calibrated(self, outputs, part, share):
        temperature = fit_temperature(outputs, part.targets, part.weight)
        # A mean of M networks is less sure of itself than each of them, which the temperature is found for.  Of its
        # logarithm, 1 / M suits tables of 10,000 rows (log loss -0.2 % with M = 4, +0.7 % with all of it), and half
        # or more those of 150 to 2,500 rows (-0.2 to -0.4 % with M = 12; -0.1 % with 1 / M).
        self.ensemble_.temperature = math.pow(temperature, math.sqrt(share))
        temper(outputs, temperature)
        return outputs

    def _score(self, objective, outputs, part):
        return objective.value(outputs, part.targets, part.weight)

    def _hold_oof(self, unseen):
        vars(self)["oof_proba_"] = unseen
