"""BatchNormalization: out (n, ..., c) = gamma * (x - mean) / sqrt(variance + epsilon) + beta, for each channel.

In training the mean and the variance are those of the batch.  They have the same bits at any number of threads: every
slice adds up its own rows, then every slice combines the sums of all slices in their order.  So the layer has two
records:

    first record     forward: x -> the slice's means and squares       backward: dout, all sums -> dx
    second record    forward: all slices' means and squares, x -> out  backward: dout -> the slice's sums

E[x^2] - E[x]^2 would lose all digits of the variance where the mean is large.  So each block of 32 rows takes its mean
first, then the squares of the distances from it.  Blocks and slices are merged by the formula of Chan, Golub and
LeVeque (1979).

If there are few channels and several positions, a loop over the channels is too short for vectors.  Then some
neighbouring positions are taken as one *wide row*.  A channel has a column for each of them, and its columns are merged
as slices are.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.compiler.jit import inline, kernel
from fastbp.compiler.pointers import array_at, at, copy_entries, span
from fastbp.kernels.columnsums import clear_unless
from fastbp.layers.base import LAYERS, Layer, layer_dtype
from fastbp.layers.build import Build, Param
from fastbp.layers.normalization.moments import add_products, add_rows, add_squares, merge
from fastbp.layers.normalization.normalization import check_axis, gamma_and_beta, resolve_normalization
from fastbp.settings.validation import is_number

# Rows that are read twice, for their mean and their squares: 32 KiB of float32 at 256 columns.
BLOCK_ROWS = 32
# A wide row has at most so many columns: the arrays below, of one entry a column, then stay in the first-level cache.
MOST_COLUMNS = 256
# A loop over fewer channels is no vector code.
FEW_CHANNELS = 16
# Each slice has these arrays, of one entry for each column.
MEAN, SQUARES, SUM, DOT, CENTER, INVERSE, SCALE, SHIFT, FIRST, SECOND, SUM_LOST, DOT_LOST = range(12)
COLUMN_ARRAYS = 12

BATCHNORM = layer_dtype(
    ("channels", "i8"),
    ("columns", "i8"),  # columns of a wide row
    ("rows", "i8"),  # wide rows in a row of the batch
    ("gamma", "param"),
    ("beta", "param"),
    ("learns", "i8"),  # 0: frozen, always as at prediction
    ("momentum", "f8"),
    ("epsilon", "f8"),
)


@inline
def place(layer, piece, which):
    """Return the offset in work of one of the arrays, one entry a column, of slice number `piece`."""
    return layer.slice_work + piece * layer.slice_stride + which * layer.columns


@kernel
def batchnorm_sum_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, c) -> the slice's means and sums of squared distances from them."""
    if not step.training:
        return
    w, piece = layer.columns, start // layer.slice_rows
    mean, squares = span(work, place(layer, piece, MEAN), w), span(work, place(layer, piece, SQUARES), w)
    block_mean, block_squares = span(work, place(layer, piece, FIRST), w), span(work, place(layer, piece, SECOND), w)
    first, stop = start * layer.rows, stop * layer.rows
    count = first - piece * layer.slice_rows * layer.rows
    for block in range(first, stop, BLOCK_ROWS):
        n = min(BLOCK_ROWS, stop - block)
        add_rows(block_mean, work, layer.x + block * w, n)
        over = work.dtype.type(1 / n)
        for j in range(w):
            block_mean[j] *= over
        add_squares(block_squares, block_mean, work, layer.x + block * w, n)
        merge(mean, squares, count, block_mean, block_squares, n)
        count += n


@inline
def slice_count(layer, step, piece):
    """Return the wide rows of slice number `piece`."""
    return (min((piece + 1) * layer.slice_rows, step.rows) - piece * layer.slice_rows) * layer.rows


@inline
def batch_moments(layer, step, work, center, variance):
    """Write the batch's means and variances, (c,), from all slices' sums."""
    c, w, count = layer.channels, layer.columns, 0
    n_slices = (step.rows + layer.slice_rows - 1) // layer.slice_rows
    for piece in range(n_slices):
        mean, squares = span(work, place(layer, piece, MEAN), w), span(work, place(layer, piece, SQUARES), w)
        n = slice_count(layer, step, piece)
        for first in range(0, w, c):
            merge(center, variance, count, span(mean, first, c), span(squares, first, c), n)
            count += n
    over = work.dtype.type(1 / count)
    for j in range(c):
        variance[j] *= over


