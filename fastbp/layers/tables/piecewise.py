"""PiecewiseLinearEmbedding: each number becomes several piecewise linear functions of itself, with given knots."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.intrinsics import like, select
from fastbp.compiler.jit import call, inline, kernel
from fastbp.compiler.pointers import array_at, at, copy_entries, int64_at, null, span, unit
from fastbp.initializers import RandomUniform, Zeros
from fastbp.kernels.tile import product_address
from fastbp.layers.base import LAYERS, Layer, check_factors, layer_dtype, whole_number
from fastbp.layers.build import Build, Param

# float32 holds the number of a bin exactly up to this one.
MOST_EDGES = 2**24
PIECEWISE = layer_dtype(
    ("features", "i8"),  # d
    ("units", "i8"),  # outputs of each feature, k
    ("bins", "i8"),  # of all features together, t
    ("tables", "i8"),  # address of low edge, 1 / width, smallest and largest share (4, t)
    ("starts", "i8"),  # address of each feature's first bin, and t
    ("slope", "param"),
    ("bias", "param"),
    ("product", "i8"),  # address
)


@inline
def shares(x, low, over, least, most):
    """Return which share of a bin lies below x, limited to the range from least to most; NaN stays NaN."""
    share = (x - low) * over
    share = select(share < least, least, share)
    return select(share > most, most, share)


@kernel
def piecewise_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, d), kernel (t, k), slope, bias (d, k) -> out (n, d, k); the shares (n, t) are kept for backward."""
    if layer.backward:
        add_shares(layer, params, work, start, stop)
    else:
        look_up(layer, shared, work, start, stop)


@inline
def add_shares(layer, params, work, start, stop):
    """out = x * slope + bias + shares @ kernel."""
    d, k, t = layer.features, layer.units, layer.bins
    tables = array_at(layer.tables, 4 * t, work)
    low, over, least, most = span(tables, 0, t), span(tables, t, t), span(tables, 2 * t, t), span(tables, 3 * t, t)
    slope, bias = span(params, layer.slope, d * k), span(params, layer.bias, d * k)
    for row in range(start, stop):
        x, out = span(work, layer.x + row * d, d), span(work, layer.out + row * d * k, d * k)
        share = span(work, layer.extra + row * t, t)
        for i in range(d):
            # out[i] = x[i] * slope[i] + bias[i]
            for j in range(np.uint64(i * k), np.uint64(i * k + k)):
                out[j] = x[i] * slope[j] + bias[j]
            for b in range(np.uint64(int64_at(layer.starts, i)), np.uint64(int64_at(layer.starts, i + 1))):
                share[b] = x[i]
        for b in range(t):
            share[b] = shares(share[b], low[b], over[b], least[b], most[b])
    for i in range(d):
        # out[i] += share[its bins] @ kernel[its bins]
        first, end = int64_at(layer.starts, i), int64_at(layer.starts, i + 1)
        out, share = at(work, layer.out + (start * d + i) * k), at(work, layer.extra + start * t + first)
        weight = at(params, layer.params + first * k)
        call(layer.product, (out, d * k, out, d * k, share, t, 1, weight, k, stop - start, k, end - first))


@inline
def look_up(layer, shared, work, start, stop):
    """out = base + (x - low) * gain, by x's bin: 8 ns a feature where `add_shares` takes 25 (32 bins, 8 units)."""
    d, k, t = layer.features, layer.units, layer.bins
    n, low = stop - start, array_at(layer.tables, t, work)
    column, place = span(work, layer.extra + start * t, n), span(work, layer.extra + start * t + n, n)
    for i in range(d):
        first, end = int64_at(layer.starts, i), int64_at(layer.starts, i + 1)
        find_bins(column, place, at(work, layer.x + start * d + i), d, low, first, end)
        for row in range(n):
            b = np.int64(place[row])
            above, out = column[row] - low[b], span(work, layer.out + ((start + row) * d + i) * k, k)
            base, gain = span(shared, layer.shared + b * k, k), span(shared, layer.shared + (t + b) * k, k)
            for j in range(k):
                out[j] = base[j] + above * gain[j]


@inline
def find_bins(column, place, x, stride, low, first, end):
    """column (n,) = x; place (n,) = the bin of each x, among first to end.

    The edges below x are counted, because a CPU can only guess the branches of a binary search.
    """
    for row in range(column.size):
        column[row] = x[row * stride]
        place[row] = first
    for b in range(first + 1, end):
        edge = low[b]
        for row in range(column.size):
            place[row] += select(column[row] >= edge, like(edge, 1), like(edge, 0))


