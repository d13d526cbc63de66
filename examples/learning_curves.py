"""Learning curves and validation curves, drawn with scikit-learn's displays.

What one learns: where the curves of training and validation meet, more rows would not help; where they stay apart,
they would. Over the penalty `alpha`, the training score only falls, and the validation score has its best in between.
"""

import argparse
import warnings
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import LearningCurveDisplay, ShuffleSplit, ValidationCurveDisplay

from fastbp import MLPClassifier

FOLDS = ShuffleSplit(n_splits=3, test_size=0.3, random_state=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("learning_curves.png"))
    out = parser.parse_args().out
    warnings.simplefilter("ignore", ConvergenceWarning)

    x, y = load_digits(return_X_y=True)
    network = MLPClassifier((32,), max_iter=40, learning_rate_init=0.01, random_state=0)
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5))
    shares = np.geomspace(0.05, 1, 6)
    rows = LearningCurveDisplay.from_estimator(network, x / 16, y, train_sizes=shares, cv=FOLDS, ax=left)
    left.set_title("digits: accuracy by the number of rows")
    alphas = np.geomspace(1e-4, 10, 6)
    penalty = ValidationCurveDisplay.from_estimator(
        network, x[:600] / 16, y[:600], param_name="alpha", param_range=alphas, cv=FOLDS, ax=right
    )
    right.set_title("600 digits: accuracy by the penalty")
    figure.savefig(out, dpi=120, bbox_inches="tight")
    plt.close(figure)

    print("rows   training  validation")
    for n, train, test in zip(rows.train_sizes, rows.train_scores.mean(1), rows.test_scores.mean(1), strict=True):
        print(f"{n:5}  {train:8.3f}  {test:10.3f}")
    print("alpha      training  validation")
    for alpha, train, test in zip(alphas, penalty.train_scores.mean(1), penalty.test_scores.mean(1), strict=True):
        print(f"{alpha:9.4f}  {train:8.3f}  {test:10.3f}")
    print(f"drawn in {out}")
    gaps = (rows.train_scores - rows.test_scores).mean(axis=1)
    assert gaps[-1] < gaps[0] / 2
    assert penalty.test_scores.mean(axis=1).argmax() < len(alphas) - 1


if __name__ == "__main__":
    main()
