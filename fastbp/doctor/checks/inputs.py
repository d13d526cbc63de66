"""The columns of the inputs: their scales, those that say nothing or the same twice, and those that say too much."""

import numpy as np

from fastbp.doctor.check_registry import check, found
from fastbp.engine.network import is_picky

# Root mean squares of columns, and by how often their deviations may differ.
LARGE, VERY_LARGE, SMALL, RATIO = 20.0, 1000.0, 1e-3, 1000.0
EQUAL = 0.999999
TELLS_ALL = 0.98
# Layers that take numbers of any size.
SCALING = {
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "PeriodicEmbedding",
    "PiecewiseLinearEmbedding",
    "Rescaling",
    "Scaling",
}


def numbers_read(patient):
    """Return the places in a row that are read as numbers as they are: neither categories nor scaled by the model."""
    read = {}
    for spec, places in patient.network.readers():
        as_they_are = type(spec).__name__ not in SCALING and not is_picky(spec)
        for place in places.ravel().tolist():
            read[place] = read.get(place, True) and as_they_are
    return np.array(sorted(place for place, as_they_are in read.items() if as_they_are), np.int64)


def table(patient):
    """Return the sample's columns (n, d) that are read as numbers and their places; of images and sequences None."""
    if len(patient.network.input_shape) != 1 or len(patient.sample.x) < 8:
        return None, None
    places = numbers_read(patient)
    return patient.sample.x[:, places].astype(np.float64), places


def is_picture(x):
    """Are the columns of one kind, as pixels or counts are: do most have the same least number?"""
    low, high = x.min(axis=0), x.max(axis=0)
    varied = low < high
    return x.shape[1] >= 16 and bool((low[varied] == x.min()).mean() > 0.75) if varied.any() else False


@check("rows")
def input_scale(patient):
    """Root mean squares of the columns, and how much their deviations differ; of images and sequences that of all.

    LeCun et al. (1998) want means near 0 and equal deviations of about 1. Told above 20 (raw iris has 6, pixels of 0
    to 16 have 7, ages of people 40), as serious above 1,000, and where one column varies 1,000 times as much as
    another, or all by less than 0.001. Columns of two values are left out of the latter.
    """
    x, places = table(patient)
    if x is None:
        places = numbers_read(patient)
        if not len(places):
            return
        x = patient.sample.x.reshape(len(patient.sample.x), -1)[:, places].reshape(-1, 1).astype(np.float64)
    sizes = np.sqrt((x**2).mean(axis=0))
    one = len(patient.network.input_shape) != 1
    large = np.flatnonzero(sizes > LARGE)
    remedy = (
        "Scale them: fastbp.Scaling() as the first layer with fastbp.initialize_from_data, or scikit-learn's "
        "StandardScaler; pixels by 1/255 (fastbp.Rescaling)."
    )
    if len(large):
        worst = large[np.argsort(-sizes[large], kind="stable")]
        told = "All of x is large" if one else f"Columns of x with large numbers: {patient.columns(places[worst])}"
        yield found(
            "input_scale",
            "serious" if sizes.max() > VERY_LARGE else "warning",
            None,
            sizes.max(),
            text=f"{told} (root mean square {sizes.max():.4g}).",
            normal="about 1, up to 20.",
            remedy=remedy,
        )
        return
    deviations = x.std(axis=0)
    told = [i for i in range(x.shape[1]) if deviations[i] > 0 and not _has_two_values(x[:, i])]
    if not told:
        return
    deviations, places = deviations[told], places[told] if not one else places
    if deviations.max() < SMALL:
        what, figure = "All columns of x vary little", deviations.max()
    elif deviations.max() > RATIO * deviations.min():
        least = np.argsort(deviations, kind="stable")[: (deviations < deviations.max() / RATIO).sum()]
        what, figure = f"Beside the others these vary little: {patient.columns(places[least])}", deviations.min()
    else:
        return
    yield found(
        "input_scale",
        "warning",
        None,
        figure,
        text=f"{what} (standard deviation {figure:.2g}, the largest {deviations.max():.2g}).",
        normal="about 1, the same for all columns.",
        remedy=remedy,
    )


def _has_two_values(column):
    return ((column == column.min()) | (column == column.max())).all()


