"""The rows on which each network of an ensemble trains, and the rows by which it chooses its best epoch."""

import warnings
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fastbp.tabular.errors import TableError
from fastbp.tabular.groups_and_times import Given, group_codes, time_ranks

# At most so many groups are dealt out so that each part has its share of every class: that takes 0.2 ms a group.
MOST_STRATIFIED_GROUPS = 1000


class Separation(NamedTuple):
    """The groups and times of rows, which restrict how rows may be cut.

    Attributes
    ----------
    groups : (n,) int64 or None
        Rows of one group stay together.
    times : (n,) int64 or None
        Ranks; the rows to validate by are later than those to train on.
    """

    groups: np.ndarray | None = None
    times: np.ndarray | None = None

    def __bool__(self):
        return self.groups is not None or self.times is not None

    def rows(self, rows):
        """Return the separation of some of the rows; raise TableError where these cannot be set apart."""
        some = Separation(*(None if codes is None else codes[rows] for codes in self))
        for name, codes in zip(("groups", "time"), some, strict=True):
            if codes is not None and (codes == codes[0]).all():
                raise TableError(f"{name} has one value only in the rows that have a weight.")
        return some


ALL_ALIKE = Separation()


def separation(n, groups=None, time=None, notices=None):
    """Return the `Separation` of `n` rows.

    Parameters
    ----------
    groups : array-like (n,), or fastbp.tabular.groups_and_times.Given, optional
        Of text or numbers.
    time : array-like (n,), or fastbp.tabular.groups_and_times.Given, optional
        Of numbers, dates, times of day or durations, or text that is such by the rule of
        `fastbp.tabular.recognition`.
    notices : list, optional
        A line is appended for what was guessed.

    Raises
    ------
    TableError
        For another length, a missing value, one group or one time only, or times that cannot be ordered.
    """
    codes = ranks = None
    if groups is not None:
        codes = group_codes(groups if isinstance(groups, Given) else Given(groups, "groups"), n)
    if time is not None:
        ranks, notes = time_ranks(time if isinstance(time, Given) else Given(time, "time"), n)
        if notices is not None:
            notices.extend(notes)
    return Separation(codes, ranks)


def cut(targets, n_folds, n_networks, seed, stratify, separation=ALL_ALIKE):
    """Return (training rows, validation rows), each (m,) int64, for so many networks.

    The rows are cut into `n_folds` parts, each class evenly if `stratify`; each network leaves out one of them, and
    after every `n_folds` networks the rows are cut anew. Fewer rows than folds make as many folds as rows; a single
    row is there to train and to validate. Groups stay together. With times, all networks leave out the last part.

    Examples
    --------
    >>> import numpy as np
    >>> pairs = cut(np.array([0, 0, 1, 1]), 2, 3, seed=0, stratify=True)
    >>> [len(valid) for _, valid in pairs]
    [2, 2, 2]
    >>> cut(np.zeros(4), 2, 1, seed=0, stratify=False, separation=Separation(times=np.array([3, 1, 0, 2])))
    [(array([1, 2]), array([0, 3]))]
    """
    n = len(targets)
    if n == 1:
        return [(np.zeros(1, np.int64), np.zeros(1, np.int64))] * n_networks
    if separation.times is not None:
        return later_blocks(separation, n_folds)[-1:] * n_networks
    pairs = []
    while len(pairs) < n_networks:
        cutter = _cutter(targets, n_folds, np.random.RandomState([seed, len(pairs)]), stratify, separation.groups)
        with warnings.catch_warnings():
            # scikit-learn warns if a class has fewer rows than there are folds.
            warnings.simplefilter("ignore", UserWarning)
            pairs.extend(cutter.split(np.zeros(n), targets, separation.groups))
    return pairs[:n_networks]


def _cutter(targets, n_folds, random_state, stratify, groups):
    """Return scikit-learn's splitter for targets (n,), which are class codes if `stratify`."""
    # 0.5 s, which predictions do not need.
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    n_units = len(targets) if groups is None else len(np.unique(groups))
    n_folds = min(n_folds, n_units)
    # Where no class has enough rows, stratification is not possible.
    stratify = stratify and np.bincount(targets).max() >= n_folds
    if groups is None:
        kind = StratifiedKFold if stratify else KFold
    else:
        kind = StratifiedGroupKFold if stratify and n_units <= MOST_STRATIFIED_GROUPS else GroupKFold
    return kind(n_folds, shuffle=True, random_state=random_state)


def later_blocks(separation, n_folds):
    """Return (earlier rows, rows of a block) for the last n_folds - 1 of `n_folds` blocks of time, the latest last.

    Rows of one time are in one block; rows of a block's groups are not among the earlier ones.

    Raises
    ------
    TableError
        Where no block has an earlier row left.
    """
    ranked = np.sort(separation.times)
    starts = [ranked[len(ranked) * fold // n_folds] for fold in range(1, n_folds)]
    edges = [*np.unique([start for start in starts if start > ranked[0]] or ranked[-1:]), ranked[-1] + 1]
    pairs = []
    for first, end in pairwise(edges):
        block = (separation.times >= first) & (separation.times < end)
        earlier = separation.times < first
        if separation.groups is not None:
            earlier &= ~np.isin(separation.groups, separation.groups[block])
        if earlier.any():
            pairs.append((np.flatnonzero(earlier), np.flatnonzero(block)))
    if not pairs:
        raise TableError("groups and time leave no row to train on: every group reaches into the last block of time.")
    return pairs


def absent_before(codes, classes, n_folds, separation):
    """Return a line on the classes that only the last block of time has: no network trains on them.

    codes are the rows' places in `classes`, (n,), or the classes' probabilities, (n, k).
    """
    if separation.times is None:
        return []
    codes = codes.argmax(axis=1) if codes.ndim == 2 else codes
    earlier, _ = later_blocks(separation, n_folds)[-1]
    absent = np.setdiff1d(codes, codes[earlier])
    if not len(absent):
        return []
    names = ", ".join(map(repr, classes[absent[:5]].tolist()))
    return [f"time: no row before those to validate by has the class {names}: no network learns it."]