@inline
def move_statistics(layer, buffers, center, variance):
    """moving = moving * momentum + batch's * (1 - momentum), for means and variances (c,)."""
    c = layer.channels
    keep, take = buffers.dtype.type(layer.momentum), buffers.dtype.type(1 - layer.momentum)
    for j in range(c):
        buffers[j] = buffers[j] * keep + center[j] * take
        buffers[c + j] = buffers[c + j] * keep + variance[j] * take


@inline
def repeat_channels(layer, array):
    """Repeat the first c entries for the other positions of a wide row."""
    for j in range(layer.channels, layer.columns):
        array[j] = array[j - layer.channels]


@inline
def find_factors(layer, step, params, work, piece):
    """Write the slice's CENTER, INVERSE (1 / sqrt(variance + epsilon)), SCALE and SHIFT; slice 0 also moves the
    statistics."""
    c, w = layer.channels, layer.columns
    center, inverse = span(work, place(layer, piece, CENTER), w), span(work, place(layer, piece, INVERSE), w)
    scale, shift = span(work, place(layer, piece, SCALE), w), span(work, place(layer, piece, SHIFT), w)
    buffers = span(array_at(step.buffers, 1, work), layer.buffers, 2 * c)
    if step.training and layer.learns:
        batch_moments(layer, step, work, span(center, 0, c), span(inverse, 0, c))
        if piece == 0:
            move_statistics(layer, buffers, center, inverse)
    else:
        for j in range(c):
            center[j] = buffers[j]
            inverse[j] = buffers[c + j]
    one, epsilon = work.dtype.type(1), work.dtype.type(layer.epsilon)
    for j in range(c):
        scale[j] = inverse[j] = one / np.sqrt(inverse[j] + epsilon)
    if layer.gamma >= 0:
        gamma = span(params, layer.gamma, c)
        for j in range(c):
            scale[j] *= gamma[j]
    shift[:] = 0
    if layer.beta >= 0:
        copy_entries(at(shift, 0), at(params, layer.beta), c)
    for array in (center, inverse, scale, shift):
        repeat_channels(layer, array)


@kernel
def batchnorm_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, c), all slices' sums or the moving statistics -> out (n, c)."""
    w, piece = layer.columns, start // layer.slice_rows
    if start % layer.slice_rows == 0:
        find_factors(layer, step, params, work, piece)
    center, scale = span(work, place(layer, piece, CENTER), w), span(work, place(layer, piece, SCALE), w)
    shift = span(work, place(layer, piece, SHIFT), w)
    for row in range(start * layer.rows, stop * layer.rows):
        x, out = span(work, layer.x + row * w, w), span(work, layer.out + row * w, w)
        # out = gamma * (x - mean) / sqrt(variance + epsilon) + beta
        for j in range(w):
            out[j] = (x[j] - center[j]) * scale[j] + shift[j]


@kernel
def batchnorm_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, c), x (n, c) -> the slice's sums of dout and dout * xhat; with moving statistics also dx (n, c)."""
    w, piece = layer.columns, start // layer.slice_rows
    if layer.learns:
        add_gradients(layer, work, start, stop, piece)
    if layer.dx >= 0 and not (step.training and layer.learns):
        scale = span(work, place(layer, piece, SCALE), w)
        for row in range(start * layer.rows, stop * layer.rows):
            dout, dx = span(work, layer.dout + row * w, w), span(work, layer.dx + row * w, w)
            # dx = dout * gamma / sqrt(variance + epsilon)
            for j in range(w):
                dx[j] = dout[j] * scale[j]