@check("rows")
def constant_inputs(patient):
    """Columns that are the same in all rows (but blank pixels: columns of pictures, all of their least number)."""
    if len(patient.network.input_shape) != 1 or len(patient.rows.x) < 8:
        return
    x, places = patient.rows.x, numbers_read(patient)
    low, high = (part[places] for part in (x.min(axis=0), x.max(axis=0)))
    constant = low == high
    if is_picture(x[:, places]):
        constant &= low != low.min()
    if constant.any():
        yield found(
            "constant_inputs",
            "note",
            None,
            constant.sum(),
            text=f"The same in all rows: {patient.columns(places[constant])}.",
            normal="columns vary.",
            remedy="Leave them out, or look for what went wrong when they were made.",
        )


@check("rows")
def duplicated_inputs(patient):
    """Columns of a table that follow another one exactly (correlation above 0.999999 either way)."""
    x, places = table(patient)
    if x is None or x.shape[1] > 2000 or is_picture(x):
        return
    x = x - x.mean(axis=0)
    size = np.sqrt((x**2).sum(axis=0))
    varied = np.flatnonzero(size > 1e-6 * np.maximum(1, abs(patient.sample.x[:, places]).max(axis=0)))
    if len(x) < 16:
        return
    x = x[:, varied] / size[varied]
    pairs = []
    for i in range(len(varied)):
        same = abs((x[:, i + 1 :] * x[:, i : i + 1]).sum(axis=0)) > EQUAL
        pairs += [(int(places[varied[i]]), int(places[varied[i + 1 + j]])) for j in np.flatnonzero(same)]
    if pairs:
        told = ", ".join(f"{patient.column(b)} of {patient.column(a)}" for a, b in pairs[:5])
        yield found(
            "duplicated_inputs",
            "note",
            None,
            len(pairs),
            text=f"Copies (up to scale): {told}{f' and {len(pairs) - 5} more' if len(pairs) > 5 else ''}.",
            normal="no column is another one's copy.",
            remedy="Leave the copies out: they count twice in penalties and in importances.",
        )


@check("rows")
def leaking_inputs(patient):
    """One column among several that tells the target alone.

    How often (how far) targets change between rows that are neighbours by the column, by how much they would without
    it: 1 minus that, in the manner of Chatterjee (2021), above 0.98. The best columns of iris have 0.88, of breast
    cancer 0.7, of diabetes 0.3.
    """
    x, places = table(patient)
    rows = patient.sample
    if x is None or len(x) < 50 or x.shape[1] < 2 or rows.targets.shape[1] != 1 or rows.entries != 1:
        return
    y, classes = rows.targets[:, 0].astype(np.float64), patient.engine.loss.name in CLASSES
    told = np.array([tells(column, y, classes) for column in x.T])
    leaks = np.flatnonzero(told > TELLS_ALL)
    if len(leaks) and len(leaks) < x.shape[1]:
        yield found(
            "leaking_inputs",
            "warning",
            None,
            told.max(),
            text=f"Tells the target alone: {patient.columns(places[leaks])} ({told.max():.1%} of it).",
            normal="no single column does; the best of iris tells 88 %.",
            remedy="Was it made from the target, or after the fact? Then leave it out: it will not be there when the "
            "model is used.",
        )


CLASSES = ("sparse_categorical_crossentropy", "binary_crossentropy", "hinge")


def tells(column, y, classes):
    """Return how much of y (n,) one column (n,) tells alone: 0 to 1.

    Examples
    --------
    >>> x = np.arange(100.0)
    >>> tells(x, np.sin(x / 10), False) > 0.98, tells(x % 2, np.sin(x / 10), False) < 0.1
    (True, True)
    """
    order = np.lexsort((y, column))
    if len(np.unique(column)) < len(column):  # within ties any order is as good, but one by y
        order = np.lexsort((np.random.default_rng(0).permutation(len(y)), column))
    y = y[order]
    if classes:
        shares = np.unique(y, return_counts=True)[1] / len(y)
        needed = len(shares) - 1
        chance = (1 - (shares**2).sum()) * (len(y) - 1)
        return 1 - max((y[1:] != y[:-1]).sum() - needed, 0) / chance if needed else 0.0
    variance = y.var()
    return float(1 - ((y[1:] - y[:-1]) ** 2).mean() / (2 * variance)) if variance > 0 else 0.0
