"""Members of an ensemble in one network: activations (n, members, d), one copy of each row for every member.

`Dense` on the last axis shares its weights among the members.  `Scaling` gives each member its own adapters,
`MemberDense` its own weights.  `MemberMean` ends such a network.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import call, kernel
from fastbp.compiler.pointers import at, copy_entries, null, span, unit
from fastbp.initializers import EachOnItsOwn
from fastbp.kernels.tile import product_address
from fastbp.kernels.transpose import transpose
from fastbp.layers.base import LAYERS, Layer, layer_dtype, whole_number
from fastbp.layers.build import Build
from fastbp.layers.core.activation import ACTIVATION_FIELDS, fill_activation
from fastbp.layers.weights import adapt_to_inputs, kernel_and_bias, resolve_dense


@kernel
def repeat_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, d) -> out (n, members, d)."""
    d = layer.n_in
    for row in range(start, stop):
        for copy in range(0, layer.n_out, d):
            copy_entries(at(work, layer.out + row * layer.n_out + copy), at(work, layer.x + row * d), d)


@kernel
def repeat_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, members, d) -> dx (n, d)."""
    d = layer.n_in
    for row in range(start, stop):
        dx = span(work, layer.dx + row * d, d)
        # dx = the sum of dout over the members, in their order
        copy_entries(at(work, layer.dx + row * d), at(work, layer.dout + row * layer.n_out), d)
        for copy in range(d, layer.n_out, d):
            dout = span(work, layer.dout + row * layer.n_out + copy, d)
            for j in range(d):
                dx[j] += dout[j]


@LAYERS.register("RepeatMembers")
@dataclass
class RepeatMembers(Layer):
    """Every row once for each member of an ensemble: ``(n, ...)`` becomes ``(n, members, ...)``.

    Parameters
    ----------
    members : int
    name : str, optional
        Default ``"repeatmembers"``, ``"repeatmembers_1"`` and so on.

    Raises
    ------
    ValueError
        Where `members` is not a whole number of at least 1.

    Examples
    --------
    >>> import fastbp
    >>> ensemble = [fastbp.RepeatMembers(8), fastbp.Scaling("random_signs"), fastbp.Dense(5)]
    >>> fastbp.Sequential(ensemble, input_shape=(3,)).output_shape
    (8, 5)
    """

    members: int
    name: str | None = None

    forward, backward = repeat_forward, repeat_backward

    def __post_init__(self):
        self.members = whole_number(self, "members")

    def build(self, input_shape: tuple[int, ...]) -> Build:
        return Build(output_shape=(self.members, *input_shape))


MEMBER_DENSE = layer_dtype(
    ("members", "i8"),
    ("d", "i8"),
    ("k", "i8"),
    ("bias", "param"),
    ("product", "i8"),  # address
    *ACTIVATION_FIELDS,
)


@kernel
def member_dense_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, m, d), kernel (m, d, k), bias (m, k) -> out (n, m, k); z is kept where the derivative needs it."""
    m, d, k = layer.members, layer.d, layer.k
    # As in dense.py: if backward does not need z, z is written to dout.
    z = layer.out if layer.activate == 0 else layer.extra if layer.needs_input else layer.dout
    for i in range(m):
        # z[i] = x[i] @ kernel[i] + bias[i]
        bias = at(params, layer.bias + i * k) if layer.bias >= 0 else null(params)
        x, weight = at(work, layer.x + (start * m + i) * d), at(params, layer.params + i * d * k)
        z_i = at(work, z + (start * m + i) * k)
        call(layer.product, (z_i, m * k, bias, 0, x, m * d, 1, weight, k, stop - start, k, d))
    # out = activation(z)
    if layer.activate:
        first, size = start * m * k, (stop - start) * m * k
        call(layer.activate, (span(work, layer.out + first, size), span(work, z + first, size), k, layer.alpha))


