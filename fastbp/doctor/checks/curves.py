"""What the curves of a training tell: over- and underfitting, learning rate, batch size."""

import numpy as np

from fastbp.doctor.check_registry import check, found

RESTLESS = 0.1


def spread(patient):
    """Return what the loss had to fall from: that of the best constant prediction, or (not known) its first value."""
    return patient.history["loss"][0] if patient.baseline is None else patient.baseline


@check("history")
def diverging(patient):
    """A loss that is not finite, or ends above where it began (by half of it)."""
    loss = patient.history["loss"]
    bad = ~np.isfinite(loss)
    if bad.any() or loss[-1] > 1.5 * abs(loss[0]) + 1e-12:
        told = (
            f"is not finite in epoch {int(bad.argmax()) + 1}"
            if bad.any()
            else f"went from {loss[0]:.4g} to {loss[-1]:.4g}"
        )
        yield found(
            "diverging",
            "serious",
            None,
            loss[-1],
            text=f"The loss {told}.",
            normal="it falls.",
            remedy="Lower the learning rate by 10, scale inputs and targets, set global_clipnorm=1.0.",
        )


@check("history")
def restless_loss(patient):
    """A training loss that jumps up and down in the second half: too high a learning rate, or too small a batch.

    The root mean square of its changes from epoch to epoch by how far it fell in all, above 0.1 with a quarter of them
    upward: digits with Adam have 0.005 at a rate of 0.03, 0.07 at 0.1 and 0.09 at 0.3; a sine in batches of 4 has 0.05
    at 0.01 and 0.36 at 0.1; the least quiet of the examples that go well 0.08.
    """
    loss = patient.history["loss"]
    if len(loss) < 8 or not np.isfinite(loss).all():
        return
    changes = np.diff(loss[len(loss) // 2 :])
    fell = spread(patient) - loss.min()
    if fell <= 0.02 * abs(spread(patient)):
        return
    size = float(np.sqrt((changes**2).mean()) / fell)
    if size > RESTLESS and (changes > 0).mean() > 0.25:
        small = patient.batch_size <= 4
        yield found(
            "restless_loss",
            "warning",
            None,
            size,
            text=f"From epoch to epoch the loss changes by {size:.0%} of all that it has fallen, up and down"
            + (f" (batches of {patient.batch_size})." if small else "."),
            normal="below 5 % in the second half.",
            remedy=("Take batches of 32, or lower" if small else "Lower")
            + " the learning rate by 3 to 10, or let it fall (CosineDecay, ReduceLROnPlateau).",
        )


@check("history")
def slow_loss(patient):
    """A loss that has hardly fallen and still falls as it did at the start: too low a learning rate.

    In 5 epochs or more less than 10 % of itself, the last third falling at 0.5 to 1.3 times the mean speed (a loss that
    falls ever faster has found its way).
    """
    loss = patient.history["loss"]
    if len(loss) < 5 or not np.isfinite(loss).all() or loss[0] <= 0:
        return
    fell = (loss[0] - loss[-1]) / loss[0]
    above = patient.share is None if "rows" not in patient.has else patient.share is None or patient.share > 0.5
    late = (loss[-1 - len(loss) // 3] - loss[-1]) / (len(loss) // 3)
    mean = (loss[0] - loss[-1]) / (len(loss) - 1)
    steady = (np.diff(loss) < 0).mean() > 0.8
    if 1e-7 < fell < 0.1 and steady and 0.5 * mean < late < 1.3 * mean and above:
        yield found(
            "slow_loss",
            "warning",
            None,
            fell,
            text=f"In {len(loss)} epochs the loss fell by {fell:.2g} of itself, as fast at the end as at the start.",
            normal="most of the fall comes in the first epochs.",
            remedy="Raise the learning rate by 3 to 10 (fastbp.doctor.learning_rate_range tells how far), or train for "
            "many more epochs.",
        )


@check("history")
def overfitting(patient):
    """A validation loss that has turned, or that stays where it began while the training loss falls.

    Prechelt (1998) stops where it is 5 % above its best: told from 20 % on that are 10 % of what it fell.
    """
    loss, other = patient.history["loss"], patient.history.get("val_loss")
    if other is None or len(other) < 5 or not (np.isfinite(loss).all() and np.isfinite(other).all()):
        return
    best, last = int(other.argmin()), float(np.median(other[-3:]))
    fell = max(other[0], spread(patient)) - other[best]
    rise = (last - other[best]) / abs(other[best]) if other[best] else 0.0
    if rise > 0.2 and last - other[best] > 0.1 * fell and best < len(other) - 3 and loss[-1] < 0.95 * loss[best]:
        yield found(
            "overfitting",
            "warning",
            None,
            rise,
            text=f"The validation loss was best in epoch {best + 1} ({other[best]:.4g}) and is {rise:.0%} above now "
            f"({last:.4g}), while the training loss fell to {loss[-1]:.4g}.",
            normal="below 5 %.",
            remedy="EarlyStopping(restore_best_weights=True), Dropout, weight decay or L2, fewer units, more rows.",
        )


@check("rows")
def generalization_gap(patient):
    """The model predicts the training rows well, and the validation rows hardly better than a constant.

    The loss, divided by that of the best constant prediction, is above 0.9 for validation rows and below 0.3 for those
    of training.
    """
    if patient.validation is None or not patient.is_trained or patient.share is None:
        return
    other = patient.validation_loss / patient.baseline
    if patient.share < 0.3 and other > 0.9:
        yield found(
            "generalization_gap",
            "warning",
            None,
            other,
            text=f"Of the validation rows the loss is {other:.2g} of that of one prediction for all, of training rows "
            f"{patient.share:.2g}: the model knows its rows by heart.",
            normal="the two are near each other.",
            remedy="Dropout, weight decay or L2, fewer units, more rows; look whether both sides come from the same "
            "source.",
        )


@check("rows")
def underfitting(patient):
    """A trained model that is hardly better than one prediction for all rows: 95 % of its loss and more.

    Of models with 200 updates at least; before that nobody can tell.
    """
    if patient.share is None or patient.engine.step < 200 or not patient.share > 0.95:
        return
    above = "lower the learning rate" if patient.share > 1.05 else "raise the learning rate"
    yield found(
        "underfitting",
        "warning",
        None,
        patient.share,
        text=f"After {patient.engine.step:,} updates the loss, {patient.loss:.4g}, is {patient.share:.2g} of that of "
        "one prediction for all rows.",
        normal="well below 1.",
        remedy=f"Look at the other findings first; then {above}, take more units or layers and less "
        "Dropout and penalties. Or the inputs do not tell the target.",
    )


@check("rows")
def few_updates(patient):
    """Few updates by large batches: below 100 of them, batches above 32, the loss above half of the baseline."""
    steps, size = patient.engine.step, patient.batch_size
    if 0 < steps < 100 and size > 32 and len(patient.history.get("loss", ())) >= 3 and (patient.share or 0) > 0.5:
        yield found(
            "few_updates",
            "warning",
            None,
            steps,
            text=f"Batches of some {size} rows made {steps} updates in all.",
            normal="some hundreds of updates at least.",
            remedy="Take batches of 32, and more epochs.",
        )


@check("rows")
def small_batches_to_normalize(patient):
    """BatchNormalization with batches below 8 rows: its statistics are noise (Wu & He, 2018)."""
    places = int(np.prod(patient.network.input_shape[:-1]))  # of images every pixel counts
    names = [name for name in patient.layers if type(patient.spec(name)).__name__ == "BatchNormalization"]
    if names and patient.batch_size < 8 and places == 1:
        yield found(
            "small_batches_to_normalize",
            "warning",
            names[0],
            patient.batch_size,
            text=f"It takes mean and deviation of {patient.batch_size} rows at a time.",
            normal="16 rows and more.",
            remedy="Take batches of 32, or LayerNormalization.",
        )
