"""Gates of products: the bits of ReLU's formulas in NumPy, of the product without a gate; nothing else changes."""

from dataclasses import dataclass

import numba
import numpy as np
import pytest

import fastbp
from fastbp.activations import ACTIVATIONS
from fastbp.compiler.intrinsics import like, select
from fastbp.compiler.jit import call
from fastbp.compiler.pointers import at, null
from fastbp.custom import Activation, backward, forward
from fastbp.engine import limits
from fastbp.engine.cut import Purpose
from fastbp.engine.plan import Plan
from fastbp.kernels.panels import pack
from fastbp.kernels.tile import DEPTH, SECTION, gated_product_address, product_address
from fastbp.layers.base import float_type_of

NO_GATE, OUT, MATRIX = 0, 1, 2
PAD, SENTINEL = 3, -777.0
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@numba.njit
def run(address, gated, out, stride, init, init_stride, a, a_row, a_col, b, b_stride, m, n, k, gate, kind):
    """Call one of the products; `kind` of gate: none, `out` itself, or the matrix `gate`."""
    if kind == OUT:
        by = at(out, 0)
    elif kind == MATRIX:
        by = at(gate, 0)
    else:
        by = null(out)
    start = null(out) if init_stride < 0 else at(init, 0)
    arguments = (at(out, 0), stride, start, init_stride, at(a, 0), a_row, a_col, at(b, 0), b_stride, m, n, k)
    if gated:
        call(address, (*arguments, by, 0))
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
        assert same_bits(self.product(MATRIX), slope(self.plain, self.gate[:, :n])), self.sizes


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


def test_which_layers_have_their_derivative_made_by_the_next_one():
    plan = Plan(network("relu", "float32").engine.network, 64, 2, "float32", Purpose(training=True))
    dense = [row for row in plan.table if "gates_dx" in row.dtype.names]
    assert [bool(row["gates_dx"]) for row in dense] == [False, True, False, False, False, False, True, True]
    apart = [row["rectifies"] and not row["differentiate"] for row in dense]
    assert [bool(value) for value in apart] == [True, False, False, False, False, True, True, False]
