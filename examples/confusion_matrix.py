"""A confusion matrix: which digits are taken for which.

What one learns: an accuracy hides where the errors are; each row of the matrix is a true digit, each column what was
predicted, and from it follow the precision (of a column) and the recall (of a row) of every digit.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay, classification_report, confusion_matrix
from sklearn.model_selection import train_test_split

from fastbp import MLPClassifier


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("confusion_matrix.png"))
    out = parser.parse_args().out

    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16, y, test_size=0.5, stratify=y, random_state=0)
    network = MLPClassifier((32,), learning_rate_init=0.01, tol=1e-3, random_state=0).fit(x_train, y_train)
    predicted = network.predict(x_test)
    print(classification_report(y_test, predicted, digits=3))

    matrix = confusion_matrix(y_test, predicted)
    errors = matrix - np.diag(np.diag(matrix))
    for place in np.argsort(errors, axis=None)[:-4:-1]:
        true, taken = np.unravel_index(place, errors.shape)
        print(f"{errors[true, taken]} of {matrix[true].sum()} pictures of {true} are taken for {taken}")
    figure, axis = plt.subplots(figsize=(6, 6))
    ConfusionMatrixDisplay(matrix).plot(ax=axis, colorbar=False)
    figure.savefig(out, dpi=120, bbox_inches="tight")
    plt.close(figure)
    print(f"drawn in {out}")
    assert np.trace(matrix) / matrix.sum() > 0.95


if __name__ == "__main__":
    main()
