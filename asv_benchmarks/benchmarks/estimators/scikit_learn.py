"""The scikit-learn estimators beside scikit-learn's own: fits, predictions, a grid search, scores."""

import os
import warnings
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score

LIBRARIES = {"fastbp": "fastbp", "sklearn": "sklearn.neural_network"}
GRID = {"hidden_layer_sizes": [(16,), (64,), (32, 16)], "alpha": [1e-4, 1e-2], "learning_rate_init": [1e-3, 1e-2]}


@dataclass(frozen=True)
class Case:
    """A fit: the estimator's name, its parameters, and what makes the data (float64)."""

    estimator: str
    data: object
    parameters: dict = field(default_factory=dict)

    def make(self, library, **parameters):
        """Return the unfitted estimator of a library, which runs for all its epochs."""
        endless = {"tol": 0.0, "n_iter_no_change": 10**6, "random_state": 0}
        module = import_module(LIBRARIES[library])
        return getattr(module, self.estimator)(**endless | self.parameters | parameters)


def digits():
    x, y = load_digits(return_X_y=True)
    return x / 16, y


def smooth_function():
    x = np.random.default_rng(0).normal(size=(10_000, 10))
    return x, np.tanh(x @ np.linspace(-1, 1, 10))


def wide_classes():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10_000, 54))
    return x, np.tanh(x @ rng.normal(size=(54, 7))).argmax(1)


def breast_cancer():
    x, y = load_breast_cancer(return_X_y=True)
    return (x - x.mean(0)) / x.std(0), y


CASES = {
    "digits 64-100-10, batch 200": Case("MLPClassifier", digits, {"batch_size": 200, "max_iter": 100}),
    "regression 10-32-1, batch 32": Case(
        "MLPRegressor", smooth_function, {"hidden_layer_sizes": (32,), "batch_size": 32, "max_iter": 10}
    ),
    "classes 54-256-256-7, batch 256": Case(
        "MLPClassifier", wide_classes, {"hidden_layer_sizes": (256, 256), "batch_size": 256, "max_iter": 4}
    ),
}


def grid_search(library, n_jobs):
    """Run a search over 12 points in 5 folds with early stopping off, 200 epochs at most."""
    estimator = import_module(LIBRARIES[library]).MLPClassifier(random_state=0)
    search = GridSearchCV(estimator, GRID, cv=5, n_jobs=n_jobs)
    with quiet():
        return search.fit(*breast_cancer())


class quiet(warnings.catch_warnings):
    """Context without warnings, here and in joblib's processes: that a fit has not converged is no news."""

    def __enter__(self):
        super().__enter__()
        warnings.simplefilter("ignore")
        self._before = os.environ.get("PYTHONWARNINGS")
        os.environ["PYTHONWARNINGS"] = "ignore"

    def __exit__(self, *exception):
        os.environ.pop("PYTHONWARNINGS")
        if self._before is not None:
            os.environ["PYTHONWARNINGS"] = self._before
        super().__exit__(*exception)


class Fit:
    """A fit of a fixed number of epochs."""

    params = (list(CASES), ["float32", "float64"], list(LIBRARIES))
    param_names = ("case", "dtype", "library")
    timeout = 600

    def setup(self, case, dtype, library):
        x, self.y = CASES[case].data()
        self.x = x.astype(dtype)
        self.estimator = CASES[case].make(library)
        with quiet():
            CASES[case].make(library, max_iter=1).fit(self.x, self.y)

    def time_fit(self, case, dtype, library):
        with quiet():
            self.estimator.fit(self.x, self.y)

    def track_loss(self, case, dtype, library):
        with quiet():
            return self.estimator.fit(self.x, self.y).loss_


class Predict:
    """`predict` of one row and of 10,000, checks included."""

    params = ([1, 10_000], ["float32", "float64"], list(LIBRARIES))
    param_names = ("rows", "dtype", "library")

    def setup(self, rows, dtype, library):
        x, y = digits()
        with quiet():
            self.estimator = CASES["digits 64-100-10, batch 200"].make(library, max_iter=1).fit(x.astype(dtype), y)
        self.x = np.resize(x, (rows, 64)).astype(dtype)
        self.estimator.predict(self.x)

    def time_predict(self, rows, dtype, library):
        self.estimator.predict(self.x)


class Search:
    """A grid search over 12 points in 5 folds, two jobs."""

    params = list(LIBRARIES)
    param_names = ("library",)
    timeout = 1200

    def time_search(self, library):
        grid_search(library, 2)


class Score:
    """The mean accuracy of five folds on breast_cancer: faster must not mean less learned."""

    params = list(LIBRARIES)
    param_names = ("library",)

    def track_accuracy(self, library):
        estimator = import_module(LIBRARIES[library]).MLPClassifier(random_state=0)
        with quiet():
            return cross_val_score(estimator, *breast_cancer(), cv=5).mean()