@kernel
def piecewise_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, d, k), kernel (t, k), slope (d, k) -> dx (n, d)."""
    if layer.dx < 0:  # not `only_dx`: `forward` keeps the shares where there is a backward pass
        return
    d, k, t = layer.features, layer.units, layer.bins
    tables = array_at(layer.tables, 4 * t, work)
    weight, slope = span(params, layer.params, t * k), span(params, layer.slope, d * k)
    for row in range(start, stop):
        dout, dx = span(work, layer.dout + row * d * k, d * k), span(work, layer.dx + row * d, d)
        share = span(work, layer.extra + row * t, t)
        for i in range(d):
            # dx = slope @ dout + kernel @ dout / width, the latter of each bin whose share grows with x
            total = dot(slope, i * k, dout, i * k, k)
            for b in range(int64_at(layer.starts, i), int64_at(layer.starts, i + 1)):
                if share[b] > tables[2 * t + b] and share[b] < tables[3 * t + b]:
                    total += dot(weight, b * k, dout, i * k, k) * tables[t + b]
            dx[i] = total


@inline
def dot(a, a_start, b, b_start, size):
    """The sum of a[a_start:] * b[b_start:] over `size` entries."""
    total = a.dtype.type(0)
    for j in range(size):
        total += a[a_start + j] * b[b_start + j]
    return total


@kernel
def piecewise_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """x (n, d), shares (n, t), dout (n, d, k) -> rows first to end of dkernel (t, k), dslope or dbias (d, k)."""
    d, k, t, n = layer.features, layer.units, layer.bins, stop - start
    if block == 0:
        for i in range(d):
            # dkernel[its bins] = share[its bins]^T @ dout[i]
            low, high = max(int64_at(layer.starts, i), first), min(int64_at(layer.starts, i + 1), end)
            if low < high:
                dkernel, share = at(grads, layer.params + low * k), at(work, layer.extra + start * t + low)
                init, dout = dkernel if accumulate else null(grads), at(work, layer.dout + (start * d + i) * k)
                call(layer.product, (dkernel, k, init, k, share, 1, t, dout, d * k, high - low, k, n))
    elif block == 1:
        for i in range(first, end):
            # dslope[i] = x[i]^T @ dout[i]
            dslope, dout = at(grads, layer.slope + i * k), at(work, layer.dout + (start * d + i) * k)
            init, x = dslope if accumulate else null(grads), at(work, layer.x + start * d + i)
            call(layer.product, (dslope, k, init, k, x, 0, d, dout, d * k, 1, k, n))
    else:
        # dbias = ones^T @ dout
        dbias, dout = at(grads, layer.bias + first * k), at(work, layer.dout + (start * d + first) * k)
        init = dbias if accumulate else null(grads)
        call(layer.product, (dbias, k, init, k, unit(grads), 0, 0, dout, d * k, 1, (end - first) * k, n))


@kernel
def piecewise_tabulate(layer, params, shared, first, end):
    """Write the outputs at each bin's low edge (t, k), and how fast they grow from there (t, k)."""
    d, k, t = layer.features, layer.units, layer.bins
    tables = array_at(layer.tables, 2 * t, params)
    for i in range(d):
        slope, total = span(params, layer.slope + i * k, k), span(shared, layer.shared + 2 * t * k, k)
        copy_entries(at(shared, layer.shared + 2 * t * k), at(params, layer.bias + i * k), k)
        for b in range(int64_at(layer.starts, i), int64_at(layer.starts, i + 1)):
            low, over, weight = tables[b], tables[t + b], span(params, layer.params + b * k, k)
            base, gain = span(shared, layer.shared + b * k, k), span(shared, layer.shared + (t + b) * k, k)
            for j in range(k):
                base[j] = total[j] + low * slope[j]
                gain[j] = slope[j] + over * weight[j]
                total[j] += weight[j]  # the share of a bin below is 1


