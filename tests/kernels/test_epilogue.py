"""Gates of products: the bits of ReLU's and Dropout's formulas in NumPy, of the product without a gate."""

from dataclasses import dataclass

import numba
import numpy as np
import pytest

import fastbp
from fastbp.activations import ACTIVATIONS
from fastbp.compiler.intrinsics import like, select
from fastbp.compiler.jit import call, kernel
from fastbp.compiler.pointers import at, null
from fastbp.custom import Activation, backward, forward
from fastbp.engine import limits
from fastbp.engine.cut import Purpose
from fastbp.engine.plan import Plan
from fastbp.kernels.epilogue import DROPPED, RECTIFIED
from fastbp.kernels.panels import pack
from fastbp.kernels.tile import DEPTH, SECTION, gated_product_address, product_address
from fastbp.layers.base import float_type_of
from tests.reference.rng import dropout_mask

NO_GATE, OUT = 0, -1  # other kinds of a gate are those of a matrix
PAD, SENTINEL, SCALE = 3, -777.0, 1.0 / 0.7
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@numba.njit
def run(address, gated, out, stride, init, init_stride, a, a_row, a_col, b, b_stride, m, n, k, gate, kind):
    """Call one of the products; `kind` of gate: none, `out` itself, or what the matrix `gate` does."""
    if kind == OUT:
        by = at(out, 0)
    elif kind == NO_GATE:
        by = null(out)
    else:
        by = at(gate, 0)
    start = null(out) if init_stride < 0 else at(init, 0)
    arguments = (at(out, 0), stride, start, init_stride, at(a, 0), a_row, a_col, at(b, 0), b_stride, m, n, k)
    if gated:
        call(address, (*arguments, by, max(kind, 0), out.dtype.type(SCALE), 0))
    else:
        call(address, arguments)


@numba.njit
def pack_all(to, b, k, n):
    pack(at(to, 0), k, 0, at(b, 0), n, k, n)


def relu(sums):
    return np.where(sums < 0, sums.dtype.type(0), sums)


def slope(sums, gate):
    with np.errstate(invalid="ignore"):
        return sums * np.where(gate <= 0, sums.dtype.type(0), sums.dtype.type(1))


def kept(sums, gate, kind):
    """Return what Dropout and then ReLU do backward: entries that were dropped are 0, whatever they are."""
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = sums * sums.dtype.type(SCALE)
    scaled = slope(scaled, gate) if kind & RECTIFIED else scaled
    return np.where((gate == 0) & np.signbit(gate), sums.dtype.type(0), scaled)


