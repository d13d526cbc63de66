"""The base of the tabular estimators: a table and its target become an ensemble of networks, which predicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager, nullcontext
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import _safe_indexing, check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from fastbp.callbacks.fraction_bar import progress_bar
from fastbp.compiler.compiling import working_time
from fastbp.engine.exclusive import changes, check_free
from fastbp.engine.threads import limit_threads
from fastbp.engine.user_arrays import refuse_masked
from fastbp.estimators.checked import settings_checked
from fastbp.kernels.repeatable import power
from fastbp.settings.user_warnings import warn
from fastbp.tabular.bagging import Unseen, train_ensemble
from fastbp.tabular.checkpoint import checkpoint_at, made_of
from fastbp.tabular.columns import has_names, with_rows
from fastbp.tabular.encoding import TableEncoder
from fastbp.tabular.folds import absent_before
from fastbp.tabular.insight.importances import kept_rows
from fastbp.tabular.insight.insightful import Insightful
from fastbp.tabular.multicolumn_targets import columns_of
from fastbp.tabular.network_training import Part
from fastbp.tabular.observers import Observers, checked_observers
from fastbp.tabular.recipe import PRESETS
from fastbp.tabular.repeated_rows import use_repeats
from fastbp.tabular.storage import Stored
from fastbp.tabular.tablewarning import tell
from fastbp.tabular.target_columns import target_columns
from fastbp.tabular.training_rows import checked_weight, part_of, set_apart

# A time limit may be missed by so many seconds, or by this share of it, without a warning.
TOLERANCE, LIMIT_SHARE = 1.0, 0.1
PARAMETER_CONSTRAINTS: dict[str, list] = {
    "preset": [StrOptions(set(PRESETS))],
    "time_limit": [Interval(Real, 0, None, closed="neither"), None],
    "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
    "random_state": ["random_state"],
    "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    "n_jobs": [Interval(Integral, 1, None, closed="left"), Interval(Integral, None, -1, closed="right"), None],
    "verbose": ["verbose", StrOptions({"auto"})],
    "callbacks": [list, tuple, None],
}


class BaseTabular(Insightful, Stored, ABC):
    """Base of the tabular estimators; the public classes say what is classified or regressed."""

    @abstractmethod
    def _checked_target(self, y):
        """Return y as an array (n,) or (n, t) without missing values, or raise scikit-learn's errors."""

    @abstractmethod
    def _target_of(self, y, weight, names):
        """Return the target that y holds; rows with weight (n,) 0 do not count.  `names`: of y's columns, or None.

        `Classes` or a `Quantity` of y (n,), `SoftClasses` or `Quantities` of y (n, t).
        """

    @abstractmethod
    def _objective(self, target):
        """Return the `Objective` for a target."""

    @abstractmethod
    def _calibrated(self, outputs, part, share):
        """Calibrate the ensemble by its outputs (m, k) for the rows of a `Part`; return these outputs, overwritten.

        Each row's outputs are the mean over that `share` of the networks which did not train on the row.
        """

    @abstractmethod
    def _score(self, objective, outputs, part):
        """Return `best_score_` by calibrated outputs (m, k) for the rows of a `Part`."""

    @abstractmethod
    def _hold_oof(self, unseen):
        """Keep out-of-fold outputs, an `Unseen` of the user's rows, as the user wants them; None: there are none."""

    @settings_checked
    @changes
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        eval_set: tuple | None = None,
        groups: ArrayLike | str | None = None,
        time: ArrayLike | str | None = None,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Fit the model to a table.

        Parameters
        ----------
        X : DataFrame of pandas, polars or pyarrow, array-like or sparse matrix of shape (n_samples, n_features)
            The columns as they are: numbers, booleans, text, categories, dates, with missing values. A dict of
            columns or a list of records (dicts) will do. Text that is numbers or dates, in whatever dress, is read as
            such. Columns of a sparse matrix are read one at a time; what the networks read is dense, and at most 4 GiB.
            A `fastbp.TableWarning` says which columns are not used, what was odd or guessed, and which columns look as
            if they were not meant.
        y : array-like of shape (n_samples,) or (n_samples, n_columns)
            The target: class labels, or for a regressor numbers. Several columns are for a classifier the
            probabilities of its classes, each row of which sums to 1 (the columns' names, or 0, 1, 2 ..., are the
            classes), for a regressor several targets that one set of networks learns at once.
        sample_weight : array-like of shape (n_samples,), default=None
            Rows of weight 0 are left out.
        eval_set : tuple (X, y) or (X, y, sample_weight), default=None
            Rows by which the best epochs are chosen and probabilities are calibrated; every network then trains on
            all rows of X, and there are no out-of-fold predictions. By default each network leaves out another part
            of the rows for that.
        groups : array-like of shape (n_samples,) or str, default=None
            Rows of one group (a patient, a household) are never on both sides of a network's cut into rows to train
            on and rows to choose the best epoch by, so that scores hold for new groups. The name of a column of X
            takes that column, which is then no feature.
        time : array-like of shape (n_samples,) or str, default=None
            Numbers, dates, times of day or durations, or text that is such ("31.12.2024"): every network trains on
            the earlier rows and chooses its best epoch by the last tenth, so that scores hold for what comes next;
            only these rows have out-of-fold predictions. The name of a column of X takes that column, which stays a
            feature.
        checkpoint : str or path, default=None
            A folder in which each network is kept as soon as it is trained (it is made where there is none). Called
            again with the same data and settings, after a kill, a crash or Ctrl-C, `fit` goes on with the networks that
            are missing, and ends with the same bits as an unbroken run; of ``random_state=None`` the seed is kept too.
            A `time_limit` counts anew. The folder stays: remove it when the model is saved.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For data that cannot be used, before anything is changed: `X` without rows or usable columns, a missing
            or infinite target, lengths that differ, `groups` or `time` with a missing value or one value only, or
            beside `eval_set`; a `checkpoint` of another fit, which stays as it is.

        Examples
        --------
        >>> import fastbp, numpy as np, pandas as pd
        >>> rng = np.random.default_rng(0)
        >>> table = pd.DataFrame({"patient": np.repeat(np.arange(30), 4), "age": rng.uniform(20, 80, 120)})
        >>> weight = 50 + table["age"] / 4
        >>> reg = fastbp.TabularRegressor("fast", random_state=0).fit(table, weight, groups="patient")
        >>> reg.feature_names_in_.tolist()  # the column of the groups is no feature
        ['age']
        """
        started = working_time()
        deadline = None if self.time_limit is None else started + self.time_limit
        # Attributes are set after the networks are trained, so that a fit that fails leaves the estimator as it was.
        observed = checked_observers(self.callbacks, self.n_jobs)
        checkpoint = checkpoint_at(checkpoint)
        X = with_rows(X)
        name, named = getattr(y, "name", None), has_names(X)
        X, apart, notices = set_apart(X, groups, time, eval_set)
        target, X, part, kept = self._training_rows(X, y, sample_weight)
        objective, seed = self._objective(target), int(check_random_state(self.random_state).randint(2**31 - 1))
        seed = checkpoint.seed(seed, chosen=self.random_state is not None)
        encoder = TableEncoder()
        with self._thread_limit():
            part = part._replace(x=encoder.fit_transform(X, categorical_features=self.categorical_features))
            valid, surprises = (None, []) if eval_set is None else self._valid_part(encoder, target, eval_set)
        recipe, apart = PRESETS[self.preset].suited(len(part.x), encoder.n_numeric), apart.rows(kept)
        notices += self._absent(target, part.targets, recipe.folds, apart)
        notices += target_columns(X, y, kept, set(encoder.columns))
        tell([*notices, *encoder.notices, *encoder.doubts, *surprises])
        checkpoint.begin(seed, lambda: made_of(part, valid, recipe, objective, apart))
        if self.verbose and (n_kept := checkpoint.kept(recipe.networks)):
            print(f"checkpoint {checkpoint.path}: {n_kept} of {recipe.networks} networks are there.")
        encoded = working_time() - started
        with self._thread_limit(), progress_bar(self.verbose) as progress:
            ensemble = train_ensemble(
                encoder,
                part,
                recipe=recipe,
                objective=objective,
                seed=seed,
                valid=valid,
                separation=apart,
                deadline=deadline,
                progress=progress,
                checkpoint=checkpoint,
                n_jobs=self.n_jobs,
                observers=Observers(observed, objective.metric),
            )
            with self._as_before_on_error():
                self._hold(encoder, ensemble, target, name if isinstance(name, str) else None, named)
                # Repeated rows may be of other groups or of later times: their targets would tell too much.
                self._learn_from_unseen(objective, part, valid, kept, with_repeats=not apart)
        if ensemble.interrupted:
            warn("Training interrupted by user.")
        tell(self._overrun(encoded, ensemble.least_seconds))
        return self

    def _absent(self, target, targets, n_folds, apart):
        """Return lines on classes that only rows to validate by have, and on other oddities of targets."""
        return absent_before(targets, target.classes, n_folds, apart) if hasattr(target, "classes") else []

    def _overrun(self, encoded, least):
        """Return a line on a limit that is shorter than encoding and the least training together, in seconds."""
        limit = self.time_limit
        if limit is None or encoded + least <= limit + max(TOLERANCE, LIMIT_SHARE * limit):
            return []
        return [
            f"time_limit={limit:g}: it took {encoded:.1f} seconds to read the table, and it takes {least:.1f} to train "
            "one network for one step and to score it: no more was done. Give more time, or fewer rows or columns."
        ]

    @contextmanager
    def _as_before_on_error(self):
        """Restore the estimator if a step after its training fails."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            self.__dict__ = before
            raise

    def _training_rows(self, X, y, sample_weight):
        """Return the target, X, a `Part` without x, and which of the user's rows they are, (n,) of bool."""
        refuse_masked(y=y)
        names = columns_of(y)
        y = self._checked_target(y)
        check_consistent_length(X, y)
        if len(y) == 1:
            raise ValueError("Found a table with 1 sample while a minimum of 2 is required.")
        weight = checked_weight(sample_weight, y)
        target = self._target_of(y, weight, names)
        targets = target.encode(y)
        weight = target.weigh(targets, weight)
        kept = np.ones(len(y), bool) if weight is None else weight > 0
        if kept.all():
            return target, X, part_of(None, targets, weight), kept
        return target, _safe_indexing(X, np.flatnonzero(kept)), part_of(None, targets[kept], weight[kept]), kept

    def _valid_part(self, encoder, target, eval_set):
        """Return the user's validation rows, and lines on what training had not seen in them."""
        if not isinstance(eval_set, tuple) or len(eval_set) not in (2, 3):
            raise ValueError(f"eval_set is a tuple (X, y) or (X, y, sample_weight), not {type(eval_set).__name__}.")
        X, y, sample_weight = (*eval_set, None)[:3]
        refuse_masked(y=y)
        X = with_rows(X)
        y = self._checked_target(y)
        check_consistent_length(X, y)
        targets = target.encode(y)
        weight = target.weigh(targets, checked_weight(sample_weight, y))
        if weight is not None and not weight.any():
            raise ValueError("the rows of eval_set have no weight.")
        surprises = []
        part = part_of(encoder.transform(X, surprises), targets, weight)
        return part, [f"eval_set: {line}" for line in surprises]

    def _learn_from_unseen(self, objective, part, valid, kept, with_repeats):
        """Calibrate, score and keep what was predicted for rows that were not trained on."""
        ensemble, rows, given = self.ensemble_, None, valid
        if valid is not None:
            outputs, share = ensemble.outputs(valid.x), 1.0
        else:
            rows, outputs = _finite(ensemble.unseen)
            share, ensemble.unseen = ensemble.oof_share, None
            left_out, ensemble.left_out = ensemble.left_out, None
            valid = Part(None, part.targets[rows], None if part.weight is None else part.weight[rows])
        outputs = self._calibrated(outputs, valid, share)
        if given is not None:
            ensemble.kept = kept_rows(given, None, np.arange(len(given.x)), ensemble.temperature)
        elif len(rows):
            # The calibration of the few networks that left a row out, undone by that of all: see `_calibrated`.
            few = power(ensemble.temperature, 1 / np.sqrt(share))
            ensemble.kept = kept_rows(part, left_out, rows, few)
        if with_repeats:
            ensemble.repeats = use_repeats(outputs, part, valid, rows, objective)
        self.best_score_ = self._score(objective, outputs, valid)
        self._hold_oof(None if rows is None else Unseen(len(kept), np.flatnonzero(kept)[rows], outputs))

    def _hold(self, encoder, ensemble, target, target_name, named):
        """Set the fitted attributes that files keep too, except `best_score_`."""
        self.encoder_, self.ensemble_, self.history_ = encoder, ensemble, ensemble.history
        self._target, self.target_name_ = target, target_name
        self.reading_ = {}  # what ``fastbp train`` finds in the file that it reads, ready for JSON
        self.n_features_in_ = len(encoder.feature_names_in)
        vars(self).pop("feature_names_in_", None)
        if named:
            self.feature_names_in_ = np.array(encoder.feature_names_in, object)

    def _outputs(self, X):
        """Return the mean outputs (n, k) of the networks for the user's X."""
        check_is_fitted(self)
        check_free(self)
        X, notices = with_rows(X), []
        self._tell_about_names(X)
        with self._thread_limit():
            x = self.encoder_.transform(X, notices)
            tell(notices)
            return self.ensemble_.outputs(x)

    def _tell_about_names(self, X):
        """Warn, in scikit-learn's words, where columns are found by position though they have names."""
        named, fitted_named = has_names(X), hasattr(self, "feature_names_in_")
        if fitted_named and not hasattr(X, "columns"):
            warn(f"X does not have valid feature names, but {type(self).__name__} was fitted with feature names")
        elif named and not fitted_named:
            warn(f"X has feature names, but {type(self).__name__} was fitted without feature names")

    def _thread_limit(self):
        """Return the context of compiled calls."""
        return nullcontext() if self.n_threads is None else limit_threads(self.n_threads)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        tags.input_tags.sparse = True
        return tags


def _finite(unseen):
    """Return the rows (m,) and outputs (m, k) of an `Unseen` that are finite."""
    known = np.isfinite(unseen.outputs.min(axis=1)) & np.isfinite(unseen.outputs.max(axis=1))
    return (unseen.rows, unseen.outputs) if known.all() else (unseen.rows[known], unseen.outputs[known])
