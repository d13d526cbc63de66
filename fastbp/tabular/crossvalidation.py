"""cross_validate: scores on folds that keep groups together and validate on later rows, as the tabular `fit` does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.model_selection import cross_validate as score_on_folds
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples, has_fit_parameter

from fastbp.tabular.columns import with_rows
from fastbp.tabular.folds import cut, later_blocks, separation
from fastbp.tabular.groups_and_times import taken_columns
from fastbp.tabular.multicolumn_targets import is_several, probabilities_of
from fastbp.tabular.tablewarning import tell


def cross_validate(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: ArrayLike | str | None = None,
    time: ArrayLike | str | None = None,
    sample_weight: ArrayLike | None = None,
    cv: Any = 5,
    scoring: Any = None,
    random_state: Any = 0,
    n_jobs: int | None = None,
    return_train_score: bool = False,
    return_estimator: bool = False,
    error_score: float | str = "raise",
) -> dict:
    """Fit and score an estimator on several folds of a table.

    As `sklearn.model_selection.cross_validate`, with the folds that `TabularClassifier.fit` and
    `TabularRegressor.fit` make inside: classes evenly in all folds, a group on one side only, validation later than
    training. `groups`, `time` and `sample_weight` of the training rows reach the `fit` of estimators that take them.

    Parameters
    ----------
    estimator : scikit-learn estimator
    X : DataFrame or array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    groups : array-like of shape (n_samples,) or str, default=None
        Rows of one group are never on both sides. The name of a column of X takes that column, which is then no
        feature.
    time : array-like of shape (n_samples,) or str, default=None
        Numbers or dates, or the name of a column of X, which stays a feature. The rows are cut into ``cv + 1`` blocks
        of time; each but the first is scored by what was trained on all rows before it. With `groups` as well, without
        those of its groups.
    sample_weight : array-like of shape (n_samples,), default=None
    cv : int, default=5
        The number of folds, at least 2.
    scoring : str, callable, list or dict, default=None
        As in scikit-learn; None: the estimator's `score`.
    random_state : int, RandomState instance or None, default=0
        Of the folds.
    n_jobs : int, default=None
        Processes that train a fold each, as in scikit-learn.
    return_train_score : bool, default=False
        Score the training rows of each fold too: ``train_score``.
    return_estimator : bool, default=False
        Return the fitted estimators: ``estimator``.
    error_score : 'raise' or float, default='raise'
        What a fold scores whose `fit` fails.

    Returns
    -------
    dict
        ``test_score`` (or ``test_NAME``), ``fit_time``, ``score_time``, and so on: an array with a value for each
        fold; ``indices`` with the rows of each.

    Raises
    ------
    ValueError
        For `groups` or `time` of another length, with missing values, or the name of no column of X.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> X, y = load_diabetes(return_X_y=True)
    >>> patients = np.arange(len(y)) // 4
    >>> scores = fastbp.cross_validate(Ridge(), X, y, groups=patients, cv=4)
    >>> len(scores["test_score"]), bool((scores["test_score"] > 0.3).all())
    (4, True)
    """
    if isinstance(cv, bool) or not isinstance(cv, int | np.integer) or cv < 2:
        raise ValueError(f"cv={cv!r}: the number of folds is a whole number of at least 2.")
    X, groups, time = taken_columns(with_rows(X), groups, time)
    n, stratify = _num_samples(X), is_classifier(estimator)
    notices: list[str] = []
    apart = separation(n, groups, time, notices)
    tell(notices)
    if time is not None:
        pairs = later_blocks(apart, cv + 1)
    else:
        labels = probabilities_of(y).argmax(axis=1) if stratify and is_several(y) else y
        codes = np.unique(labels, return_inverse=True)[1] if stratify else np.zeros(n)
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        pairs = cut(codes, cv, cv, seed, stratify, apart)
    # Ranks in place of times: the rows of one fold may not tell days from months.
    given = {"groups": apart.groups, "time": apart.times}
    given["sample_weight"] = None if sample_weight is None else np.asarray(sample_weight)
    params = {
        name: values for name, values in given.items() if values is not None and has_fit_parameter(estimator, name)
    }
    return score_on_folds(
        estimator,
        X,
        y,
        cv=pairs,
        scoring=scoring,
        params=params,
        n_jobs=n_jobs,
        return_train_score=return_train_score,
        return_estimator=return_estimator,
        return_indices=True,
        error_score=error_score,
    )
