"""Units that say the same to every row, and units at the ends of their activation."""

import numpy as np

from fastbp.activations import ACTIVATIONS
from fastbp.doctor.check_registry import check, found

MOST_DEAD = 0.8
MOST_SATURATED = 0.5
# Far enough for every activation of ours to be at its end (float32 tanh is 1 from 9.1 on, sigmoid from 17).
FAR = 60.0
# Of an activation's range, how near its ends a value counts as saturated: of tanh beyond 0.98, where its slope is 0.04.
EDGE = 0.01
# Layers whose state, and so their output, is their activation's or a product of it with a gate.
RECURRENT = ("SimpleRNN", "GRU", "LSTM")


@check("rows")
def dead_units(patient):
    """Units (of convolutions channels) behind an activation that give one and the same number for all rows.

    Above 80 % of a layer's (90 % where the model has learned all the same). CS231n speaks of 40 % that can die with too
    high a learning rate, but healthy networks of the tests have 0 to 20 % after training, narrow ones behind positive
    inputs up to 56 % (iris, 16 units, 38 % of them from the start),
    the inception blocks of the examples up to 75 %; biases of -10 make it 100 %.
    """
    for name in hidden_with_activation(patient):
        units = by_unit(patient.outputs(name))
        if len(units) < 16:
            continue
        share = float((units == units[:1]).all(axis=0).mean())
        if share > (0.9 if patient.has_learned else MOST_DEAD):
            yield found(
                "dead_units",
                "serious" if share > 0.9 else "warning",
                name,
                share,
                text=f"{share:.0%} of its {units.shape[1]} units give the same output for all rows: nothing that they "
                "do reaches the loss, and (of relu) no gradient reaches them.",
                normal="below 25 %, in narrow layers and convolutions below 75 %.",
                remedy='Lower the learning rate, scale the inputs to about -1 to 1, start from "he_normal" with biases '
                'of 0, put BatchNormalization before the activation, or take "leaky_relu" or "elu".',
            )


@check("rows")
def saturated_units(patient):
    """Outputs of sigmoid, tanh and the like at the ends of their range, where the slope is next to nothing.

    Glorot & Bengio (2010) saw hidden layers that sit at their ends learn late or never. Half of the outputs within
    1 % of the ends: healthy tanh and sigmoid networks of the tests have 0 to 20 %, one with inputs of 1,000 has 99 %.
    Networks that have learned (a loss below a tenth of the best constant prediction's) are left alone: units that have
    decided are at their ends.
    """
    if patient.has_learned:
        return
    for name in hidden_with_activation(patient):
        ends = ends_of(patient.spec(name))
        if ends is None:
            continue
        outputs = patient.outputs(name)
        edge = EDGE * (ends[1] - ends[0])
        share = float(((outputs < ends[0] + edge) | (outputs > ends[1] - edge)).mean())
        if share >= MOST_SATURATED:
            yield found(
                "saturated_units",
                "serious" if share > 0.9 else "warning",
                name,
                share,
                text=f"{share:.0%} of its outputs are within 1 % of {ends[0]:g} or {ends[1]:g}, the ends of its "
                "activation: the gradient is next to nothing there.",
                normal="below 20 %.",
                remedy="Scale the inputs to about -1 to 1, start from smaller weights "
                '("glorot_uniform"), lower the learning rate, or put BatchNormalization before the activation.',
            )


def hidden_with_activation(patient):
    """Return the names of the layers but the last whose outputs an activation bends."""
    bent = [name for name in patient.layers if name != patient.last_layer and activation_of(patient.spec(name))]
    return [name for name in bent if type(activation_of(patient.spec(name))).name != "softmax"]


def activation_of(spec):
    """Return a layer's activation, or None where it has none that does something."""
    activation = getattr(spec, "activation", None)
    activation = ACTIVATIONS.resolve(activation) if isinstance(activation, str) else activation
    return activation if getattr(activation, "forward", None) is not None else None


def by_unit(outputs):
    """Return outputs (n, ..., k) as (m, k): time steps and places are rows."""
    return outputs.reshape(-1, outputs.shape[-1])


def curve(activation, dtype=np.float64):
    """Return what an activation makes of numbers from -FAR to FAR."""
    x = np.linspace(-FAR, FAR, 2401).astype(dtype)
    out = np.empty_like(x)
    activation.forward(out, x, 1, activation.alpha)
    return out


def ends_of(spec):
    """Return the least and the largest value of a layer whose activation has two ends, else None."""
    out = curve(activation_of(spec)).round(6)
    flat = out[0] == out[10] and out[-1] == out[-10]
    return (float(out.min()), float(out.max())) if flat and out[0] != out[-1] else None
