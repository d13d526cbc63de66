"""Tabular estimators for tables of Dask."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from fastbp.callbacks.fraction_bar import progress_bar
from fastbp.compiler.compiling import working_time
from fastbp.interop.dask.partitions import predicted
from fastbp.interop.dask.table import dask_table, import_dask, is_collection, rows_here, taken_by_name
from fastbp.interop.dask.training import DaskTraining
from fastbp.settings.user_warnings import warn
from fastbp.tabular import classifier, regressor
from fastbp.tabular.checkpoint import checkpoint_at
from fastbp.tabular.multicolumn_targets import Quantities
from fastbp.tabular.tablewarning import tell
from fastbp.tabular.time_limit import Pace

# Parameters that only the estimators in memory have: here workers train, with threads of their own.
WITHOUT = ("n_threads", "n_jobs", "callbacks")
# {an argument of `fit` that tables of Dask do not have: which rows to set apart in its place}.
WHICH_ROWS = {"groups": "other groups", "time": "a later time"}


class _ScoredByName:
    """The score of both: the target may be a column's name, as in `fit`."""

    def score(self, X, y, sample_weight=None):
        """Return the accuracy, or the R2 score of a regressor.

        Parameters
        ----------
        X, y, sample_weight
            As of `fit`, or a table in memory and its target.

        Returns
        -------
        float
        """
        return super().score(*taken_by_name(X, y, sample_weight))


class _DaskTabular(BaseEstimator):
    """Base of both estimators: `_local_kind` is the estimator for a table in memory, which does the rest."""

    def fit(self, X, y, sample_weight=None, *, eval_set=None, groups=None, time=None, checkpoint=None):
        """Fit the model to a table of Dask.

        Parameters
        ----------
        X : dask.dataframe.DataFrame, or dask.array.Array of shape (n_samples, n_features)
            Partitions may be empty and of any sizes; a column's categories may differ from one to the next.
        y : str, list of str, or dask.dataframe.Series, DataFrame or dask.array.Array of shape (n_samples,) or \
(n_samples, n_columns)
            The target, or the name of a column of X, which is then no feature. Its partitions are those of X. Several
            columns are, as for fastbp's own estimators, the probabilities of classes or several targets.
        sample_weight : str, dask.dataframe.Series or dask.array.Array of shape (n_samples,), default=None
            Or the name of a column of X. Rows of weight 0 are left out.
        eval_set : tuple (X, y) or (X, y, sample_weight), default=None
            Rows, of Dask or in memory, by which the best epochs are chosen and probabilities are calibrated; y may be
            the name of a column. They are brought here whole, and none of the table are set apart for that.
        groups, time : None
            For tables in memory only: with rows of other groups, or of a later time, as `eval_set` the scores hold for
            these.
        checkpoint : str or path, default=None
            A folder of this machine in which each network is kept as soon as it is there. Called again with the same
            table, partition by partition, and settings, `fit` goes on with the networks that are missing, and ends
            with the same bits; of ``random_state=None`` the seed is kept too. The folder stays.

        Returns
        -------
        self : object
            The fitted estimator; a fit that fails leaves it as it was.

        Raises
        ------
        ValueError
            For a target with missing values (the partition is named), fewer than two rows or classes, partitions of
            X, y and `sample_weight` that differ, `groups` or `time`, and a `checkpoint` of another fit.
        TypeError
            For tables that are none of Dask's.
        """
        self._validate_params()
        for name, given in (("groups", groups), ("time", time)):
            if given is not None:
                raise ValueError(
                    f"{name}= is for tables in memory: set rows of {WHICH_ROWS[name]} apart yourself, and give them as "
                    "eval_set=(X, y)."
                )
        pace = Pace(None if self.time_limit is None else working_time() + self.time_limit)
        table, model, kept = dask_table(X, y, sample_weight), self._new_local(), checkpoint_at(checkpoint)
        model._validate_params()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        seed = kept.seed(seed, chosen=self.random_state is not None)
        is_classes, eval_set = isinstance(self, ClassifierMixin), rows_here(eval_set)
        with progress_bar(self.verbose) as progress:
            fitted = DaskTraining(
                model, table, is_classes, self.sample_rows, seed, pace, progress, eval_set, kept
            ).run()
        name = table.target_name
        one_name, named = name if isinstance(name, str) else None, table.columns is not None
        model._hold(fitted.encoder, fitted.ensemble, fitted.target, one_name, named)
        model._learn_from_unseen(fitted.objective, None, fitted.valid, None, with_repeats=False)
        self.model_, self.n_rows_, self.sample_rows_ = model, fitted.n_rows, fitted.sample_rows
        self._target_columns = name if isinstance(name, list) else None
        if fitted.ensemble.interrupted:
            warn("Training interrupted by user.")
        tell([*fitted.encoder.notices, *fitted.encoder.doubts, *fitted.notices])
        return self

    def predict(self, X):
        """Predict the target.

        Parameters
        ----------
        X : DataFrame or array of Dask, or any table that fastbp's own estimator takes

        Returns
        -------
        dask.dataframe.Series, dask.array.Array or array of shape (n_samples,)
            Lazily, partition by partition: of a DataFrame of Dask a Series with its index (of quantiles or several
            targets a DataFrame), of an array an array. Of a table in memory an array.
        """
        return self._predictions(X, "predict")

    def _new_local(self):
        parameters = {name: value for name, value in self.get_params(deep=False).items() if name != "sample_rows"}
        return self._local_kind(**parameters)

    def _predictions(self, X, method):
        check_is_fitted(self)
        if not is_collection(X):
            return getattr(self.model_, method)(X)
        dask, empty = import_dask(), self._empty(method)
        model = dask.delayed(self.model_, traverse=False)
        if isinstance(X, dask.dataframe.DataFrame):
            return X.map_partitions(predicted, model, method, empty, meta=empty)
        X, values = X.rechunk({1: -1}), empty.to_numpy()
        width = {"drop_axis": 1} if values.ndim == 1 else {"chunks": (X.chunks[0], (values.shape[1],))}
        return X.map_blocks(predicted, model, method, values, dtype=values.dtype, meta=values, **width)

    def _empty(self, method):
        """Return the predictions of no rows, a Series or a DataFrame."""
        import pandas as pd

        columns, dtype = self._columns(method)
        if columns is None:
            return pd.Series(np.zeros(0, dtype), dtype=dtype, name=self.model_.target_name_)
        return pd.DataFrame(np.zeros((0, len(columns)), dtype), columns=columns)


