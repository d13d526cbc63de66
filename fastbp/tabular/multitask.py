"""TabularMultiTask: several targets of one table at once, any mix of classes and quantities."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastbp.io import filechecks
from fastbp.tabular.calibration import fit_temperature, tempered
from fastbp.tabular.estimator import PARAMETER_CONSTRAINTS, BaseTabular
from fastbp.tabular.folds import absent_before
from fastbp.tabular.joint_objective import joint_objective
from fastbp.tabular.mixed_targets import Mixture, side_by_side, target_table, target_weights


class TabularMultiTask(BaseTabular):
    """Several targets of a table at once, any mix of classes and quantities, without settings.

    As `TabularClassifier` and `TabularRegressor`, with one ensemble of networks for all targets: the networks share
    all layers but the last, which has a block of outputs for each target. They lower the weighted sum of the log losses
    of the targets that are classes and the squared errors of the others, standardised.

    Parameters
    ----------
    preset : {'fast', 'default', 'best'}, default='default'
        As of `TabularClassifier`.
    tasks : None, str, sequence of str, or dict, default=None
        'classification' or 'regression' for all targets, for each, or by their names. What is not said is decided by
        the rule of ``fastbp train``: text, booleans, two whole numbers, or at most 20 with 5 rows or more each, are
        classes, other numbers a quantity. A `fastbp.TableWarning` says what was decided of whole numbers.
    target_weights : None, sequence of float, or dict, default=None
        How much each target's loss counts, in the order of the targets or by their names; 1 where nothing is said.
    time_limit : float, default=None
        Seconds that `fit` may take, in all.
    categorical_features : None, 'from_dtype', or array-like of str, int or bool, default=None
        As of `TabularClassifier`.
    random_state : int, RandomState instance or None, default=None
        The same number gives the same bits, whatever the number of threads, unless a time limit cuts training short.
    n_threads : int, default=None
        Threads at most; None: as `fastbp.get_num_threads` says.
    n_jobs : int, default=None
        As of `TabularClassifier`.
    verbose : {0, 1, 2, 'auto'}, default=0
        1 and 'auto' show a progress bar, or ten lines where standard error is no terminal; 2 shows lines alone.
    callbacks : list of fastbp callbacks, default=None
        Told of the epochs of each network, one at a time, from the threads that train: `on_epoch_end` gets its number
        (``network``), ``loss``, ``learning_rate`` and ``val_`` with the metric's name, NaN after epochs that are not
        scored. ``callback.model`` is the network; its ``stop_training = True`` ends its training, and what is raised
        ends `fit`. Files hold none.

    Attributes
    ----------
    target_names_ : list of str
        Those of y's columns; of an array "0", "1", "2" ...
    tasks_ : dict of str
        What each target is learnt as.
    classes_ : list of array
        For each target that is classes, in their order, the classes, sorted.
    oof_predictions_ : array of shape (n_samples, n_targets) or None
        Out-of-fold predictions; NaN in rows that have none.
    oof_proba_ : list of array of shape (n_samples, n_classes), or None
        Out-of-fold probabilities of each target that is classes.
    best_score_ : float
        The weighted mean of the targets' losses out of fold (with `eval_set`: on its rows): the log loss of classes,
        the mean squared error of standardised quantities; by it each network's best epoch is chosen.
    best_scores_ : dict of float
        Of each target the log loss, or the root mean squared error in its own unit.
    ensemble_, encoder_, history_, n_features_in_, feature_names_in_
        As of `TabularClassifier`.

    Raises
    ------
    ValueError
        By `fit`, which see; for a target without two values, or one that `tasks` or `target_weights` name and y has
        not.

    Notes
    -----
    Any entry of y may be missing: its row teaches the other targets. Rows without any target are left out. A
    `fastbp.TableWarning` says how many there are.

    Of several class targets `MultiOutputClassifier` of scikit-learn, and of several quantities `TabularRegressor`, have
    the same shapes. Joint training takes the time of one target, not of all of them; where the targets have little to
    do with each other, an estimator for each may be a little more exact.

    References
    ----------
    Caruana, Multitask learning, 1997.

    Examples
    --------
    >>> import fastbp, pandas as pd
    >>> from sklearn.datasets import load_iris
    >>> frame = load_iris(as_frame=True).frame
    >>> X, y = frame.iloc[:, :3], frame[["petal width (cm)", "target"]]
    >>> tasks = {"target": "classification"}
    >>> model = fastbp.TabularMultiTask("fast", tasks=tasks, random_state=0).fit(X, y)
    >>> model.tasks_
    {'petal width (cm)': 'regression', 'target': 'classification'}
    >>> model.predict(X).shape, [p.shape for p in model.predict_proba(X)]
    ((150, 2), [(150, 3)])
    >>> model.score(X, y) > 0.9
    True
    """

    _parameter_constraints = {
        **PARAMETER_CONSTRAINTS,
        "tasks": ["array-like", str, dict, None],
        "target_weights": ["array-like", dict, None],
    }
    _target_kind = Mixture

    def __init__(
        self,
        preset: str = "default",
        *,
        tasks: dict | None = None,
        target_weights: Any = None,
        time_limit: float | None = None,
        categorical_features: Any = None,
        random_state: Any = None,
        n_threads: int | None = None,
        n_jobs: int | None = None,
        verbose: int | str = 0,
        callbacks: list | None = None,
    ) -> None:
        self.preset = preset
        self.tasks = tasks
        self.target_weights = target_weights
        self.time_limit = time_limit
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.n_threads = n_threads
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.callbacks = callbacks

    @property
    def target_names_(self) -> list:
        """The targets' names."""
        return list(self._target.names)

    @property
    def tasks_(self) -> dict[str, str]:
        """{name: task} of the targets."""
        return dict(zip(self._target.names, self._target.tasks, strict=True))

    @property
    def classes_(self) -> list:
        """The classes of each target that has some."""
        return [part.classes for part, _ in self._class_blocks()]

    @property
    def oof_predictions_(self) -> Any:
        """Out-of-fold predictions (n_samples, n_targets), or None."""
        unseen = self._unseen("oof_predictions_")
        if unseen is None:
            return None
        values = side_by_side(self._target.decode(unseen.outputs))
        return unseen.spread(values if values.dtype.kind == "f" else values.astype(object))

    @property
    def oof_proba_(self) -> list | None:
        """Out-of-fold probabilities of each target that is classes, or None."""
        unseen = self._unseen("oof_proba_")
        return None if unseen is None else [unseen.spread(p) for p in self._probabilities(unseen.outputs)]

    def predict(self, X: Any) -> np.ndarray:
        """Predict all targets.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_targets)
            In the order of `target_names_`; of dtype object where the targets are not of one type.

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
        >>> frame = load_iris(as_frame=True).frame
        >>> X, y = frame.iloc[:, :3], frame[["petal width (cm)", "target"]]
        >>> model = fastbp.TabularMultiTask("fast", tasks={"target": "classification"}, random_state=0).fit(X, y)
        >>> model.target_names_, model.predict(X[1::50]).shape
        (['petal width (cm)', 'target'], (3, 2))
        """
        return side_by_side(self._target.decode(self._outputs(X)))

    def predict_proba(self, X: Any) -> list[np.ndarray]:
        """Predict the probability of each class of the targets that are classes.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        list of array of shape (n_samples, n_classes)
            One for each target that is classes, float64, in the order of `classes_`.

        Raises
        ------
        ValueError
            Where no target is classes.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> frame = load_iris(as_frame=True).frame
        >>> X, y = frame.iloc[:, :3], frame[["petal width (cm)", "target"]]
        >>> model = fastbp.TabularMultiTask("fast", tasks={"target": "classification"}, random_state=0).fit(X, y)
        >>> (classes,) = model.predict_proba(X[1::50])  # one target is classes
        >>> classes.argmax(axis=1)
        array([0, 1, 2])
        """
        outputs = self._outputs(X)
        if not self._class_blocks():
            raise ValueError("no target is classes: there are no probabilities.")
        return self._probabilities(outputs)

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the mean over targets of the accuracy of classes and the R^2 of quantities.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : DataFrame, dict or array-like of shape (n_samples, n_targets)
            Rows where a target is missing do not count for it.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            At most 1.0.

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
        >>> frame = load_iris(as_frame=True).frame
        >>> X, y = frame.iloc[:, :3], frame[["petal width (cm)", "target"]]
        >>> model = fastbp.TabularMultiTask("fast", tasks={"target": "classification"}, random_state=0).fit(X, y)
        >>> model.score(X, y) > 0.85
        True
        """
        return float(np.mean(list(self.scores(X, y, sample_weight).values())))

    def scores(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> dict[str, float]:
        """Return the accuracy or R^2 of each target.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : DataFrame, dict or array-like of shape (n_samples, n_targets)
            Rows where a target is missing do not count for it.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        dict
            {name: accuracy of classes, R^2 of quantities}.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            Where a column of training or a target is missing, or `X` has another number of columns.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> frame = load_iris(as_frame=True).frame
        >>> X, y = frame.iloc[:, :3], frame[["petal width (cm)", "target"]]
        >>> model = fastbp.TabularMultiTask("fast", tasks={"target": "classification"}, random_state=0).fit(X, y)
        >>> {name: score > 0.85 for name, score in model.scores(X, y).items()}
        {'petal width (cm)': True, 'target': True}
        """
        from sklearn.metrics import accuracy_score, r2_score  # 0.5 s, which predictions do not need

        predicted, table = self._target.decode(self._outputs(X)), target_table(y)
        self._target.encode(table)  # tells what does not suit
        scores = {}
        for name, task, values in zip(self._target.names, self._target.tasks, predicted, strict=True):
            known, measure = table.known[name], accuracy_score if task == "classification" else r2_score
            weight = None if sample_weight is None else np.asarray(sample_weight)[known]
            scores[name] = (
                float(measure(table.values(name, task), values[known], sample_weight=weight)) if known.any() else np.nan
            )
        return scores

    def get_state(self) -> tuple[dict[str, np.ndarray], dict]:
        """Return what a file needs: tensors by name, and a JSON-ready description."""
        tensors, description = super().get_state()
        return tensors, description | {"best_scores": self.best_scores_}

    @classmethod
    def from_state(cls, tensors: dict[str, np.ndarray], description: dict) -> Self:
        """Return the estimator that `get_state` described."""
        estimator = super().from_state(tensors, description)
        sizes = tuple(estimator._target.sizes)
        for network in estimator.ensemble_.networks:
            filechecks.agree("the targets", getattr(network.engine.layers[-1], "sizes", ()), sizes)
        scores = description["best_scores"]
        estimator.best_scores_ = {
            name: filechecks.number_or_none(scores[name], f"score of {name!r}") for name in estimator.target_names_
        }
        return estimator

    def _class_blocks(self):
        """Return (part, slice of the outputs) of the targets that are classes."""
        target = self._target
        return [
            (part, block)
            for part, block, task in zip(target.parts, target.blocks, target.tasks, strict=True)
            if task == "classification"
        ]

    def _probabilities(self, outputs):
        found = [outputs[:, block].astype(np.float64) for _, block in self._class_blocks()]
        return [p / p.sum(axis=1, keepdims=True) for p in found]

    def _unseen(self, name):
        if "_oof" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted: there is no {name}.")
        return self._oof

    def _checked_target(self, y):
        return target_table(y)

    def _target_of(self, y, weight, names):
        return Mixture.of(y, self.tasks, weight)

    def _objective(self, target):
        return joint_objective(target.sizes, target_weights(self.target_weights, target.names), target.complete)

    def _absent(self, target, targets, n_folds, apart):
        notices = list(target.notices)
        if apart.times is None:
            return notices
        for place, (name, part, task) in enumerate(zip(target.names, target.parts, target.tasks, strict=True)):
            known = ~np.isnan(targets[:, place])
            if task == "classification":
                codes = targets[known, place].astype(np.int64)
                lines = absent_before(codes, part.classes, n_folds, apart.rows(known))
                notices += [f"target {name!r}: {line}" for line in lines]
        return notices

    def _calibrated(self, outputs, part, share):
        temperatures = []
        for place, task in enumerate(self._target.tasks):
            if task == "regression":
                continue
            block, codes = self._target.blocks[place], part.targets[:, place]
            known = ~np.isnan(codes)
            weight = None if part.weight is None else part.weight[known]
            temperature = fit_temperature(outputs[known, block], codes[known].astype(np.int64), weight)
            outputs[:, block] = tempered(outputs[:, block], temperature)
            temperatures.append(math.pow(temperature, math.sqrt(share)))  # as of TabularClassifier
        self.ensemble_.temperature = np.array(temperatures)
        return outputs

    def _score(self, objective, outputs, part):
        losses = objective.parts(outputs, part.targets, part.weight)
        self.best_scores_ = {
            name: math.sqrt(loss) * one.scale if task == "regression" else loss
            for (name, task), one, loss in zip(self.tasks_.items(), self._target.parts, losses, strict=True)
        }
        return objective.value(outputs, part.targets, part.weight)

    def _hold_oof(self, unseen):
        self._oof = unseen

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output, tags.target_tags.required = True, True
        tags.target_tags.single_output = False
        return tags
