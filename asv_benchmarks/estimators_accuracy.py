"""Test scores of fastbp's and scikit-learn's estimators on the bundled data sets, over ten seeds.

    python asv_benchmarks/estimators_accuracy.py

A seed splits the rows (a quarter to test), and is both estimators' random_state.  float32 rows, so that rounding
errors make different fits of the same work; defaults but for the settings below.
"""

import argparse
import warnings

import numpy as np
from sklearn import datasets, neural_network
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import fastbp

SETS = {
    "iris": ("MLPClassifier", datasets.load_iris),
    "wine": ("MLPClassifier", datasets.load_wine),
    "breast_cancer": ("MLPClassifier", datasets.load_breast_cancer),
    "digits": ("MLPClassifier", datasets.load_digits),
    "diabetes": ("MLPRegressor", datasets.load_diabetes),
}
SETTINGS = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.01},
    "lbfgs": {"solver": "lbfgs", "alpha": 1.0},
}
SEEDS = 10


def main():
    """Print the table."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    warnings.simplefilter("ignore")
    print("data set       solver  fastbp            scikit-learn      difference, and its standard error")
    for name, (estimator, load) in SETS.items():
        for solver, settings in SETTINGS.items():
            ours, theirs = (
                np.array([score(library, estimator, load, settings, seed) for seed in range(SEEDS)])
                for library in (fastbp, neural_network)
            )
            difference = ours - theirs
            error = difference.std(ddof=1) / np.sqrt(SEEDS)
            means = "  ".join(f"{scores.mean():.4f} +- {scores.std():.4f}" for scores in (ours, theirs))
            print(f"{name:13}  {solver:6}  {means}  {difference.mean():+.4f} +- {error:.4f}", flush=True)


def score(library, estimator, load, settings, seed):
    """Return the test score of one fit."""
    x, y = load(return_X_y=True)
    if estimator == "MLPRegressor":
        y = (y - y.mean()) / y.std()
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=seed)
    scaler = StandardScaler().fit(x_train)
    x_train, x_test = (scaler.transform(part).astype(np.float32) for part in (x_train, x_test))
    return getattr(library, estimator)(random_state=seed, **settings).fit(x_train, y_train).score(x_test, y_test)


if __name__ == "__main__":
    main()
