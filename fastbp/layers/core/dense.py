"""Dense: out (n, k) = activation(x (n, d) @ kernel (d, k) + bias (k,)); other axes of x count as rows."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import call, kernel
from fastbp.compiler.pointers import at, null, span, unit
from fastbp.kernels.dropping import keep_scale, rate_of
from fastbp.kernels.panels import PANEL_READERS, pack, pack_transpose, panels, panels_pay
from fastbp.kernels.tile import gated_product_address
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build
from fastbp.layers.core.activation import ACTIVATION_FIELDS, fill_activation, is_rectifier
from fastbp.layers.weights import adapt_to_inputs, kernel_and_bias, resolve_dense

DENSE = layer_dtype(
    ("rows", "i8"),  # product of the axes between the batch and the last one; 1 for inputs (n, d)
    ("d", "i8"),
    ("k", "i8"),
    ("bias", "param"),
    ("product", "i8"),  # address
    ("rectifies", "i8"),  # 1: the product makes the activation (kernels/epilogue.py)
    ("may_gate_dx", "i8"),  # 1: it can apply what `gates_dx` says; a class with a backward kernel of its own does not
    ("gates_dx", "i8"),  # what the product that makes dx applies of the layers that made x (kernels/epilogue.py), or 0
    ("drop_rate", "f8"),  # the rate of the dropout that made x, if it applies that
    # What the gradients of the kernel's items fetch (kernels/ahead.py): the address of the first item's queue, or 0;
    # the bytes of a queue; the rows of an item.
    ("ahead", "i8"),
    ("ahead_bytes", "i8"),
    ("ahead_rows", "i8"),
    *ACTIVATION_FIELDS,
)


@kernel
def dense_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, d), kernel (d, k), bias (k,) -> out (n, k); z (n, k) is kept where the derivative needs it."""
    d, k, start, stop = layer.d, layer.k, layer.rows * start, layer.rows * stop
    # If backward does not need z, z is written to dout: that memory is free until the backward pass.
    z = layer.out if layer.rectifies or layer.activate == 0 else layer.extra if layer.needs_input else layer.dout
    # z = x @ kernel + bias
    bias = at(params, layer.bias) if layer.bias >= 0 else null(params)
    x, weight, stride = at(work, layer.x + start * d), at(params, layer.params), k
    if layer.packed >= 0 and panels_pay(weight, d, k):
        weight, stride = at(shared, layer.packed), panels(d)
    gate = at(work, z + start * k) if layer.rectifies else null(work)
    to, scale = at(work, z + start * k), work.dtype.type(1)
    call(layer.product, (to, k, bias, 0, x, d, 1, weight, stride, stop - start, k, d, gate, 0, scale, 0))
    # out = activation(z)
    if layer.activate and not layer.rectifies:
        out = span(work, layer.out + start * k, (stop - start) * k)
        call(layer.activate, (out, span(work, z + start * k, (stop - start) * k), k, layer.alpha))