class Case:
    """Operands of one size with NaN, infinities and zeros of both signs among them, and the product without a gate."""

    def __init__(self, dtype, m, n, k, bias=True, transposed=False, packed=False):
        rng = np.random.default_rng([m, n, k])
        self.sizes, self.stride = (m, n, k), n + PAD
        self.real = float_type_of(dtype)
        self.a, self.b, self.bias = (rng.standard_normal(size).astype(dtype) for size in ((m, k), (k, n), n))
        odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
        self.gate = np.full((m, self.stride), SENTINEL, dtype)
        self.gate[:, :n] = rng.standard_normal((m, n))
        places = rng.integers(0, m * n, (m * n + 5) // 3)
        self.gate[places // n, places % n] = rng.choice(odd, len(places))
        if m > 2 and k:
            self.a[m // 2, k // 2], self.a[0, 0] = np.nan, np.inf
        strides = (1, m) if transposed else (k, 1)
        self.a_flat = (np.ascontiguousarray(self.a.T) if transposed else self.a).ravel()
        b = self.b.ravel()
        if packed:
            b = np.empty_like(b)
            pack_all(b, self.b.ravel(), k, n)
        self.operands = (self.bias, 0 if bias else -1, self.a_flat, *strides, b, -k if packed else n)
        self.plain = self.product(NO_GATE, product_address)

    def product(self, kind, address=gated_product_address):
        """Return out (m, n) of one of the products; what is around it must be as before."""
        m, n, _ = self.sizes
        out = np.full((m + 1, self.stride), SENTINEL, self.real)
        gated, before = address is gated_product_address, self.gate.copy()
        run(
            address(self.real), gated, out.ravel(), self.stride, *self.operands, *self.sizes, self.gate.ravel(), kind
        )  # fmt: skip
        assert (out[m] == SENTINEL).all()
        assert (out[:, n:] == SENTINEL).all()
        assert self.gate.tobytes() == before.tobytes()
        return out[:m, :n].copy()

    def check(self):
        n = self.sizes[1]
        assert same_bits(self.product(NO_GATE), self.plain), self.sizes
        assert same_bits(self.product(OUT), relu(self.plain)), self.sizes
        assert same_bits(self.product(RECTIFIED), slope(self.plain, self.gate[:, :n])), self.sizes
        for kind in (DROPPED, RECTIFIED | DROPPED):
            assert same_bits(self.product(kind), kept(self.plain, self.gate[:, :n], kind)), (self.sizes, kind)


def same_bits(one, two):
    """Are they equal, signs of zero included, and NaN in the same places?  (A NaN's sign and bits are the CPU's.)"""
    return np.array_equal(one, two, equal_nan=True) and (np.signbit(one) == np.signbit(two))[~np.isnan(one)].all()


@both_dtypes
def test_every_size_up_to_40(dtype):
    for m in range(1, 41):
        for n in range(1, 41):
            k = (m * 7 + n * 3) % 41
            Case(dtype, m, n, k, bias=bool((m + n) % 2), transposed=(m + n) % 3 == 0).check()


@both_dtypes
def test_random_large_sizes(dtype):
    rng = np.random.default_rng(4)
    for _ in range(12):
        m, n, k = (int(size) for size in (rng.integers(1, 150), rng.integers(1, 150), rng.integers(1, 3 * DEPTH)))
        Case(dtype, m, n, k, transposed=bool(rng.integers(2)), packed=n > 64).check()


@both_dtypes
@pytest.mark.parametrize("sizes", [(3, 5, SECTION + 3), (9, 1, SECTION + 3), (1, 70, 2 * SECTION), (5, 40, DEPTH)])
def test_long_sums_pass_the_gate_once_they_are_whole(dtype, sizes):
    Case(dtype, *sizes).check()


@both_dtypes
def test_sums_of_columns_pass_a_gate(dtype):
    """The path of a gradient of biases, where `a` is a single 1."""
    case = Case(dtype, 1, 70, 40)
    case.operands = (case.bias, 0, np.ones(1, dtype), 0, 0, case.b.ravel(), 70)
    case.plain = case.product(NO_GATE, product_address)
    assert (case.plain < 0).any()
    case.check()


@ACTIVATIONS.accept
@dataclass(frozen=True)
class Twin(Activation):
    """ReLU's formulas, of which no product knows."""

    name = "twin"

    @forward
    def forward(x, alpha):
        return select(x < 0, like(x, 0), x)

    @backward
    def backward(d, x, out, alpha):
        return d * select(out <= 0, like(d, 0), like(d, 1))


def network(activation, dtype):
    """Return a network in which layers of all kinds stand before and behind rectified ones."""
    layers = [
        fastbp.Dense(33, activation),
        fastbp.Dense(17, activation),
        fastbp.Dropout(0.2),
        fastbp.Dense(40, activation),
        fastbp.Concatenate([[fastbp.Dense(5, activation)], [fastbp.Dense(3)]]),
        fastbp.Dense(1, activation, bias_initializer="ones"),
        fastbp.Dense(4, activation, trainable=False),
        fastbp.Dense(2, activation, bias_initializer="ones"),
    ]
    model = fastbp.Sequential(layers, input_shape=(11,), seed=3, dtype=dtype)
    model.compile("adam", "mean_squared_error")
    return model


@both_dtypes
@pytest.mark.parametrize("partial_bytes", [limits.PARTIAL_BYTES, 0], ids=["sliced", "whole batch"])
def test_networks_have_the_bits_of_passes_of_their_own(monkeypatch, dtype, partial_bytes):
    monkeypatch.setattr(limits, "PARTIAL_BYTES", partial_bytes)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 11)), rng.standard_normal((200, 2))
    found = []
    for activation, threads in (("relu", 1), ("relu", 2), ("relu", 3), (Twin(), 1)):
        fastbp.set_num_threads(threads)
        model = network(activation, dtype)
        losses = model.fit(x, y, epochs=3, batch_size=70, verbose=0).history["loss"]
        found.append((losses, model.params.tobytes(), model.predict(x).tobytes()))
    fastbp.set_num_threads(None)
    assert all(one == found[0] for one in found)


class Apart(fastbp.Dropout):
    """Dropout whose mask no product applies."""

    def fill(self, record, float_type):
        pass


# Layers between inputs of 11 entries and outputs of 2, where `drop` makes a layer of dropout.
DROPPING = {
    "relu": lambda drop: [fastbp.Dense(40, "relu"), drop(0.3), fastbp.Dense(33, "relu"), drop(0.5)],
    "linear": lambda drop: [fastbp.Dense(40), drop(0.3), fastbp.Dense(70, use_bias=False), drop(0.5)],
    "others": lambda drop: [fastbp.Dense(9, "tanh"), drop(0.3), fastbp.Dense(17, "gelu"), drop(0.1)],
    "narrow": lambda drop: [fastbp.Dense(1, bias_initializer="ones"), drop(0.3), fastbp.Dense(4, "relu"), drop(0.2)],
    "twice": lambda drop: [drop(0.2), fastbp.Dense(20, "relu"), drop(0.3), drop(0.2), fastbp.Dense(5, "relu")],
    "never": lambda drop: [fastbp.Dense(20, "relu"), drop(0.0)],
    "normalized": lambda drop: [fastbp.BatchNormalization(), fastbp.Activation("relu"), drop(0.4)],
    "branches": lambda drop: [
        fastbp.Dense(9, "relu"),
        drop(0.2),
        fastbp.Concatenate([[drop(0.2), fastbp.Dense(5, "relu")], [fastbp.Dense(3), drop(0.2), fastbp.Dense(4)]]),
    ],
    "sequences": lambda drop: [
        fastbp.Reshape((11, 1)),
        fastbp.Dense(6, "relu"),
        drop(0.3),
        fastbp.Dense(5, "relu"),
        fastbp.Flatten(),
    ],
}
every_dropping = pytest.mark.parametrize("name", DROPPING)


def dropping(name, drop, dtype):
    model = fastbp.Sequential([*DROPPING[name](drop), fastbp.Dense(2)], input_shape=(11,), seed=3, dtype=dtype)
    model.compile("adam", "mean_squared_error")
    return model


@both_dtypes
@every_dropping
@pytest.mark.parametrize("partial_bytes", [limits.PARTIAL_BYTES, 0], ids=["sliced", "whole batch"])
def test_dropout_has_the_bits_of_passes_of_its_own(monkeypatch, name, dtype, partial_bytes):
    monkeypatch.setattr(limits, "PARTIAL_BYTES", partial_bytes)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 11)), rng.standard_normal((200, 2))
    found = []
    for drop, threads in ((fastbp.Dropout, 1), (fastbp.Dropout, 2), (fastbp.Dropout, 3), (Apart, 1)):
        fastbp.set_num_threads(threads)
        model = dropping(name, drop, dtype)
        losses = model.fit(x, y, epochs=2, batch_size=70, verbose=0).history["loss"]
        gradients = [model.value_and_grad(x, y, training=training)[1].tobytes() for training in (False, True)]
        found.append((losses, gradients, model.params.tobytes()))
    fastbp.set_num_threads(None)
    assert all(one == found[0] for one in found)