@LAYERS.register("PiecewiseLinearEmbedding")
@dataclass
class PiecewiseLinearEmbedding(Layer):
    """Numbers as piecewise linear functions of themselves, with given knots (Gorishniy et al., 2022).

    Feature i has edges ``b_0 < b_1 < ... < b_t``. The share of bin j that lies below x is
    ``share_j = (x - b_{j-1}) / (b_j - b_{j-1})``, limited to 0 and 1; the first bin has no lower limit, the last one no
    upper limit. The output is ``out[i] = x * slope[i] + bias[i] + share @ kernel[bins of i]``. TabM's authors call this
    form "B" (Gorishniy et al., 2025). The kernel starts as zero, so the layer starts as a linear map.

    Parameters
    ----------
    bins : list of lists of float
        The edges of each feature, at least two, increasing; such as quantiles of the training data.
    embedding_dim : int, default 16
        Outputs of each feature, ``k``; slope and bias start uniform in ``+-1 / sqrt(k)``.
    learning_rate_factor : float, default 1.0
        The layer's own factor on the learning rate (and so on the decoupled weight decay).
    decay_factor : float, default 1.0
        The layer's own factor on the optimizer's decoupled weight decay; 0 spares it.
    trainable : bool, default True
    name : str, optional
        Default ``"piecewiselinearembedding"``, ``"piecewiselinearembedding_1"`` and so on.

    Raises
    ------
    ValueError
        Where edges are fewer than two, not finite or do not increase, `embedding_dim` is below 1, or (at building)
        the input does not have as many features as there are lists.

    Notes
    -----
    Inputs ``(n, d)``, kernel ``(bins of all features, k)``, slope and bias ``(d, k)``, outputs ``(n, d, k)``.

    Examples
    --------
    >>> import fastbp
    >>> embedding = fastbp.PiecewiseLinearEmbedding([[0.0, 1.0, 4.0], [-1.0, 1.0]], embedding_dim=8)
    >>> model = fastbp.Sequential([embedding, fastbp.Flatten(), fastbp.Dense(1)], input_shape=(2,))
    >>> model.views["piecewiselinearembedding/kernel"].shape
    (3, 8)
    """

    bins: Any
    embedding_dim: int = 16
    learning_rate_factor: float = 1.0
    decay_factor: float = 1.0
    trainable: bool = True
    name: str | None = None

    dtype = PIECEWISE
    forward, backward, gradient = piecewise_forward, piecewise_backward, piecewise_gradient
    tabulate = piecewise_tabulate

    def __post_init__(self):
        try:
            self.bins = tuple(tuple(np.asarray(edges, np.float64).tolist()) for edges in self.bins)
        except (TypeError, ValueError):
            raise ValueError(
                f"PiecewiseLinearEmbedding(bins={self.bins!r}): they are a list of edges for each column."
            ) from None
        for i, edges in enumerate(self.bins):
            if len(edges) < 2 or not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
                shown = f"{list(edges[:4])}{'...' if len(edges) > 4 else ''}"
                raise ValueError(
                    f"PiecewiseLinearEmbedding: bins[{i}] is {shown}: edges are finite, increasing, and at least two."
                )
        if sum(map(len, self.bins)) > MOST_EDGES:
            raise ValueError(f"PiecewiseLinearEmbedding: bins have more than {MOST_EDGES} edges.")
        self.embedding_dim = whole_number(self, "embedding_dim")
        check_factors(self)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        d, k, t = len(self.bins), self.embedding_dim, sum(len(edges) - 1 for edges in self.bins)
        if input_shape != (d,):
            raise ValueError(
                f"PiecewiseLinearEmbedding has bins of {d} features; it got inputs of shape {input_shape}."
            )
        starts = np.cumsum([0, *(len(edges) - 1 for edges in self.bins)])
        start = RandomUniform(-1 / math.sqrt(k), 1 / math.sqrt(k))
        factors: dict[str, Any] = {"learning_rate_factor": self.learning_rate_factor, "decay_factor": self.decay_factor}
        return Build(
            output_shape=(d, k),
            params=[
                Param("kernel", (t, k), Zeros(), **factors),
                Param("slope", (d, k), start, **factors),
                Param("bias", (d, k), start, **factors),
            ],
            fields={"features": d, "units": k, "bins": t},
            arrays={"tables": self.tables(np.float64), "starts": starts},
            extra=max(t, 2),
            shared=(2 * t + 1) * k,
            multiply_adds=t * k + d * k,
        )

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        record["product"] = product_address(float_type)

    def tables(self, dtype: Any) -> np.ndarray:
        """Return the low edge, 1 / width, and the smallest and the largest share of every bin (4, t)."""
        columns = []
        for edges in self.bins:
            least, most = np.zeros(len(edges) - 1), np.ones(len(edges) - 1)
            least[0], most[-1] = -np.inf, np.inf
            columns.append([edges[:-1], 1 / np.diff(edges), least, most])
        return np.ascontiguousarray(np.hstack(columns), dtype)