@inline
def add_gradients(layer, work, start, stop, piece):
    """SUM += dout, DOT += dout * xhat, summed over rows start to stop; the slice's first rows overwrite them."""
    w = layer.columns
    total, dot = span(work, place(layer, piece, SUM), w), span(work, place(layer, piece, DOT), w)
    block_total, block_dot = span(work, place(layer, piece, FIRST), w), span(work, place(layer, piece, SECOND), w)
    total_lost, dot_lost = span(work, place(layer, piece, SUM_LOST), w), span(work, place(layer, piece, DOT_LOST), w)
    center, inverse = span(work, place(layer, piece, CENTER), w), span(work, place(layer, piece, INVERSE), w)
    if start % layer.slice_rows == 0:
        total[:] = 0
        dot[:] = 0
        total_lost[:] = 0
        dot_lost[:] = 0
    first, stop = start * layer.rows, stop * layer.rows
    for block in range(first, stop, BLOCK_ROWS):
        n = min(BLOCK_ROWS, stop - block)
        add_rows(block_total, work, layer.dout + block * w, n)
        add_products(block_dot, center, work, layer.dout + block * w, layer.x + block * w, n)
        for j in range(w):
            block_dot[j] *= inverse[j]
        add_kept(total, total_lost, block_total)
        add_kept(dot, dot_lost, block_dot)


@inline
def add_kept(total, lost, add):
    """total (w,) += add (w,), for thousands of blocks: `lost` holds by how much the sum is too large (Kahan, 1965)."""
    for j in range(total.size):
        rest = add[j] - lost[j]
        after = total[j] + rest
        lost[j] = (after - total[j]) - rest
        total[j] = after


@inline
def add_columns(layer, work, n_slices, which, first, sums):
    """sums (m,) += the slices' arrays `which`, of channels first to first + m, in the slices' order."""
    w = layer.columns
    if layer.channels < FEW_CHANNELS:
        # Positions beside each other make up to 4,096 columns of one channel.
        for j in range(sums.size):
            total = 0.0
            for piece in range(n_slices):
                columns = span(work, place(layer, piece, which), w)
                for start in range(first, w, layer.channels):
                    total += np.float64(columns[start + j])
            sums[j] += sums.dtype.type(total)
        return
    for piece in range(n_slices):
        columns = span(work, place(layer, piece, which), w)
        for start in range(first, w, layer.channels):
            for j in range(sums.size):
                sums[j] += columns[start + j]