@every_dropping
def test_gradients_that_are_not_finite_are_those_of_passes_of_their_own(name):
    """Some entries of the gradient overflow in the product, some are NaN: what was dropped stays 0."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((30, 11)), rng.standard_normal((30, 2)) * 1e19
    found = []
    for drop in (fastbp.Dropout, Apart):
        model = dropping(name, drop, "float32")
        model.params[-24:] *= np.float32(1e20)
        found.append(model.value_and_grad(x, y, training=True)[1])
    assert not np.isfinite(found[0]).all()
    assert same_bits(*found)


@pytest.mark.parametrize("name", ["relu", "linear", "others"])
def test_gradients_with_dropout_are_finite_differences(name):
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((9, 11)), rng.standard_normal((9, 2))
    result = fastbp.check_gradients(dropping(name, fastbp.Dropout, "float64"), x, y, training=True)
    assert result.max_relative_error < 1e-6


def test_zeros_that_are_kept_are_not_taken_for_dropped_ones():
    """The first layer's outputs are zeros of both signs; its gradient is that of entries that were kept."""
    x, y = np.array([[1.0], [-1.0]] * 50), np.ones((100, 1))
    found = []
    for drop in (fastbp.Dropout, Apart):
        layers = [fastbp.Dense(8), drop(0.5, name="dropout"), fastbp.Dense(1, kernel_initializer="ones")]
        model = fastbp.Sequential(layers, input_shape=(1,), seed=3)
        model.compile("sgd", "mean_squared_error")
        model.views["dense/kernel"][...], model.views["dense/bias"][...] = np.array([0.0, -0.0] * 4), -0.0
        found.append(model.value_and_grad(x, y, training=True)[1])
    outputs = model.outputs_of("dense", x)
    assert not outputs.any()
    assert 0 < np.signbit(outputs).mean() < 1
    expected = (dropout_mask(model.seed, 0, 1, (100, 8), 0.5) * x * -2 / 100).sum(0)
    np.testing.assert_allclose(found[0][:8], expected, atol=1e-6)
    assert same_bits(*found)


