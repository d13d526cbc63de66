"""One ensemble, its networks trained by joblib's workers: the same bits as in one process.

What one learns: ``n_jobs=`` has workers train a network each; which workers is joblib's affair. Here they are processes
of this machine ("loky"). With a Ray cluster it is ``ray.init(address=...)`` and ``backend="ray"``, with Dask a
``Client`` and ``backend="dask"``: nothing else changes.
"""

import joblib
import numpy as np
from sklearn.datasets import load_breast_cancer

import fastbp


def main():
    x, y = load_breast_cancer(return_X_y=True)
    alone = fastbp.TabularClassifier("fast", random_state=0).fit(x[::2, :8], y[::2])
    with joblib.parallel_config(backend="loky"):
        together = fastbp.TabularClassifier("fast", random_state=0, n_jobs=2).fit(x[::2, :8], y[::2])

    print(f"{len(together.ensemble_.networks)} networks")
    print(f"accuracy on the other rows: {together.score(x[1::2, :8], y[1::2]):.3f}")
    difference = np.abs(together.predict_proba(x[:, :8]) - alone.predict_proba(x[:, :8])).max()
    print(f"largest difference to one process: {difference}")
    assert difference == 0


if __name__ == "__main__":
    main()
