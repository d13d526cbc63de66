"""The tabular estimators: scores beside times, on tables that scikit-learn bundles and on generated ones."""

import time

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import train_test_split

import fastbp
from fastbp.tabular.encoding import TableEncoder


def mixed_table(n):
    """Return a frame of numbers, categories and missing values, and classes that depend on them."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(n, 8))
    frame = pd.DataFrame(numbers, columns=[f"x{i}" for i in range(8)])
    town = rng.integers(0, 40, n)
    frame["town"], frame["kind"] = pd.Series(town).astype(str), rng.choice(["a", "b", "c"], n)
    effects = rng.normal(size=40)
    odds = numbers[:, 0] * numbers[:, 1] + np.abs(numbers[:, 2]) + effects[town] + (frame["kind"] == "a") - 1
    frame.loc[rng.random(n) < 0.1, "x3"] = np.nan
    return frame, (rng.random(n) < 1 / (1 + np.exp(-2 * odds))).astype(int)


TABLES = {
    "breast_cancer": lambda: load_breast_cancer(return_X_y=True, as_frame=True),
    "wine": lambda: load_wine(return_X_y=True, as_frame=True),
    "diabetes": lambda: load_diabetes(return_X_y=True, as_frame=True),
    "mixed, 5,000 rows": lambda: mixed_table(5000),
}


def learner(table, preset):
    """Return the unfitted estimator for a table."""
    estimator = fastbp.TabularRegressor if table == "diabetes" else fastbp.TabularClassifier
    return estimator(preset, random_state=0)


class Fit:
    """A fit, and the loss on a quarter of the rows that it did not see."""

    params = (list(TABLES), ["fast", "default"])
    param_names = ("table", "preset")
    timeout = 600

    def setup(self, table, preset):
        frame, target = TABLES[table]()
        self.train, self.test, self.y_train, self.y_test = train_test_split(frame, target, random_state=0)
        learner(table, "fast").fit(self.train[:60], self.y_train[:60])

    def time_fit(self, table, preset):
        learner(table, preset).fit(self.train, self.y_train)

    def track_loss(self, table, preset):
        fitted = learner(table, preset).fit(self.train, self.y_train)
        if table == "diabetes":
            return root_mean_squared_error(self.y_test, fitted.predict(self.test))
        return log_loss(self.y_test, fitted.predict_proba(self.test))


class Predict:
    """Probabilities of 100,000 rows: each preset has another number of networks."""

    params = ["fast", "default"]
    param_names = ("preset",)
    timeout = 600

    def setup(self, preset):
        frame, target = mixed_table(5000)  # enough rows for `fast` to have 3 networks
        self.estimator = learner("mixed", preset).fit(frame, target)
        self.rows, _ = mixed_table(100_000)

    def time_predict_proba(self, preset):
        self.estimator.predict_proba(self.rows)


class Encode:
    """Encoding 50,000 rows of mixed columns: fitting and transforming."""

    def setup(self):
        self.frame, _ = mixed_table(50_000)

    def time_fit_transform(self):
        TableEncoder().fit_transform(self.frame)


def wide_table(n, d):
    """Return a frame of numbers, and a target that ten of them and a product tell."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(n, d))
    target = numbers[:, :10].sum(axis=1) + 3 * numbers[:, 0] * numbers[:, 1] + rng.normal(size=n)
    return pd.DataFrame(numbers, columns=[f"x{i}" for i in range(d)]), target


class OneRow:
    """The prediction of one row of a DataFrame, whose columns cost more than the networks."""

    params = [28, 300]
    param_names = ("columns",)

    def setup(self, columns):
        self.frame, target = wide_table(400, columns)
        self.estimator = fastbp.TabularRegressor("fast", time_limit=1, random_state=0).fit(self.frame, target)
        self.row = self.frame.iloc[:1]

    def time_predict(self, columns):
        self.estimator.predict(self.row)


class Wide:
    """Fits of tables with more columns than rows, and the share of the variance that new rows leave unexplained."""

    params = ([(1000, 300), (1000, 2000), (100, 20_000)],)
    param_names = ("rows, columns",)
    timeout = 600

    def setup(self, shape):
        rows, columns = shape
        frame, target = wide_table(rows + 500, columns)
        self.train, self.test = frame[:rows].to_numpy(), frame[rows:].to_numpy()
        self.y_train, self.y_test = target[:rows], target[rows:]
        learner("diabetes", "fast").set_params(time_limit=1).fit(self.train[:60], self.y_train[:60])

    def time_fit(self, shape):
        learner("diabetes", "fast").fit(self.train, self.y_train)

    def track_unexplained(self, shape):
        return 1 - learner("diabetes", "fast").fit(self.train, self.y_train).score(self.test, self.y_test)


class TimeLimit:
    """The seconds that fits take beyond their limit, reading, calibration and scores included."""

    params = ["100 x 20,000", "20,000 rows of 1,000 classes"]
    param_names = ("table",)
    timeout = 600

    def setup(self, table):
        if table == "100 x 20,000":
            frame, target = wide_table(100, 20_000)
            self.X, self.y = frame.to_numpy(), target > 0
        else:
            rng = np.random.default_rng(0)
            self.y = rng.integers(0, 1000, 20_000)
            self.X = rng.normal(size=(1000, 10))[self.y] + rng.normal(size=(20_000, 10)) / 2
        learner(table, "fast").set_params(time_limit=1).fit(self.X[:60], np.arange(60) % 2)

    def track_seconds_beyond(self, table):
        started = time.perf_counter()
        learner(table, "default").set_params(time_limit=5).fit(self.X, self.y)
        return time.perf_counter() - started - 5