def test_which_layers_have_their_derivative_made_by_the_next_one():
    plan = Plan(network("relu", "float32").engine.network, 64, 2, "float32", Purpose(training=True))
    dense = [row for row in plan.table if "gates_dx" in row.dtype.names]
    both = RECTIFIED | DROPPED
    assert [int(row["gates_dx"]) for row in dense] == [0, RECTIFIED, both, 0, 0, 0, RECTIFIED, RECTIFIED]
    apart = [row["rectifies"] and not row["differentiate"] for row in dense]
    assert [bool(value) for value in apart] == [True, True, False, False, False, True, True, False]
    dropout = plan.table[plan.names.index("dropout")]
    assert not dropout["backward"]


@kernel
def plain_backward(layer, step, params, shared, work, start, stop, row0):
    """dx = dz @ kernel^T of a linear layer, and nothing of what the layers before it would do."""
    for i in range(start, stop):
        for a in range(layer.d):
            total = work.dtype.type(0)
            for b in range(layer.k):
                total += work[layer.dout + i * layer.k + b] * params[layer.params + a * layer.k + b]
            work[layer.dx + i * layer.d + a] = total


class OwnBackward(fastbp.Dense):
    backward = plain_backward


@pytest.mark.parametrize("before", ["relu", "tanh"])
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_a_backward_kernel_of_a_user_s_makes_dx_alone(before, rate):
    """It knows nothing of gates: the layers before it make their own derivatives."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((100, 12)), np.ones((100, 2))
    found = []
    for kind in (fastbp.Dense, OwnBackward):
        between = [fastbp.Dropout(rate)] if rate else []
        layers = [fastbp.Dense(20, before), *between, kind(2)]
        model = fastbp.Sequential(layers, input_shape=(12,), seed=1, dtype="float64")
        model.compile("adam", "mean_squared_error")
        found.append(model.value_and_grad(x, y, training=True)[1])
    np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-15)


@kernel
def shifted_forward(layer, step, params, shared, work, start, stop, row0):
    """out = max(x @ kernel, 0) - 1: of the sign of an output the derivative cannot be read."""
    for i in range(start, stop):
        for b in range(layer.k):
            total = work.dtype.type(0)
            for a in range(layer.d):
                total += work[layer.x + i * layer.d + a] * params[layer.params + a * layer.k + b]
            work[layer.out + i * layer.k + b] = max(total, 0) - 1


class OwnForward(fastbp.Dense):
    forward = shifted_forward


def test_a_forward_kernel_of_a_user_s_is_no_rectifier_to_the_next_layer():
    model = fastbp.Sequential([OwnForward(5, "relu"), fastbp.Dense(2)], input_shape=(4,), seed=1)
    model.compile("adam", "mean_squared_error")
    table = Plan(model.engine.network, 64, 2, "float32", Purpose(training=True)).table
    assert [int(row["rectifies"]) for row in table] == [0, 0]
    assert table[0]["differentiate"]
    assert not table[1]["gates_dx"]
