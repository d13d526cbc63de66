"""A layer of one's own: SwiGLU (Shazeer, 2020), out = (x @ A + a) * silu(x @ B + b), which fastbp does not have.

What one learns: a class holds the settings, four kernels the arithmetic (`fastbp.custom` explains the protocol), and it
trains in the same compiled call as fastbp's layers. Finite differences prove the derivatives; then networks of gated
and of ReLU units with as many weights meet on a problem of Friedman's.
"""

from dataclasses import dataclass

from sklearn.datasets import make_friedman1

import fastbp
from fastbp.custom import Build, Layer, Param, kernel, layer_dtype, matmul, product_address, register_layer, rows
from fastbp.kernels.vecmath import sigmoid

# A and B stand side by side, (d, 2k), so that one product makes both: z = x @ [A B] + [a b].
FIELDS = layer_dtype(("k", "i8"), ("bias", "param"), ("product", "i8"))


@kernel
def swiglu_forward(layer, step, params, shared, work, start, stop, row0):
    """x (n, d) -> z (n, 2k), kept for backward, and out (n, k)."""
    d, k = layer.n_in, layer.k
    weights, bias = rows(params, layer.params, 0, d, 2 * k), params[layer.bias : layer.bias + 2 * k]
    x, out = rows(work, layer.x, start, stop, d), rows(work, layer.out, start, stop, k)
    z = rows(work, layer.extra, start, stop, 2 * k)
    # z = x @ [A B] + [a b]
    for i in range(len(z)):
        for j in range(2 * k):
            z[i, j] = bias[j]
    matmul(layer.product, z, x, weights, True)
    # out = z_a * silu(z_b)
    for i in range(len(out)):
        for j in range(k):
            gate = z[i, k + j]
            out[i, j] = z[i, j] * gate * sigmoid(gate)


@kernel
def swiglu_backward(layer, step, params, shared, work, start, stop, row0):
    """dout (n, k), z (n, 2k) -> dz (n, 2k) in the place of z, and dx (n, d)."""
    d, k = layer.n_in, layer.k
    dout, z = rows(work, layer.dout, start, stop, k), rows(work, layer.extra, start, stop, 2 * k)
    one = dout.dtype.type(1)
    for i in range(len(dout)):
        for j in range(k):
            a, gate = z[i, j], z[i, k + j]
            s = sigmoid(gate)
            # dz_a = dout * silu(z_b); dz_b = dout * z_a * silu'(z_b)
            z[i, j] = dout[i, j] * gate * s
            z[i, k + j] = dout[i, j] * a * s * (one + gate * (one - s))
    # dx = dz @ [A B]^T
    if layer.dx >= 0:
        matmul(layer.product, rows(work, layer.dx, start, stop, d), z, rows(shared, layer.shared, 0, 2 * k, d), False)


@kernel
def swiglu_gradient(layer, params, grads, work, start, stop, block, first, end, accumulate):
    """x (n, d), dz (n, 2k) -> rows first to end of d[A B] (d, 2k), or entries first to end of d[a b] (2k,)."""
    d, k = layer.n_in, layer.k
    x, dz = rows(work, layer.x, start, stop, d), rows(work, layer.extra, start, stop, 2 * k)
    if block == 0:
        # d[A B] = x^T @ dz
        matmul(layer.product, rows(grads, layer.params, first, end, 2 * k), x[:, first:end].T, dz, accumulate)
        return
    # d[a b] = the sum over rows of dz
    dbias = grads[layer.bias + first : layer.bias + end]
    if not accumulate:
        dbias[:] = 0
    for row in dz:
        for j in range(len(dbias)):
            dbias[j] += row[first + j]


@kernel
def swiglu_prepare(layer, params, shared, first, end):
    """Write rows first to end of [A B] (d, 2k) into columns of the transpose (2k, d), which backward reads."""
    d, k = layer.n_in, layer.k
    weights, transposed = rows(params, layer.params, 0, d, 2 * k), rows(shared, layer.shared, 0, 2 * k, d)
    for j in range(2 * k):
        for i in range(first, end):
            transposed[j, i] = weights[i, j]


@register_layer
@dataclass
class SwiGLU(Layer):
    units: int
    name: str | None = None

    dtype = FIELDS
    forward, backward, gradient, prepare = swiglu_forward, swiglu_backward, swiglu_gradient, swiglu_prepare

    def build(self, input_shape):
        (d,), k = input_shape, self.units
        params = [Param("kernel", (d, 2 * k), "glorot_uniform"), Param("bias", (2 * k,), "zeros")]
        entries = 2 * d * k
        return Build((k,), params, fields={"k": k}, extra=2 * k, shared=entries, multiply_adds=entries)

    def fill(self, record, float_type):
        record["product"] = product_address(float_type)


def main():
    x, y = make_friedman1(2000, noise=1.0, random_state=0)
    y, deviation = (y - y.mean()) / y.std(), y.std()
    for name, hidden in (
        ("SwiGLU", [SwiGLU(42), SwiGLU(42)]),
        ("ReLU", [fastbp.Dense(64, "relu"), fastbp.Dense(64, "relu")]),
    ):
        model = fastbp.Sequential([*hidden, fastbp.Dense(1)], input_shape=(10,), seed=0)
        model.compile(fastbp.Adam(3e-3), "mean_squared_error")
        fastbp.check_gradients(model, x[:20], y[:20])
        model.fit(x[:1000], y[:1000], batch_size=32, epochs=60, verbose=0)
        error = model.evaluate(x[1000:], y[1000:]) * deviation**2
        print(f"{name}: {model.count_params()} weights, squared error {error:.2f} on 1,000 new rows (noise: 1)")
    print("Derivatives agree with finite differences.")


if __name__ == "__main__":
    main()