class TabularClassifier(_ScoredByName, ClassifierMixin, _DaskTabular):
    """Classifier for tables of Dask: each network of the ensemble learns from rows drawn over all partitions.

    Parameters
    ----------
    preset, time_limit, eval_metric, class_weight, categorical_features, random_state, verbose
        As of `fastbp.TabularClassifier`. A time limit goes by the clocks of the workers' machines, which must agree.
        (`n_threads`, `n_jobs` and `callbacks` are not there: workers train, with their threads.)
    sample_rows : int, default=None
        Rows that each network is trained on, drawn anew for each, without replacement, from all partitions. None: what
        takes a quarter of the memory of a worker's thread, at most 1,000,000; all rows where there are fewer.

    Attributes
    ----------
    model_ : fastbp.TabularClassifier
        The fitted estimator, for rows in memory: it predicts, explains itself and is saved without Dask.
    classes_ : array of shape (n_classes,)
        Those of all rows, sorted.
    n_rows_, sample_rows_ : int
        All rows, and those of each network.

    Notes
    -----
    Classes and their frequencies are counted in all rows. What the encoding needs (medians, quartiles, categories,
    which columns are numbers or dates) is learnt from 100,000 drawn rows: a category that these have not is taken for
    a missing value. A tenth of the rows, 20,000 at most, is drawn first; no network trains on those: they choose each
    one's best epoch, and probabilities are calibrated by them. `fit` reads the table three times.

    Which rows are drawn depends on `random_state` and the partitions' sizes, not on workers: the same table gives the
    same bits on any number of them, and a lost worker's tasks run again on others. A worker's task has as many threads
    as its environment says (``OMP_NUM_THREADS``, which Dask sets to 1), else one.

    Without a `distributed.Client` the threads of this process do the work. Ctrl-C leaves the networks that are done.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> from fastbp.interop.dask import TabularClassifier
    >>> from sklearn.datasets import load_iris
    >>> frame = load_iris(as_frame=True).frame
    >>> table = dd.from_pandas(frame, npartitions=3)
    >>> model = TabularClassifier("fast", random_state=0).fit(table, "target")
    >>> model.predict(table).compute().shape
    (150,)
    >>> model.model_.score(frame, frame["target"]) > 0.9
    True
    """

    _local_kind = classifier.TabularClassifier
    _parameter_constraints: dict[str, list] = {
        **{name: rule for name, rule in _local_kind._parameter_constraints.items() if name not in WITHOUT},
        "sample_rows": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        preset="default",
        *,
        sample_rows=None,
        time_limit=None,
        eval_metric=None,
        class_weight=None,
        categorical_features=None,
        random_state=None,
        verbose=0,
    ):
        self.preset = preset
        self.sample_rows = sample_rows
        self.time_limit = time_limit
        self.eval_metric = eval_metric
        self.class_weight = class_weight
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.verbose = verbose

    @property
    def classes_(self):
        """The classes, in the order of the probabilities."""
        return self.model_.classes_

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : DataFrame or array of Dask, or any table that `fastbp.TabularClassifier` takes

        Returns
        -------
        dask.dataframe.DataFrame, dask.array.Array or array of shape (n_samples, n_classes)
            Lazily, as of `predict`; a DataFrame's columns are the classes.
        """
        return self._predictions(X, "predict_proba")

    def _columns(self, method):
        return (None, self.classes_.dtype) if method == "predict" else (self.classes_, np.dtype(np.float64))


class TabularRegressor(_ScoredByName, RegressorMixin, _DaskTabular):
    """Regressor for tables of Dask: each network of the ensemble learns from rows drawn over all partitions.

    Parameters
    ----------
    preset, quantiles, time_limit, eval_metric, categorical_features, random_state, verbose
        As of `fastbp.TabularRegressor`. A time limit goes by the clocks of the workers' machines, which must agree.
    sample_rows : int, default=None
        As of `fastbp.interop.dask.TabularClassifier`.

    Attributes
    ----------
    model_ : fastbp.TabularRegressor
        The fitted estimator, for rows in memory: it predicts, explains itself and is saved without Dask.
    n_rows_, sample_rows_ : int
        All rows, and those of each network.

    Notes
    -----
    The target's mean, deviation and range are those of all rows, merged partition by partition. The rest is as of
    `fastbp.interop.dask.TabularClassifier`.

    Examples
    --------
    >>> import dask.array as da
    >>> from fastbp.interop.dask import TabularRegressor
    >>> x = da.random.default_rng(0).normal(size=(600, 3), chunks=(200, 3))
    >>> model = TabularRegressor("fast", sample_rows=300, random_state=0).fit(x, x[:, 0] + x[:, 1] ** 2)
    >>> model.predict(x)
    dask.array<predicted, shape=(600,), dtype=float64, chunksize=(200,), chunktype=numpy.ndarray>
    """

    _local_kind = regressor.TabularRegressor
    _parameter_constraints: dict[str, list] = {
        **{name: rule for name, rule in _local_kind._parameter_constraints.items() if name not in WITHOUT},
        "sample_rows": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        preset="default",
        *,
        sample_rows=None,
        quantiles=None,
        time_limit=None,
        eval_metric=None,
        categorical_features=None,
        random_state=None,
        verbose=0,
    ):
        self.preset = preset
        self.sample_rows = sample_rows
        self.quantiles = quantiles
        self.time_limit = time_limit
        self.eval_metric = eval_metric
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.verbose = verbose

    def _columns(self, method):
        target = self.model_._target
        if self.quantiles is None and isinstance(target, Quantities):
            return self._target_columns or list(range(len(target.parts))), np.dtype(np.float64)
        return None if self.quantiles is None else list(self.quantiles), np.dtype(np.float64)
