"""Sums over many rows in float32: as exact as sums of sums are, where one chain of additions loses three digits.

All rows are the same, so that a chain would round each addition the same way, and the exact gradient of the mean loss
is that of one row, in float64.
"""

import numpy as np
import pytest

import fastbp
from fastbp import activations
from fastbp.engine import cut, limits
from fastbp.engine.network import Network
from fastbp.engine.plan import Plan
from fastbp.layers.recurrent.recurrentspec import MOST_STEPS

ROWS = 200_000
DENSE = [fastbp.Dense(3)]
NETWORKS = {
    "dense": (DENSE, (4,)),
    "one output": ([fastbp.Dense(1)], (4,)),
    "prelu": ([fastbp.PReLU("ones"), *DENSE], (4,)),
    "scaling": ([fastbp.Scaling(), *DENSE], (4,)),
    "parametric": ([fastbp.ParametricActivation("tanh"), *DENSE], (4,)),
    "layernorm": ([fastbp.Dense(4), fastbp.LayerNormalization(), *DENSE], (4,)),
    "rms": ([fastbp.Dense(4), fastbp.RMSNormalization(), *DENSE], (4,)),
    "periodic": ([fastbp.PeriodicEmbedding(4, 3), fastbp.Flatten(), *DENSE], (4,)),
    "members": ([fastbp.RepeatMembers(3), fastbp.MemberDense(2), fastbp.Flatten()], (4,)),
    "convolution": ([fastbp.Conv1D(3, 3), fastbp.Flatten(), *DENSE], (6, 2)),
    "depthwise": ([fastbp.DepthwiseConv2D(3), fastbp.Flatten(), *DENSE], (5, 5, 2)),
    "embedding": ([fastbp.Embedding(3, 4), fastbp.Flatten(), *DENSE], (2,)),
    "lazy embedding": ([fastbp.Embedding(3, 4, lazy=True), fastbp.Flatten(), *DENSE], (2,)),
    "categories": ([fastbp.CategoryEmbedding([3, 4], 2), *DENSE], (2,)),
    "gru": ([fastbp.GRU(3), *DENSE], (3, 2)),
}


def gradients(layers, shape, x, loss, dtype, params=None):
    """Return (loss, the gradient in float64), and the parameters, of targets that are -3."""
    model = fastbp.Sequential(layers, input_shape=shape, seed=0, dtype=dtype)
    model.compile("adam", loss)
    if params is not None:
        model.params[:] = params
    value, grads = model.value_and_grad(x, np.full((len(x), *model.output_shape), -3.0), training=True)
    return value, grads.astype(np.float64), model


# Of a whole batch these add a sum for each 16 sequences, or few images, one after the other: 2e-4 for so many rows.
IN_SLICES_ONLY = {"convolution", "depthwise", "gru"}


@pytest.mark.parametrize(
    ("name", "partial_bytes"),
    [
        *((name, limits.PARTIAL_BYTES) for name in NETWORKS),
        *((name, 0) for name in NETWORKS if name not in IN_SLICES_ONLY),
    ],
)
def test_gradients_of_many_equal_rows(name, partial_bytes, monkeypatch):
    monkeypatch.setattr(limits, "PARTIAL_BYTES", partial_bytes)
    layers, shape = NETWORKS[name]
    row = np.ones((1, *shape)) if "embedding" in name or name == "categories" else np.full((1, *shape), -0.7)
    many = gradients(layers, shape, np.repeat(row, ROWS, axis=0), "mean_squared_error", "float32")[1:]
    exact = gradients(layers, shape, row, "mean_squared_error", "float64", many[1].params)[1]
    for placed in many[1].engine.network.params:
        part = slice(placed.start, placed.stop)
        # One chain: 2e-4 to 2e-3.
        np.testing.assert_allclose(many[0][part], exact[part], rtol=0, atol=1.5e-5 * abs(exact[part]).max())


