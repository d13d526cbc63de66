"""What the two estimators share: from scikit-learn's parameters and checks to a trained `Sequential`, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, is_regressor
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastbp.activations import Activation
from fastbp.engine import threads
from fastbp.engine.exclusive import changes, check_free
from fastbp.engine.user_arrays import held, real_array, refuse_masked, validation_parts
from fastbp.engine.weighted_rows import WeightedRows
from fastbp.estimators.checked import settings_checked
from fastbp.estimators.files import estimator_from, state_of
from fastbp.estimators.lbfgs import fit_lbfgs
from fastbp.estimators.lm import fit_lm
from fastbp.estimators.names import (
    known_activations,
    known_learning_rates,
    known_solvers,
    schedule_classes,
)
from fastbp.estimators.network import layers_of, model_with_layers, new_model
from fastbp.estimators.stochastic import EPOCHS_ATTRIBUTES, fit_stochastic
from fastbp.estimators.weight_views import VIEWS, WeightViews
from fastbp.io.saving import save_tensors
from fastbp.models.arguments import checked_callbacks
from fastbp.models.sequential import Sequential
from fastbp.optimizers.base import Optimizer

PARAMETER_CONSTRAINTS: dict[str, list] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(known_activations()), Activation],
    "solver": [StrOptions(known_solvers() | {"lbfgs"}), Optimizer],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions(known_learning_rates()), *schedule_classes()],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose", StrOptions({"auto"})],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "callbacks": [list, tuple, None],
    "n_threads": [Interval(Integral, 1, None, closed="left"), None],
}

FULL_BATCH_FITS = {"lbfgs": fit_lbfgs, "lm": fit_lm}


class BaseMLP(WeightViews, BaseEstimator, ABC):
    """Base of the multilayer perceptrons; the public classes say what is classified or regressed."""

    _parameter_constraints: dict[str, list] = PARAMETER_CONSTRAINTS

    @abstractmethod
    def _learn_targets(self, y, incremental):
        """Take from checked y what the network must know: its classes."""

    @abstractmethod
    def _targets(self, y):
        """Return checked y as (n, t): what scores are computed from."""

    @abstractmethod
    def _n_outputs(self, targets):
        """Return the number of outputs that the network needs."""

    @abstractmethod
    def _objective(self):
        """Return the `Objective` of `n_outputs_` outputs."""

    @abstractmethod
    def _network_targets(self, objective, targets, dtype):
        """Return targets (n, t) as the loss wants them."""

    def _check_outputs(self):
        """Raise ValueError where the fitted attributes of a file do not agree on the outputs."""

    @abstractmethod
    def _stratifies(self):
        """Does early stopping set aside the same share of each class?"""

    @abstractmethod
    def _validation_score(self, rows):
        """Return the score that early stopping goes by, on `WeightedRows`."""

    @settings_checked
    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, *, validation_data: tuple | None = None
    ) -> Self:
        """Fit the model to data matrix X and target(s) y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data. Sparse matrices are made dense.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The target values (class labels in classification, real numbers in regression).
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights. A batch makes no update, and is left out of the epoch's loss, if its weights sum to zero.
        validation_data : tuple (X, y) or (X, y, sample_weight), default=None
            Rows to score after every epoch, in `validation_scores_`; with ``early_stopping=True`` they take the
            place of those that would be set aside.

        Returns
        -------
        self : object
            Returns a trained MLP model.

        Raises
        ------
        ValueError
            For settings out of their range, and data that cannot be used: missing or infinite numbers, lengths
            that differ.
        TrainingDiverged
            If the loss or a parameter becomes NaN or infinite.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = fastbp.MLPClassifier((20,), solver="lbfgs", random_state=0)
        >>> clf.fit(X, y).score(X, y) > 0.95
        True
        """
        return self._fit(X, y, sample_weight, validation_data, incremental=False)

    @changes
    def _fit(self, X, y, sample_weight, validation_data, incremental):
        checked_callbacks(self.callbacks)
        if self._takes_all_rows():
            self._check_full_batch(validation_data)
        first_pass = not hasattr(self, "model_") or (not self.warm_start and not incremental)
        X, y = self._checked(X, y, reset=first_pass)
        weight = self._weights(X, y, sample_weight)
        self._learn_targets(y, incremental)
        targets = self._targets(y)
        self.n_outputs_ = self._n_outputs(targets)
        self._random_state = check_random_state(self.random_state)
        objective = self._objective()
        layers = layers_of(self, objective, self.n_outputs_)
        dtype = X.dtype if first_pass else self.model_.dtype
        rows = self._rows(objective, dtype, X, targets, weight)
        validation = None if validation_data is None else self._validation_rows(objective, dtype, validation_data)
        if first_pass:
            self._initialize(objective, new_model(self, layers, X.shape[1], dtype))
        else:
            self._adopt_weights()
            self._hold(model_with_layers(self.model_, layers))
        with self._thread_limit():
            if self._takes_all_rows():
                FULL_BATCH_FITS[self.solver](self, objective, rows)
            else:
                fit_stochastic(self, objective, rows, validation, incremental)
        if not np.isfinite(self.model_.params).all():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to "
                "be preprocessed."
            )
        return self

    def _takes_all_rows(self):
        """Does the solver take all rows at every step?"""
        return isinstance(self.solver, str) and self.solver in FULL_BATCH_FITS

    def _check_full_batch(self, validation_data):
        """Raise ValueError for what makes sense in batches only."""
        if self.dropout:
            raise ValueError(
                f"solver={self.solver!r} takes all rows at every step and draws no dropout masks: set dropout=0, or a "
                "solver that takes batches, such as 'adam'."
            )
        if validation_data is not None:
            raise ValueError(
                f"solver={self.solver!r} has no epochs after which validation_data could be scored: take a solver of "
                "batches, such as 'adam'."
            )

    def _checked(self, X, y, reset):
        """Return X (n, d) in float32 or float64, dense or sparse, and y, or raise scikit-learn's errors."""
        refuse_masked(X=X, y=y)
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=is_regressor(self),
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _weights(self, X, y, sample_weight):
        """Return the rows' weights (n,), or None where all count the same."""
        return None if sample_weight is None else checked_weight(sample_weight, X)

    def _validation_rows(self, objective, dtype, validation_data):
        """Return the user's validation data as `WeightedRows`."""
        X, y, weight = validation_parts(validation_data)
        X, y = self._checked(X, y, reset=False)
        weight = None if weight is None else checked_weight(weight, X)
        return self._rows(objective, dtype, X, self._targets(y), weight)

    def _rows(self, objective, dtype, X, targets, weight):
        """Return checked data as `WeightedRows`: for the kernels, in the model's dtype, and the targets as they are."""
        x, weight = as_rows(X, dtype), None if weight is None else np.ascontiguousarray(weight, dtype)
        return WeightedRows(x, self._network_targets(objective, targets, dtype), weight, targets)

    def _initialize(self, objective, model):
        """Set the fitted attributes as they are before the first epoch."""
        self._hold(model)
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(model.views) // 2 + 1
        self.out_activation_ = objective.out_activation
        # What solvers of batches write begins anew with their first epoch.
        for name in EPOCHS_ATTRIBUTES:
            vars(self).pop(name, None)

    def _outputs(self, X):
        """Return the network's outputs (n, k) for the user's X."""
        if not hasattr(self, "model_"):
            check_is_fitted(self)  # which takes half as long as predicting a row
        check_free(self)
        self._adopt_weights()
        engine, X = self.model_.engine, held(X)
        if not self._is_ready(X, engine.dtype):
            refuse_masked(X=X)
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
            X = as_rows(X, engine.dtype)
        engine.network.check_input(X)
        with self._thread_limit():
            return engine.predict(X)

    def _thread_limit(self):
        """Return the context of compiled calls."""
        return nullcontext() if self.n_threads is None else threads.limit_threads(self.n_threads)

    def _is_ready(self, X, dtype):
        """Would scikit-learn's checks pass X (n, d) through as it is?  They take 50 times as long to say so."""
        return (
            type(X) is np.ndarray
            and X.dtype == dtype
            and X.ndim == 2
            and X.shape[1] == self.n_features_in_
            and X.shape[0] > 0
            and X.flags.c_contiguous
            and not hasattr(self, "feature_names_in_")
            and np.logical_and.reduce(np.isfinite(X), axis=None)
        )

    @property
    def _optimizer(self):
        """The optimizer of the last fit in batches, or None."""
        return self.model_.engine.optimizer

    def card(self, *, license: str | None = None, date: str | None = None) -> str:
        """Return a model card: its network, classes, versions and limits, as Markdown.

        Parameters
        ----------
        license, date : str, optional
            Of the model: files keep neither, so that the same training gives the same bytes.

        Returns
        -------
        str

        Raises
        ------
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = fastbp.MLPClassifier((20,), solver="lbfgs", random_state=0).fit(X, y)
        >>> print(clf.card(license="CC0-1.0").splitlines()[0])
        # Model card: MLPClassifier
        """
        from fastbp.models.card import network_card

        check_is_fitted(self)
        more = {"solver": self.solver, "epochs": self.n_iter_, "loss": self.loss_}
        if hasattr(self, "classes_"):
            more["classes"] = ", ".join(map(str, self.classes_.tolist()))
        title = f"Model card: {type(self).__name__}"
        return network_card(self.model_, license=license, date=date, title=title, more=more)

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to one safetensors file, which `fastbp.load_model` reads.

        Parameters
        ----------
        path : str or path
            The file appears whole or not at all.

        Raises
        ------
        NotFittedError
            Before `fit`.
        OSError
            Where the folder is not there, or cannot be written to.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = fastbp.MLPClassifier((20,), solver="lbfgs", random_state=0).fit(X, y)
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "iris.fastbp")
        >>> clf.save(path)
        >>> bool((fastbp.load_model(path).predict(X) == clf.predict(X)).all())
        True
        """
        save_tensors(path, *self.get_state())

    def get_state(self) -> tuple[dict[str, np.ndarray], dict]:
        """Return what a file needs: tensors by name, and a JSON-ready description."""
        check_is_fitted(self)
        return state_of(self)

    @classmethod
    def from_state(cls, tensors: dict[str, np.ndarray], description: dict, custom_objects: dict | None = None) -> Self:
        """Return the estimator that `get_state` described."""
        return estimator_from(cls, tensors, description, custom_objects or {})

    def __getstate__(self):
        """Take the network apart: addresses of kernels are of this process, and views would become copies."""
        state = dict(super().__getstate__())
        if "model_" in state:
            self._adopt_weights()
            state["model_"] = self.model_.get_state()
            for name in VIEWS:
                state.pop(name, None)
        return state

    def __setstate__(self, state):
        super().__setstate__({name: value for name, value in state.items() if name != "model_"})
        if "model_" in state:
            loss = getattr(self, "loss", None)
            self._hold(Sequential.from_state(*state["model_"], {getattr(loss, "name", None): loss}))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def checked_weight(sample_weight, X):
    """Return the weights (n,) of rows, real and without a mask, or raise scikit-learn's errors for others."""
    return _check_sample_weight(real_array(sample_weight, "sample_weight"), X)


def as_rows(X, dtype):
    """Return checked X, dense or sparse, as C-contiguous rows in `dtype`."""
    if issparse(X):
        X = X.toarray()
    return np.ascontiguousarray(X, dtype)
