"""Sums, means and squared distances of the columns of a block of rows, and how those of two blocks are merged."""

from fastbp.compiler.jit import inline
from fastbp.compiler.pointers import span


@inline
def add_rows(total, work, x, n):
    """total (w,) = the sum of the n rows of x (n, w): four rows at a time, so that total is stored less often."""
    w = total.size
    total[:] = 0
    for row in range(0, n - 3, 4):
        x_0, x_1 = span(work, x + row * w, w), span(work, x + (row + 1) * w, w)
        x_2, x_3 = span(work, x + (row + 2) * w, w), span(work, x + (row + 3) * w, w)
        for j in range(w):
            total[j] += (x_0[j] + x_1[j]) + (x_2[j] + x_3[j])
    for row in range(n // 4 * 4, n):
        x_0 = span(work, x + row * w, w)
        for j in range(w):
            total[j] += x_0[j]


@inline
def add_squares(total, mean, work, x, n):
    """total (w,) = the sum of (x - mean)^2 over the n rows of x (n, w)."""
    w = total.size
    total[:] = 0
    for row in range(0, n - 3, 4):
        x_0, x_1 = span(work, x + row * w, w), span(work, x + (row + 1) * w, w)
        x_2, x_3 = span(work, x + (row + 2) * w, w), span(work, x + (row + 3) * w, w)
        for j in range(w):
            a, b, c, d = x_0[j] - mean[j], x_1[j] - mean[j], x_2[j] - mean[j], x_3[j] - mean[j]
            total[j] += (a * a + b * b) + (c * c + d * d)
    for row in range(n // 4 * 4, n):
        x_0 = span(work, x + row * w, w)
        for j in range(w):
            a = x_0[j] - mean[j]
            total[j] += a * a


@inline
def add_products(total, center, work, dout, x, n):
    """total (w,) = the sum of dout * (x - center) over n rows, two at a time: LLVM makes no vector code of four."""
    w = total.size
    total[:] = 0
    for row in range(0, n - 1, 2):
        d_0, d_1 = span(work, dout + row * w, w), span(work, dout + (row + 1) * w, w)
        x_0, x_1 = span(work, x + row * w, w), span(work, x + (row + 1) * w, w)
        for j in range(w):
            total[j] += d_0[j] * (x_0[j] - center[j]) + d_1[j] * (x_1[j] - center[j])
    for row in range(n // 2 * 2, n):
        d_0, x_0 = span(work, dout + row * w, w), span(work, x + row * w, w)
        for j in range(w):
            total[j] += d_0[j] * (x_0[j] - center[j])


@inline
def merge(mean, squares, count, other_mean, other_squares, n):
    """Merge the means and sums of squared distances of `n` other entries into those of `count` entries."""
    if count == 0:
        for j in range(mean.size):
            mean[j] = other_mean[j]
            squares[j] = other_squares[j]
        return
    share, factor = mean.dtype.type(n / (count + n)), mean.dtype.type(count * (n / (count + n)))
    # squares += other_squares + (other_mean - mean)^2 * count * n / (count + n)
    for j in range(mean.size):
        distance = other_mean[j] - mean[j]
        squares[j] += other_squares[j] + distance * distance * factor
        mean[j] += distance * share