@kernel
def dense_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, k), kernel (d, k) -> dx (n, d); dout is overwritten with dz (n, k), and dz is packed for `gradient`."""
    d, k, start, stop = layer.d, layer.k, layer.rows * start, layer.rows * stop
    # dz = dout * activation'(z)
    if layer.differentiate:
        dz = span(work, layer.dout + start * k, (stop - start) * k)
        out = span(work, layer.out + start * k, (stop - start) * k)
        z = span(work, layer.extra + start * k, (stop - start) * k) if layer.needs_input else out
        call(layer.differentiate, (dz, z, out, k, layer.alpha))
    dz_, rows = at(work, layer.dout + start * k), layer.rows * layer.region_rows
    if layer.panels >= 0 and panels_pay(dz_, rows, k):
        pack(at(work, layer.panels), rows, start, dz_, k, stop - start, k)
    # dx = dz @ kernel^T
    if layer.dx >= 0:
        dx, transposed = at(work, layer.dx + start * d), at(shared, layer.shared)
        gate = at(work, layer.x + start * d) if layer.gates_dx else null(work)
        none, n, scale = null(work), stop - start, keep_scale(rate_of(layer.drop_rate, step), work)
        call(
            layer.product,
            (dx, d, none, 0, dz_, k, 1, transposed, panels(k), n, d, k, gate, layer.gates_dx, scale, 0),
        )


@kernel
def dense_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """x (n, d), dz (n, k) -> rows first to end of dkernel (d, k), or dbias (k,)."""
    d, k, start, stop = layer.d, layer.k, layer.rows * start, layer.rows * stop
    if block == 0:
        # dkernel = x^T @ dz
        dkernel = at(grads, layer.params + first * k)
        init = dkernel if accumulate else null(grads)
        x, dz, stride = at(work, layer.x + start * d + first), at(work, layer.dout + start * k), k
        rows = layer.rows * layer.region_rows
        if layer.panels >= 0 and start == 0 and panels_pay(dz, rows, k):
            dz, stride = at(work, layer.panels), panels(rows)
        none, height, rows, scale = null(work), end - first, stop - start, work.dtype.type(1)
        ahead = layer.ahead + first // layer.ahead_rows * layer.ahead_bytes if layer.ahead else 0
        call(layer.product, (dkernel, k, init, k, x, 1, d, dz, stride, height, k, rows, none, 0, scale, ahead))
        return
    # dbias = ones^T @ dz: the product adds up columns faster than a loop would (kernels/columnsums.py)
    dbias, dz = at(grads, layer.bias + first), at(work, layer.dout + start * k + first)
    init = dbias if accumulate else null(grads)
    none, rows, scale = null(work), stop - start, work.dtype.type(1)
    call(layer.product, (dbias, k, init, k, unit(grads), 0, 0, dz, k, 1, end - first, rows, none, 0, scale, 0))


@kernel
def dense_prepare(layer, params, shared, first, end):
    """Pack rows first to end of kernel (d, k) for forward, and those columns of its transpose (k, d) for backward."""
    d, k, rows = layer.d, layer.k, at(params, layer.params + first * layer.k)
    if layer.packed >= 0 and panels_pay(rows, d, k):
        pack(at(shared, layer.packed), d, first, rows, k, end - first, k)
    if layer.dx >= 0:
        pack_transpose(at(shared, layer.shared), d, first, rows, k, end - first, k)


@LAYERS.register("Dense")
@dataclass
class Dense(Layer):
    """Fully connected layer: ``out = activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        Number of outputs, ``k``.
    activation : str or activation object, optional
        Applied to every output; None is linear.
    use_bias : bool, default True
    kernel_initializer, bias_initializer : str or initializer object
        Defaults ``"glorot_uniform"`` and ``"zeros"``.
    kernel_regularizer, bias_regularizer : str or regularizer object, optional
        `L1`, `L2` or `L1L2`.
    kernel_constraint : MaxNorm, optional
        Bounds the norm of each output's incoming weights.
    kernel_learning_rate_factor, bias_learning_rate_factor : float, default 1.0
        The parameter's own factor on the learning rate (and so on the decoupled weight decay).
    kernel_decay_factor, bias_decay_factor : float, default 1.0
        The parameter's own factor on the optimizer's decoupled weight decay; 0 spares it.
    parametrization : {"standard", "ntk"}, default "standard"
        "ntk" trains as if the product were ``x @ kernel / sqrt(d)`` (Jacot et al., 2018): the kernel's learning rate
        is divided by ``sqrt(d)``, its decay is not. This is exact for optimizers whose step does not depend on the
        gradient's size, such as Adam (up to its `epsilon`). Start from ``kernel_initializer="fan_in_normal"``.
    trainable : bool, default True
        False keeps the weights as they are.
    name : str, optional
        Default ``"dense"``, ``"dense_1"`` and so on.

    Raises
    ------
    ValueError
        Where `units` is not a whole number of at least 1, or a name is unknown.
    TypeError
        Where another setting is neither a name nor an object of its kind.

    Notes
    -----
    Inputs ``(n, d)``, kernel ``(d, k)``, bias ``(k,)``, outputs ``(n, k)``. Of inputs with more axes,
    ``(n, ..., d)``, the product is taken along the last one, as in Keras: outputs ``(n, ..., k)``.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Dense(3, activation="tanh")], input_shape=(2,))
    >>> model.views["dense/kernel"].shape
    (2, 3)
    """

    units: int
    activation: Any = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    kernel_learning_rate_factor: float = 1.0
    bias_learning_rate_factor: float = 1.0
    kernel_decay_factor: float = 1.0
    bias_decay_factor: float = 1.0
    parametrization: str = "standard"
    trainable: bool = True
    name: str | None = None

    dtype = DENSE
    forward, backward, gradient, prepare = dense_forward, dense_backward, dense_gradient, dense_prepare

    def __post_init__(self):
        resolve_dense(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        *rows, d = input_shape
        n_rows, k = math.prod(rows), self.units
        max_norm = self.kernel_constraint.max_value if self.kernel_constraint else 0.0
        return Build(
            output_shape=(*rows, k),
            params=kernel_and_bias(self, (d, k), (k,), self.kernel_initializer, max_norm),
            fields={"rows": n_rows, "d": d, "k": k},
            extra=n_rows * k if self.activation.needs_input else 0,
            shared=d * k,
            packed=d * k,
            panels=n_rows * k if d >= PANEL_READERS else 0,
            multiply_adds=n_rows * d * k,
        )

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        record["product"] = gated_product_address(float_type)
        # A class with kernels of its own may compute something else.
        record["rectifies"] = is_rectifier(self.activation) and self.forward is dense_forward
        record["may_gate_dx"] = self.backward is dense_backward
        fill_activation(record, self.activation, float_type)

    def adapt(self, views: dict[str, np.ndarray], x: np.ndarray, rng: np.random.Generator) -> None:
        adapt_to_inputs(self, views["kernel"], views.get("bias"), x.reshape(-1, x.shape[-1]), rng)

    @property
    def output_activation(self) -> Any:
        return self.activation
