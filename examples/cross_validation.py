"""Cross-validation: what a network's score is worth.

What one learns: one split of 178 rows says little, ten folds say how much the score swings; what is learned from the
data (means and scales) belongs inside the folds, in a pipeline; and the seed of the network alone moves the score.
"""

import warnings

import numpy as np
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import MLPClassifier


def make_classifier(seed):
    network = MLPClassifier((20,), learning_rate_init=0.01, tol=1e-3, alpha=0.01, random_state=seed)
    return make_pipeline(StandardScaler(), network)


def main():
    x, y = load_wine(return_X_y=True)
    single = []
    for seed in range(10):
        x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=seed)
        single.append(make_classifier(0).fit(x_train, y_train).score(x_test, y_test))
    print(f"one split in five parts: accuracies from {min(single):.3f} to {max(single):.3f}, by the split alone")

    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=2, random_state=0)
    scores = cross_val_score(make_classifier(0), x, y, cv=folds)
    print(f"20 folds: {scores.mean():.3f} +- {scores.std() / np.sqrt(len(scores)):.3f} (standard error of the mean)")

    seeds = [cross_val_score(make_classifier(seed), x, y, cv=5).mean() for seed in range(5)]
    print(f"five seeds of the network: {', '.join(f'{score:.3f}' for score in seeds)}")

    # It does not get anywhere, and says so.
    warnings.simplefilter("ignore", ConvergenceWarning)
    unscaled = cross_val_score(make_classifier(0)[-1], x, y, cv=5).mean()
    print(f"without scaling: {unscaled:.3f}")
    assert scores.mean() > 0.95 > unscaled


if __name__ == "__main__":
    main()
