"""Checks of settings, parameters, and offsets of a pack's arrays, which the specs of recurrent layers share."""

from typing import Any

import numpy as np

from fastbp.initializers import Zeros
from fastbp.kernels.tile import product_address
from fastbp.layers.base import resolve_settings, whole_number
from fastbp.layers.build import Build, Param
from fastbp.layers.core.activation import activation_addresses, fill_activation
from fastbp.layers.core.dropout import check_rate
from fastbp.layers.recurrent.packed_sequences import BEGINS, MOST_STEPS, PACK
from fastbp.layers.recurrent.recurrentdropout import draw_masks_address

# Offsets within a pack are multiples of 16 entries, a cache line of float32.
ALIGNMENT = 16


@property
def draws(spec: Any) -> bool:
    """Is there dropout?"""
    return bool(spec.dropout or spec.recurrent_dropout)


def resolve_recurrent(spec):
    """Check the settings that all recurrent specs have; put objects where names are."""
    spec.units = whole_number(spec, "units")
    resolve_settings(spec)
    for setting in ("dropout", "recurrent_dropout"):
        check_rate(spec, setting)
    if spec.batch_size is not None:
        spec.batch_size = whole_number(spec, "batch_size")
    if bool(spec.stateful) != (spec.batch_size is not None):
        raise ValueError(
            f"{type(spec).__name__}(stateful={spec.stateful!r}, batch_size={spec.batch_size!r}): stateful=True needs "
            "batch_size, the number of rows whose states it keeps, and nothing else does."
        )


def build_recurrent(spec, input_shape, gates, bias_initializer=None, *, cell=False, reset=False):
    """Return the `Build` of a recurrent layer.

    Parameters
    ----------
    spec : Layer
    input_shape : tuple
        ``(t, d)``.
    gates : int
    bias_initializer : initializer object, optional
        In place of the spec's own.
    cell, reset : bool
        Does the layer have a cell, a reset gate?
    """
    if len(input_shape) != 2:
        raise ValueError(
            f"{type(spec).__name__} takes sequences, inputs of shape (t, d) without the batch: time steps and numbers "
            f"at each; they have shape {input_shape}. return_sequences=True in a recurrent layer before it, or "
            "Reshape((t, d)), makes some."
        )
    t, d, u = *input_shape, spec.units
    if t > MOST_STEPS:
        raise ValueError(f"{type(spec).__name__} takes {MOST_STEPS} time steps at most; the input has {t}.")
    reset_after = getattr(spec, "reset_after", False)
    bias_shape = (2, gates * u) if reset_after else (gates * u,)
    params = [
        _param(spec, "kernel", (d, gates * u), spec.kernel_initializer),
        _param(spec, "recurrent", (u, gates * u), spec.recurrent_initializer, "recurrent_kernel"),
        _param(spec, "bias", bias_shape, bias_initializer or spec.bias_initializer),
    ]
    arrays = _pack_arrays(spec, t, d, gates, cell, reset)
    # The last gate of a GRU is an exception.  With reset_after, its product with the state has a gradient of its own.
    # Without reset_after, the product takes the state that the reset gate has scaled.
    last_dz = arrays["dz"] + (gates - 1 + reset_after) * PACK * t * u
    last_before = arrays["reset" if reset and not reset_after else "before"]
    fields = {"t": t, "units": u, "gates": gates}
    fields |= {"backwards": spec.go_backwards, "reset_after": reset_after}
    fields |= {"zero_masked": spec.zero_output_for_mask, "batch": spec.batch_size or 0}
    names = (["state", "cell"] if cell else ["state"]) if spec.stateful else []
    return Build(
        output_shape=(t, u) if spec.return_sequences else (u,),
        params=params if spec.use_bias else params[:2],
        buffers=[Param(name, (spec.batch_size, u), Zeros()) for name in names],
        fields=fields | arrays | {"last_before": last_before, "last_dz": last_dz},
        extra=arrays["pack"] // PACK,
        multiply_adds=t * (d + u) * gates * u,
    )


def _param(spec, setting, shape, initializer, name=None):
    regularizer = getattr(spec, f"{setting}_regularizer")
    return Param(
        name or setting,
        shape,
        initializer,
        *(regularizer.factors if regularizer else (0.0, 0.0)),
        learning_rate_factor=getattr(spec, f"{setting}_learning_rate_factor"),
        decay_factor=getattr(spec, f"{setting}_decay_factor"),
    )


def _pack_arrays(spec, t, d, gates, cell, reset):
    """Return {name: offset of the array in a pack}; "pack" is the number of entries of a pack."""
    u, capacity = spec.units, PACK * t
    # The states before the first step stand in front of packed row 0.
    states = PACK * u
    sizes = {
        "places": (PACK * t, 0),
        "packed_x": (capacity * d, 0),
        "packed_dx": (capacity * d, 0),
        "outs": (gates * capacity * u, 0),
        "z": (gates * capacity * u if _needs_z(spec) else 0, 0),
        "dz": ((gates + getattr(spec, "reset_after", False)) * capacity * u, 0),
        "h": (capacity * u, states),
        "dh": (capacity * u, states),
        "before": (capacity * u, 0),
        "biases": (gates * u, 0),
        "weights": (gates * u * (u + d), 0),
        "cell": (capacity * u, states) if cell else (0, 0),
        "cell_out": (capacity * u if cell else 0, 0),
        "reset": (capacity * u if reset else 0, 0),
        "dstep": (states, 0),
        "masks": (PACK * (d + 2 * u) if spec.draws else 0, 0),
    }
    places, end = {}, BEGINS + _aligned(t + 1)
    for name, (size, in_front) in sizes.items():
        places[name] = end + in_front
        end += _aligned(in_front + size)
    if not _needs_z(spec):
        places["z"] = places["dz"]
    return places | {"pack": end}


def _aligned(entries):
    return -(-entries // ALIGNMENT) * ALIGNMENT


def _needs_z(spec):
    """Does a derivative of the activations read their input?"""
    return spec.activation.needs_input or getattr(spec, "recurrent_activation", spec.activation).needs_input


def fill_recurrent(record, spec, float_type):
    """Set the fields of a recurrent layer's record that `build_recurrent` does not set."""
    record["product"] = product_address(float_type)
    if spec.draws:
        record["draw_masks"] = draw_masks_address(float_type)
    fill_activation(record, spec.activation, float_type)
    gate = getattr(spec, "recurrent_activation", spec.activation)
    record["recurrent_activate"], record["recurrent_differentiate"] = activation_addresses(gate, float_type)
    record["recurrent_alpha"] = gate.alpha


class BiasOf:
    """The initial values of an LSTM's bias: the entries of gate number `gate`, the forget gate, are one.

    With a bias of zero the gate would halve the cell at every step (Jozefowicz et al., 2015).
    """

    def __init__(self, initializer, gate, units):
        self._initializer, self._gate, self._units = initializer, gate, units

    def __call__(self, shape, rng, dtype):
        """Return a new array."""
        bias = np.array(self._initializer(shape, rng, dtype))
        bias[self._gate * self._units : (self._gate + 1) * self._units] = 1
        return bias
