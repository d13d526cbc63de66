"""The targets: classes of very different sizes, wild scales, labels that look wrong, rows that stand on both sides."""

import numpy as np

from fastbp.doctor.check_registry import check, found
from fastbp.doctor.checks.inputs import CLASSES, table
from fastbp.doctor.checks.outputs import NUMBERS, last_activation, targets_of

UNEQUAL, MOST_CLASSES = 10.0, 20
NEIGHBOURS, MOST_CONTRARY = 10, 0.08
LARGE = 30.0


def labels(patient):
    """Return the class numbers (n,) of rows that have one class each, or None."""
    loss, rows = patient.engine.loss.name, patient.rows
    if rows.entries != 1:
        return None
    if loss == "categorical_crossentropy" or (loss == "binary_crossentropy" and rows.targets.shape[1] > 1):
        hard = (rows.targets.max(axis=1) == 1).all() and (rows.targets.sum(axis=1) == 1).all()
        return rows.targets.argmax(axis=1) if hard else None
    if loss not in CLASSES or rows.targets.shape[1] != 1:
        return None
    y = rows.targets[:, 0]
    return y.astype(np.int64) if (y == np.round(y)).all() else None


@check("rows")
def class_imbalance(patient):
    """The largest class against the smallest: told from 10 to 1 on, where no weights were given.

    He & Garcia (2009) call 100 to 1 and more severe. Not for more than 20 classes, as of letters.
    """
    y = labels(patient)
    if y is None or len(y) < 50 or patient.rows.weight is not None:
        return
    classes, counts = np.unique(y, return_counts=True)
    if not 2 <= len(classes) <= MOST_CLASSES or counts.max() < UNEQUAL * counts.min():
        return
    ratio = counts.max() / counts.min()
    yield found(
        "class_imbalance",
        "warning",
        None,
        ratio,
        text=f"Class {classes[counts.argmax()]} has {counts.max()} rows, class {classes[counts.argmin()]} "
        f"{counts.min()}: {ratio:.3g} to 1. Saying nothing but the former is right for "
        f"{counts.max() / counts.sum():.1%}.",
        normal="below 10 to 1.",
        remedy='Judge by more than accuracy (roc_auc, f1). To have the small class count, give class_weight="balanced" '
        "to fit, or move the threshold.",
    )


@check("rows")
def contradicting_labels(patient):
    """Equal rows with different labels, in data where most rows are unique: 1 % of the rows and more."""
    y = labels(patient)
    x = patient.rows.x.reshape(len(patient.rows.x), -1)
    if y is None or len(y) < 50 or not len(table(patient)[1] if table(patient)[1] is not None else [1]):
        return
    _, kind, counts = np.unique(x, axis=0, return_inverse=True, return_counts=True)
    kind = kind.ravel()
    if (counts[kind] > 1).mean() > 0.5:  # few values: equal rows are natural, and so are other ends
        return
    first = np.zeros(len(counts), np.int64)
    first[kind[::-1]] = y[::-1]
    mixed = np.zeros(len(counts), bool)
    mixed[kind[y != first[kind]]] = True
    share = float(mixed[kind].mean())
    if share >= 0.01:
        yield found(
            "contradicting_labels",
            "warning",
            None,
            share,
            text=f"{mixed[kind].sum()} rows ({share:.1%}) have a twin with the same inputs and another label, such as "
            f"row {int(np.flatnonzero(mixed[kind])[0])}.",
            normal="below 1 %.",
            remedy="Look at these rows: labels may be wrong, or a column that tells them apart is missing.",
        )


@check("rows")
def label_noise(patient):
    """Rows whose ten nearest ones all have one label, and not theirs.

    Of rows with ten neighbours of one mind (0.2 of all and 100 at least) 8 % and more, and a quarter of what chance
    would make them at most: digits have 0.2 %, breast cancer 0.5 %, two classes that overlap 2 to 6 %, digits with 10 %
    of the labels drawn anew 10 %. Northcutt et al. (2021) find 3 % in common benchmarks. Where inputs tell little,
    chance makes them, and nothing is said.
    """
    x, _ = table(patient)
    y = labels(patient)
    if y is None or x is None or len(x) < 200 or x.shape[1] == 0:
        return
    y = y[patient._places(len(x))]
    x = x - x.mean(axis=0)
    deviation = x.std(axis=0)
    near = nearest(x[:, deviation > 0] / deviation[deviation > 0], NEIGHBOURS)
    around = y[near]
    agreed = (around == around[:, :1]).all(axis=1)
    contrary = agreed & (around[:, 0] != y)
    if agreed.mean() < 0.2 or agreed.sum() < 100:
        return
    share = contrary.sum() / agreed.sum()
    by_chance = np.mean([(y != label).mean() for label in around[agreed, 0]])
    if share >= MOST_CONTRARY and share < by_chance / 4:
        rows = patient._places(len(x))[contrary]
        yield found(
            "label_noise",
            "warning",
            None,
            share,
            text=f"{share:.1%} of the rows amidst ten neighbours of one label have another one, such as rows "
            f"{', '.join(map(str, rows[:5].tolist()))}.",
            normal="below 6 %.",
            remedy="Look at these rows: are their labels right? label_smoothing of the loss, dropout and early "
            "stopping make noise do less harm.",
        )


def nearest(x, k):
    """Return the numbers of the k nearest other rows of x (n, d): (n, k)."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k).fit(x).kneighbors(return_distance=False)


@check("rows")
def target_scale(patient):
    """Targets of a linear output, learned by their distance, that are far from 0 or wide.

    Root mean square above 30: an output starts near 0, and Adam at 0.001 needs 1,000 steps for each 1 of its way. Where
    the model has learned all the same (a tenth of the variance is left) nothing is said.
    """
    targets = targets_of(patient).astype(np.float64)
    if patient.engine.loss.name not in NUMBERS or last_activation(patient) is not None or patient.has_learned:
        return
    size = float(np.sqrt((targets**2).mean(axis=0)).max())
    if size > LARGE:
        yield found(
            "target_scale",
            "warning",
            patient.last_layer,
            size,
            text=f"The targets have a root mean square of {size:.4g}, the outputs begin near 0.",
            normal="about 1.",
            remedy="Train on (y - y.mean()) / y.std() and turn predictions back; TabularRegressor does so by itself.",
        )


@check("rows")
def shared_rows(patient):
    """Validation rows that stand among the training rows: 10 % and more, in data where most rows are unique."""
    if patient.validation is None:
        return
    train, other = (
        np.ascontiguousarray(rows.x.reshape(len(rows.x), -1)) for rows in (patient.rows, patient.validation)
    )
    keys = {row.tobytes() for row in train}
    if len(keys) < 0.5 * len(train):
        return
    share = float(np.mean([row.tobytes() in keys for row in other]))
    if share >= 0.1 and len(other) >= 10:
        yield found(
            "shared_rows",
            "warning",
            None,
            share,
            text=f"{share:.0%} of the validation rows stand among the training rows: their figures tell nothing of new "
            "rows.",
            normal="below 1 %.",
            remedy="Split before rows are copied or drawn again (drop_duplicates), and groups as wholes.",
        )
