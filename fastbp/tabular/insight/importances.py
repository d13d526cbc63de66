"""Permutation importances by rows that the networks did not train on.

A fitted estimator keeps some of these rows, encoded, and which networks left each out.  So nothing is trained again.
"""

from typing import NamedTuple

import numpy as np

from fastbp.explain.permutation import permutation_importances
from fastbp.tabular.calibration import tempered
from fastbp.tabular.insight.places import places_of
from fastbp.tabular.quantiles import uncrossed
from fastbp.tabular.repeated_rows import log_losses, squared_errors

# At most so many rows, and so many numbers of rows, are kept: 8 MB.
MOST_ROWS, MOST_NUMBERS = 4096, 2_000_000
FEWEST_ROWS = 256


class Kept(NamedTuple):
    """Rows of a `Part` that are kept, and for each network those that it left out, places among them; None: all.

    Attributes
    ----------
    part : Part
    left_out : list of (m,) int64, or None
    temperature : float
        Of the mean of the networks that left a row out.
    """

    part: object
    left_out: list | None
    temperature: float


def kept_rows(part, left_out, known, temperature, seed=0):
    """Return the `Kept` rows of a part.

    Parameters
    ----------
    part : Part
    left_out : list of (m,) int64, or None
        Rows of the part that each network left out; None: all rows are new to all networks.
    known : (m,) int64
        The rows that some network left out.
    """
    most = min(MOST_ROWS, max(MOST_NUMBERS // part.x.shape[1], FEWEST_ROWS))
    rows = known
    if len(known) > most:
        rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
        rows = np.sort(rng.permutation(known)[:most])
    if left_out is not None:
        left_out = [np.flatnonzero(np.isin(rows, own)) for own in left_out]
    return Kept(part.rows(rows), left_out, temperature)


def importances(kept, encoder, ensemble, objective, scale, n_repeats):
    """Return the `Importances` of the columns that an encoder uses, in their order.

    scale is the factor on the losses of quantiles, which makes them those of the target's unit.
    """
    targets = kept.part.targets
    values = None if objective.quantiles or objective.sizes else objective.values(targets)

    def losses(x):
        outputs = mean_of_others(ensemble, kept, x)
        if objective.sizes:
            return objective.row_sums(outputs, targets, kept.temperature)
        if objective.task == "classification":
            return log_losses(tempered(outputs, kept.temperature).astype(np.float64), values)
        if objective.quantiles:
            error = targets.astype(np.float64) - uncrossed(outputs)
            levels = np.array(objective.quantiles)
            return np.maximum(levels * error, (levels - 1) * error).mean(axis=1) * scale
        return squared_errors(outputs.astype(np.float64), values) / targets.shape[1]

    groups = list(places_of(encoder).values())
    return permutation_importances(losses, kept.part.x, groups, n_repeats, weight=kept.part.weight)


def mean_of_others(ensemble, kept, x):
    """Return the mean outputs (n, k) for rows x (n, d), changed `Kept` rows: each by the networks that left it out."""
    if kept.left_out is None:
        return sum(network.engine.predict(x) for network in ensemble.networks) / len(ensemble.networks)
    total, count = 0.0, np.zeros((len(x), 1))
    for network, rows in zip(ensemble.networks, kept.left_out, strict=True):
        outputs = np.zeros((len(x), network.engine.network.output_shape[0]))
        if len(rows):
            outputs[rows] = network.engine.predict(np.ascontiguousarray(x[rows]))
        total, count[rows] = total + outputs, count[rows] + 1
    return (total / count).astype(np.float32)