@kernel
def batchnorm_finish_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, c), x (n, c), all slices' sums -> dx (n, c)."""
    if layer.dx < 0 or not step.training:
        return
    w, c, piece = layer.columns, layer.channels, start // layer.slice_rows
    center, scale = span(work, place(layer, piece, CENTER), w), span(work, place(layer, piece, SCALE), w)
    mean, slope = span(work, place(layer, piece, FIRST), w), span(work, place(layer, piece, SECOND), w)
    if start % layer.slice_rows == 0:
        # mean(dout), and mean(dout * xhat) / sqrt(variance + epsilon), which multiplies x - mean
        n_slices = (step.rows + layer.slice_rows - 1) // layer.slice_rows
        inverse = span(work, place(layer, piece, INVERSE), w)
        mean[:] = 0
        slope[:] = 0
        add_columns(layer, work, n_slices, SUM, 0, span(mean, 0, c))
        add_columns(layer, work, n_slices, DOT, 0, span(slope, 0, c))
        over = work.dtype.type(1 / (step.rows * layer.rows * (w // c)))
        for j in range(c):
            mean[j] *= over
            slope[j] *= over * inverse[j]
        repeat_channels(layer, mean)
        repeat_channels(layer, slope)
    for row in range(start * layer.rows, stop * layer.rows):
        dout, x = span(work, layer.dout + row * w, w), span(work, layer.x + row * w, w)
        dx = span(work, layer.dx + row * w, w)
        # dx = gamma / sqrt(variance + epsilon) * (dout - mean(dout) - xhat * mean(dout * xhat))
        for j in range(w):
            dx[j] = scale[j] * (dout[j] - mean[j] - (x[j] - center[j]) * slope[j])


@kernel
def batchnorm_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """All slices' sums -> channels first to end of dgamma (c,) = sum(dout * xhat) or dbeta (c,) = sum(dout)."""
    is_gamma = block == 0 and layer.gamma >= 0
    sums = span(grads, (layer.gamma if is_gamma else layer.beta) + first, end - first)
    clear_unless(accumulate, sums)
    n_slices = (stop + layer.slice_rows - 1) // layer.slice_rows
    add_columns(layer, work, n_slices, DOT if is_gamma else SUM, first, sums)


@LAYERS.register("BatchNormalization")
@dataclass
class BatchNormalization(Layer):
    """Batch normalisation (Ioffe and Szegedy, 2015): each channel to mean 0 and variance 1, then ``* gamma + beta``.

    In training, mean and variance are those of the batch, over all axes but the last; at prediction, and with
    ``training=False``, they are running means of what training saw:
    ``moving = moving * momentum + batch * (1 - momentum)``.

    Parameters
    ----------
    axis : int, default -1
        The channels' axis: the last one.
    momentum : float, default 0.99
        Of the moving statistics, from 0 to 1.
    epsilon : float, default 0.001
        Added to the variance.
    center, scale : bool, default True
        Whether there is a beta, and a gamma.
    beta_initializer, gamma_initializer : str or initializer object
        Defaults ``"zeros"`` and ``"ones"``.
    moving_mean_initializer, moving_variance_initializer : str or initializer object
        Defaults ``"zeros"`` and ``"ones"``.
    beta_regularizer, gamma_regularizer : str or regularizer object, optional
    beta_constraint, gamma_constraint : MaxNorm, optional
        Bounds the norm of the whole vector.
    trainable : bool, default True
        False keeps gamma, beta and the moving statistics as they are, and applies these in training too.
    name : str, optional
        Default ``"batchnormalization"``, ``"batchnormalization_1"`` and so on.

    Raises
    ------
    ValueError
        Where `momentum` or `epsilon` is out of range, or (at building) the axis is not the last one.

    Notes
    -----
    Inputs and outputs ``(n, c)``, ``(n, t, c)`` or ``(n, h, w, c)``; gamma, beta, moving mean and moving variance
    ``(c,)``, in this order in `get_weights`. The moving variance is that of biased batch variances, as in Keras.
    `value_and_grad` and `vjp` with ``training=True`` move the statistics, as a step does.

    Training holds the activations of the whole batch, however large it is.

    Examples
    --------
    >>> import fastbp
    >>> layers = [fastbp.Dense(3, use_bias=False), fastbp.BatchNormalization(), fastbp.Activation("relu")]
    >>> model = fastbp.Sequential(layers, input_shape=(2,))
    >>> model.views["batchnormalization/moving_variance"].tolist()
    [1.0, 1.0, 1.0]
    """

    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 0.001
    center: bool = True
    scale: bool = True
    beta_initializer: Any = "zeros"
    gamma_initializer: Any = "ones"
    moving_mean_initializer: Any = "zeros"
    moving_variance_initializer: Any = "ones"
    beta_regularizer: Any = None
    gamma_regularizer: Any = None
    beta_constraint: Any = None
    gamma_constraint: Any = None
    trainable: bool = True
    name: str | None = None

    dtype = BATCHNORM
    keras_neutral = {"renorm": False, "synchronized": False}
    keras_mask = (
        "would leave masked time steps out of its statistics, fastbp's takes all (frozen, it takes none, and converts)"
    )
    forward, backward, gradient = batchnorm_forward, batchnorm_backward, batchnorm_gradient
    sum_forward, finish_backward = batchnorm_sum_forward, batchnorm_finish_backward

    def __post_init__(self):
        resolve_normalization(self)
        if not is_number(self.momentum) or not 0 <= self.momentum <= 1:
            raise ValueError(f"BatchNormalization(momentum={self.momentum!r}): it is a number from 0 to 1.")
        self.momentum = float(self.momentum)

    def build(self, input_shape: tuple[int, ...]) -> Build:
        check_axis(self, input_shape)
        *positions, c = input_shape
        together = _positions_together(math.prod(positions), c)
        moving = {"moving_mean": self.moving_mean_initializer, "moving_variance": self.moving_variance_initializer}
        return Build(
            output_shape=input_shape,
            params=gamma_and_beta(self, (c,)),
            buffers=[Param(name, (c,), initializer) for name, initializer in moving.items()],
            fields={"channels": c, "columns": together * c, "rows": math.prod(positions) // together},
            slice_work=COLUMN_ARRAYS * together * c,
            whole_batch=self.trainable,
        )

    def fill(self, record: Any, float_type: np.dtype) -> Any:
        record["learns"] = self.trainable


def _positions_together(positions, channels):
    """Return how many positions make a wide row: the largest divisor of their number that MOST_COLUMNS allows."""
    return max(k for k in range(1, positions + 1) if positions % k == 0 and (k == 1 or k * channels <= MOST_COLUMNS))
