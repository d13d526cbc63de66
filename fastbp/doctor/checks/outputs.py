"""A last layer and a loss that do not suit each other, or not the targets.

What cannot work at all (crossentropies without their link) is an error of `compile`; here is what runs, and learns
badly.
"""

import numpy as np

from fastbp.doctor.check_registry import check, found
from fastbp.doctor.checks.units import activation_of, curve

# Ends are reached only in the limit: 0 and 1 are no targets outside of a sigmoid.
TOUCH = 1e-6
NUMBERS = ("mean_squared_error", "mean_absolute_error", "huber")


def last_activation(patient):
    """Return the activation that ends the network, or None (linear)."""
    ending = patient.network.output_activation
    return activation_of(patient.spec(patient.last_layer)) if ending is None or ending.forward is None else ending


def name_of(activation):
    """Return an activation's name: "linear" for None."""
    return "linear" if activation is None else type(activation).name


def targets_of(patient):
    """Return the sample's targets (m, k) that have a weight."""
    rows = patient.sample
    targets = rows.targets.reshape(-1, rows.targets.shape[1] // max(rows.entries, 1))
    return targets if rows.mask is None else targets[rows.mask.ravel()]


def range_of(activation):
    """Return the least and the largest number that an activation gives; infinite where it goes on."""
    if activation is None:
        return -np.inf, np.inf
    if name_of(activation) == "softmax":
        return 0.0, 1.0
    out = curve(activation)
    low, high = out.min(), out.max()
    grows = out[-1] == high and out[-1] > out[-2]
    falls = out[0] == low and out[0] < out[1]
    low, high = (round(float(end), 6) for end in (low, high))
    return (-np.inf if falls and low < -1.5 else low), (np.inf if grows and high > 1.5 else high)


@check("rows")
def target_range(patient):
    """Targets that the last activation cannot give, with a loss of distance (squared, absolute, huber) or hinge."""
    loss = patient.engine.loss.name
    if loss not in (*NUMBERS, "hinge"):
        return
    activation = last_activation(patient)
    low, high = range_of(activation)
    targets = targets_of(patient)
    share = float(((targets < low - TOUCH) | (targets > high + TOUCH)).mean())
    if share > 0:
        yield found(
            "target_range",
            "serious" if share > 0.01 else "warning",
            patient.last_layer,
            share,
            text=f'{share:.2g} of the targets ({targets.min():.4g} to {targets.max():.4g}) are outside of what "'
            f'{name_of(activation)}" can give ({low:.3g} to {high:.3g}).',
            normal="none are.",
            remedy="End the model in a linear layer (no activation)"
            + (", or scale the targets into that range." if np.isfinite(high) else "."),
        )


@check("rows")
def loss_for_classes(patient):
    """A loss of numbers for targets that are all 0 or 1: crossentropy punishes confident errors, and learns faster.

    Golik et al. (2013). Not for targets with other numbers, nor where the inputs themselves are the targets.
    """
    loss, rows = patient.engine.loss.name, patient.sample
    targets = targets_of(patient)
    if loss not in NUMBERS or not ((targets == 0) | (targets == 1)).all() or len(np.unique(targets)) < 2:
        return
    if rows.targets.size == rows.x.size and np.array_equal(rows.targets.ravel(), rows.x.ravel()):
        return
    k, one_hot = targets.shape[1], bool((targets.sum(axis=1) == 1).all())
    if k > 1 and one_hot:
        ending = f'Dense({k}, "softmax") with loss="categorical_crossentropy" (or "sparse_...", for class numbers)'
    else:
        ending = f'Dense({k}, "sigmoid") with loss="binary_crossentropy"'
    yield found(
        "loss_for_classes",
        "warning",
        patient.last_layer,
        k,
        text=f'The targets are all 0 or 1, and the loss is {loss!r} behind "{name_of(last_activation(patient))}".',
        normal="classes are learned by crossentropy.",
        remedy=f"End the model in {ending}.",
    )


@check("rows")
def labels_that_exclude_each_other(patient):
    """Three or more yes-or-no outputs, and exactly one of them is yes in every row: one softmax knows that."""
    if patient.engine.loss.name != "binary_crossentropy":
        return
    targets = targets_of(patient)
    k = targets.shape[1]
    hard = ((targets == 0) | (targets == 1)).all() and (targets.sum(axis=1) == 1).all()
    if k > 2 and hard and len(targets) >= 20:
        yield found(
            "labels_that_exclude_each_other",
            "warning",
            patient.last_layer,
            k,
            text=f"Each row has just one of {k} labels, and the loss takes the outputs as independent.",
            normal="binary_crossentropy is for rows that may have several labels, or none.",
            remedy=f'End the model in Dense({k}, "softmax") with loss="categorical_crossentropy".',
        )


@check("rows")
def negative_rates(patient):
    """The poisson loss takes the logarithm of the outputs, which must be positive."""
    if patient.engine.loss.name != "poisson":
        return
    activation = last_activation(patient)
    low, _ = range_of(activation)
    if low < 0 or name_of(activation) == "relu":
        yield found(
            "negative_rates",
            "serious" if low < 0 else "warning",
            patient.last_layer,
            low,
            text=f'The poisson loss takes positive rates, and "{name_of(activation)}" gives numbers from {low:g} on: '
            + ("the logarithm of a negative number is NaN." if low < 0 else "a rate of 0 has no gradient."),
            normal="outputs above 0.",
            remedy='End the model in "softplus" or "exponential".',
        )


@check("rows")
def constant_softmax(patient):
    """A softmax over one output is 1 whatever comes in."""
    if name_of(last_activation(patient)) == "softmax" and patient.network.raw_shape[-1] == 1:
        yield found(
            "constant_softmax",
            "serious",
            patient.last_layer,
            1,
            text="A softmax of one output is always 1.",
            normal="a softmax has an output for each class.",
            remedy='Write Dense(1, "sigmoid") with loss="binary_crossentropy", or an output for each class.',
        )


@check("rows")
def one_prediction(patient):
    """A trained model that says the same for all rows: the same numbers, or the same class."""
    outputs = patient.predictions.reshape(len(patient.predictions), -1)
    if len(outputs) < 16 or not patient.is_trained:
        return
    spread = float(np.ptp(outputs, axis=0).max())
    targets = targets_of(patient)
    if not np.isfinite(spread) or np.ptp(targets, axis=0).max() == 0:
        return
    if spread <= 1e-3 * max(float(np.ptp(targets, axis=0).max()), 1e-12):
        yield found(
            "one_prediction",
            "serious",
            patient.last_layer,
            spread,
            text=f"The outputs differ by at most {spread:.2g} between rows: the model predicts one and the same.",
            normal="outputs follow the inputs.",
            remedy="Look at the other findings; lower the learning rate, scale the inputs, start with new weights.",
        )