@kernel
def member_dense_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, m, k), kernel (m, d, k) -> dx (n, m, d); dout is overwritten with dz (n, m, k)."""
    m, d, k = layer.members, layer.d, layer.k
    # dz = dout * activation'(z)
    if layer.differentiate:
        first, size = start * m * k, (stop - start) * m * k
        dz, out = span(work, layer.dout + first, size), span(work, layer.out + first, size)
        z = span(work, layer.extra + first, size) if layer.needs_input else out
        call(layer.differentiate, (dz, z, out, k, layer.alpha))
    if layer.dx >= 0:
        for i in range(m):
            # dx[i] = dz[i] @ kernel[i]^T
            dx, dz_i = at(work, layer.dx + (start * m + i) * d), at(work, layer.dout + (start * m + i) * k)
            transposed = at(shared, layer.shared + i * d * k)
            call(layer.product, (dx, m * d, null(work), 0, dz_i, m * k, 1, transposed, d, stop - start, d, k))


@kernel
def member_dense_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """x (n, m, d), dz (n, m, k) -> members first to end of dkernel (m, d, k), or of dbias (m, k)."""
    m, d, k = layer.members, layer.d, layer.k
    if block == 0:
        for i in range(first, end):
            # dkernel[i] = x[i]^T @ dz[i]
            dkernel = at(grads, layer.params + i * d * k)
            init = dkernel if accumulate else null(grads)
            x, dz = at(work, layer.x + (start * m + i) * d), at(work, layer.dout + (start * m + i) * k)
            call(layer.product, (dkernel, k, init, k, x, 1, m * d, dz, m * k, d, k, stop - start))
        return
    # dbias = ones^T @ dz
    dbias, dz = at(grads, layer.bias + first * k), at(work, layer.dout + (start * m + first) * k)
    init = dbias if accumulate else null(grads)
    call(layer.product, (dbias, k, init, k, unit(grads), 0, 0, dz, m * k, 1, (end - first) * k, stop - start))


@kernel
def member_dense_prepare(layer, params, shared, first, end):
    """Write the transposes (k, d) of the kernels of members first to end, which backward reads."""
    d, k = layer.d, layer.k
    for i in range(first, end):
        transpose(at(shared, layer.shared + i * d * k), d, at(params, layer.params + i * d * k), k, d, k)


@LAYERS.register("MemberDense")
@dataclass
class MemberDense(Layer):
    """A dense layer for each member of an ensemble: ``out[:, i] = activation(x[:, i] @ kernel[i] + bias[i])``.

    Parameters
    ----------
    units : int
        Number of outputs of each member, ``k``.
    activation : str or activation object, optional
        Applied to every output (softmax to each member's); None is linear.
    use_bias : bool, default True
    kernel_initializer, bias_initializer : str or initializer object
        Defaults ``"glorot_uniform"`` and ``"zeros"``. Each member's kernel is drawn as that of a `Dense` layer; the
        biases of all members are drawn at once.
    kernel_regularizer, bias_regularizer : str or regularizer object, optional
    kernel_learning_rate_factor, bias_learning_rate_factor, kernel_decay_factor, bias_decay_factor : float
        As in `Dense`, default 1.0.
    parametrization : {"standard", "ntk"}, default "standard"
        As in `Dense`.
    trainable : bool, default True
    name : str, optional
        Default ``"memberdense"``, ``"memberdense_1"`` and so on.

    Raises
    ------
    ValueError
        Where `units` is not a whole number of at least 1, a name is unknown, or (at building) inputs do not have the
        shape ``(members, d)``.

    Notes
    -----
    Inputs ``(n, members, d)``, kernel ``(members, d, k)``, bias ``(members, k)``, outputs ``(n, members, k)``.

    Examples
    --------
    >>> import fastbp
    >>> layers = [fastbp.RepeatMembers(4), fastbp.MemberDense(16, activation="relu"), fastbp.MemberDense(1)]
    >>> model = fastbp.Sequential(layers, input_shape=(3,))
    >>> model.views["memberdense/kernel"].shape
    (4, 3, 16)
    """

    units: int
    activation: Any = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_learning_rate_factor: float = 1.0
    bias_learning_rate_factor: float = 1.0
    kernel_decay_factor: float = 1.0
    bias_decay_factor: float = 1.0
    parametrization: str = "standard"
    trainable: bool = True
    name: str | None = None

    dtype = MEMBER_DENSE
    forward, backward = member_dense_forward, member_dense_backward
    gradient, prepare = member_dense_gradient, member_dense_prepare

    def __post_init__(self):
        resolve_dense(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        if len(input_shape) != 2:
            raise ValueError(
                f"MemberDense takes inputs of shape (members, d); it got shape {input_shape} (without the batch). "
                "RepeatMembers makes members of rows."
            )
        (m, d), k = input_shape, self.units
        return Build(
            output_shape=(m, k),
            params=kernel_and_bias(self, (m, d, k), (m, k), EachOnItsOwn(self.kernel_initializer)),
            fields={"members": m, "d": d, "k": k},
            extra=m * k if self.activation.needs_input else 0,
            shared=m * d * k,
            multiply_adds=m * d * k,
        )

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        record["product"] = product_address(float_type)
        fill_activation(record, self.activation, float_type)

    def adapt(self, views: dict[str, np.ndarray], x: np.ndarray, rng: np.random.Generator) -> None:
        for i, weight in enumerate(views["kernel"]):
            adapt_to_inputs(self, weight, views["bias"][i] if self.use_bias else None, x[:, i], rng)

    @property
    def output_activation(self) -> Any:
        return self.activation


@LAYERS.register("MemberMean")
@dataclass
class MemberMean(Layer):
    """The end of an ensemble in one network: predictions are the mean of the members'; losses see the members.

    After a softmax it is the mean of the probabilities. Train with `MemberLoss`.

    Parameters
    ----------
    name : str, optional
        Default ``"membermean"``, ``"membermean_1"`` and so on.

    Raises
    ------
    ValueError
        At building, where it is not the last layer, or its inputs do not have the shape ``(members, ...)``.

    Notes
    -----
    Inputs ``(n, members, ...)``, predictions ``(n, ...)``. Metrics are computed on the predictions.

    Examples
    --------
    >>> import fastbp
    >>> layers = [fastbp.RepeatMembers(4), fastbp.MemberDense(3, "softmax"), fastbp.MemberMean()]
    >>> fastbp.Sequential(layers, input_shape=(5,)).output_shape
    (3,)
    """

    name: str | None = None

    alias = True

    def build(self, input_shape: tuple[int, ...]) -> Build:
        if len(input_shape) < 2:
            raise ValueError(f"MemberMean takes inputs of shape (members, ...); it got shape {input_shape}.")
        return Build(output_shape=input_shape[1:])

    def finish(self, outputs: np.ndarray) -> np.ndarray:
        """Return the predictions, the mean over members of `outputs` (n, members, ...)."""
        return outputs.mean(axis=1)

    def spread(self, dout: np.ndarray, input_shape: tuple[int, ...], outputs_of: Callable) -> np.ndarray:
        """Return the gradient with respect to the members' outputs, from that of the predictions, dout (n, ...)."""
        return np.repeat(dout[:, None] / input_shape[0], input_shape[0], axis=1)
