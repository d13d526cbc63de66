"""Which rows each network of an ensemble trains on, and by which it chooses its best epoch."""

import warnings

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold


def cut(targets, n_folds, n_networks, seed, stratify):
    """Return (training rows, validation rows), each (m,) int64, for so many networks.

    The rows are cut into `n_folds` parts, each class evenly if `stratify`; each network leaves out one of them, and
    after every `n_folds` networks the rows are cut anew. Fewer rows than folds make as many folds as rows; a single
    row is there to train and to validate.

    Examples
    --------
    >>> import numpy as np
    >>> pairs = cut(np.array([0, 0, 1, 1]), 2, 3, seed=0, stratify=True)
    >>> [len(valid) for _, valid in pairs]
    [2, 2, 2]
    """
    n = len(targets)
    if n == 1:
        return [(np.zeros(1, np.int64), np.zeros(1, np.int64))] * n_networks
    n_folds = min(n_folds, n)
    # Where no class has enough rows, stratification is not possible; where some have, scikit-learn warns.
    kind = StratifiedKFold if stratify and np.bincount(targets).max() >= n_folds else KFold
    pairs = []
    while len(pairs) < n_networks:
        cutter = kind(n_folds, shuffle=True, random_state=np.random.RandomState([seed, len(pairs)]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            pairs.extend(cutter.split(np.zeros(n), targets))
    return pairs[:n_networks]
