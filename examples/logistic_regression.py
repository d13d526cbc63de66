"""Logistic regression on the breast cancer data, beside scikit-learn's.

What one learns: `Dense(1, activation="sigmoid")` with the binary cross-entropy is logistic regression, and an L2
penalty of ``1 / (2 * C * n)`` is scikit-learn's ``C``. Both minimise the same function, so they find the same
coefficients.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import fastbp


def load():
    """Standardised train and test rows, and their labels."""
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    scaler = StandardScaler().fit(x_train)
    return scaler.transform(x_train), scaler.transform(x_test), y_train, y_test


def main(C=1.0):
    x_train, x_test, y_train, y_test = load()
    n = len(x_train)

    # scikit-learn minimises sum(w**2) / 2 + C * sum(loss); dividing by C * n makes it a mean loss with a penalty.
    penalty = fastbp.L2(1 / (2 * C * n))
    output = fastbp.Dense(1, activation="sigmoid", kernel_regularizer=penalty)
    model = fastbp.Sequential([output], seed=0, dtype="float64")
    optimizer = fastbp.SGD(learning_rate=0.2, momentum=0.95, nesterov=True)
    model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=1000, batch_size=n, verbose=0)

    theirs = LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(x_train, y_train)
    coefficients = model.views["dense/kernel"][:, 0]
    _, accuracy = model.evaluate(x_test, y_test)
    difference = np.abs(coefficients - theirs.coef_[0]).max()
    print(f"test accuracy  fastbp {accuracy:.4f}, scikit-learn {theirs.score(x_test, y_test):.4f}")
    print(f"coefficients   from {coefficients.min():.3f} to {coefficients.max():.3f}")
    print(f"               largest difference from scikit-learn's {difference:.1e}")

    assert accuracy > 0.95
    assert difference < 1e-4
    np.testing.assert_allclose(model.predict(x_test)[:, 0], theirs.predict_proba(x_test)[:, 1], atol=1e-4)


if __name__ == "__main__":
    main()