def test_batch_normalization_of_many_rows():
    """Two kinds of rows in turn: sums over 32 rows each, of which there are 6,250; and the moving statistics."""
    layers = [fastbp.BatchNormalization(), *DENSE]
    rows = np.array([[-1.0, 0.3, 2.0, 1.1], [0.5, 0.4, -1.0, 3.0]])
    _, many, model = gradients(layers, (4,), np.tile(rows, (ROWS // 2, 1)), "mean_squared_error", "float32")
    _, exact, small = gradients(layers, (4,), rows, "mean_squared_error", "float64", model.params)
    for placed in model.engine.network.params:
        part = slice(placed.start, placed.stop)
        np.testing.assert_allclose(many[part], exact[part], rtol=0, atol=2e-5 * abs(exact).max())
    for name in ("moving_mean", "moving_variance"):
        found, right = (m.views[f"batchnormalization/{name}"] for m in (model, small))
        np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("channels", [1, 40])
def test_batch_normalization_of_many_positions(channels):
    """Positions side by side are columns of one channel: all are added, too."""
    layers = [fastbp.BatchNormalization(), fastbp.Flatten(), fastbp.Dense(1, kernel_initializer="ones")]
    rows = np.linspace(-1, 2, 2 * channels)[:, None].reshape(2, 1, channels).repeat(256, axis=1)
    _, many, model = gradients(layers, (256, channels), np.tile(rows, (600, 1, 1)), "mean_squared_error", "float32")
    _, exact, _ = gradients(layers, (256, channels), rows, "mean_squared_error", "float64", model.params)
    np.testing.assert_allclose(many, exact, rtol=0, atol=1e-5 * abs(exact).max())


def test_mean_absolute_error_of_a_thousand_rows():
    """dout is 0.001 in float32 in every row: their sum is 1, to some last bits."""
    x = np.ones((1000, 1))
    _, grads, _ = gradients([fastbp.Dense(1, kernel_initializer="zeros")], (1,), x, "mean_absolute_error", "float32")
    np.testing.assert_allclose(grads, 1, rtol=0, atol=2e-6)


def test_mean_over_many_positions():
    x = np.full((3, 10_001, 2), 0.1, np.float32)
    model = fastbp.Sequential([fastbp.GlobalAveragePooling1D()], input_shape=(10_001, 2))
    np.testing.assert_allclose(model.predict(x), x[:, 0], rtol=2e-6)


@pytest.mark.parametrize("width", [3, 4, 100_001])
def test_softmax_sums(width):
    """Equal outputs have equal shares, and the gradient of their sum is zero."""
    softmax = activations.ACTIVATIONS.get("softmax")
    x, out = np.full(width, 0.3, np.float32), np.empty(width, np.float32)
    softmax.forward(out, x, width, 0.0)
    np.testing.assert_allclose(out, 1 / width, rtol=2e-7)
    d = np.full(width, 0.7, np.float32)
    softmax.backward(d, x, out, width, 0.0)
    assert abs(d).max() <= 2e-7 / width


def test_a_lazy_rows_gradient_adds_every_read():
    """Numbers of reads around those that are added apart."""
    layers, shape = [fastbp.Embedding(4, 2, lazy=True), fastbp.Flatten(), fastbp.Dense(1)], (1,)
    for n in (1, 2, 1023, 1024, 1025, 2049, 3000):
        x = np.minimum(np.arange(n + 5) // n, 3)[:, None]
        _, lazy, model = gradients(layers, shape, x, "mean_squared_error", "float64")
        dense = [fastbp.Embedding(4, 2), *layers[1:]]
        _, plain, _ = gradients(dense, shape, x, "mean_squared_error", "float64", model.params)
        np.testing.assert_allclose(lazy, plain, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("layer", "shape", "entries"),
    [
        (fastbp.Dropout(0.5), (1000,), 1000),
        (fastbp.GaussianNoise(0.1), (1000,), 1000),
        (fastbp.GRU(4, dropout=0.1), (5, 100), 504),
    ],
)
def test_a_batch_has_random_numbers_for_all_its_entries(layer, shape, entries):
    """rng.py counts 2**32 of them: beyond, the same mask would be drawn again."""
    network = Network([layer, fastbp.Dense(1)], shape) if len(shape) == 1 else Network([layer], shape)
    most = 2**32 // entries
    purpose = cut.Purpose(training=True)
    Plan(network, most, 1, np.float32, purpose)
    with pytest.raises(ValueError, match=f"{most} rows will do"):
        Plan(network, most + 1, 1, np.float32, purpose)
    Plan(network, most + 1, 1, np.float32, cut.Purpose(training=False))


def test_most_time_steps():
    """A pack's whole numbers, up to 16 for each step, stand in float32."""
    assert 16 * (MOST_STEPS + 1) <= 2**24
    fastbp.GRU(1).build((MOST_STEPS, 1))
    with pytest.raises(ValueError, match="time steps at most"):
        fastbp.GRU(1).build((MOST_STEPS + 1, 1))
