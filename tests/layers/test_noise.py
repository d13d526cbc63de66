"""Noise layers: moments, which entries are dropped, and that the same step draws the same numbers."""

import numpy as np
import pytest

import fastbp
from fastbp import AlphaDropout, Dense, GaussianNoise, SpatialDropout1D, SpatialDropout2D
from fastbp.engine.cut import Purpose
from fastbp.engine.driver_call import Data, make_steps
from fastbp.engine.network import Network
from fastbp.engine.runner import Runner
from tests.reference.rng import dropout_masks

LAYERS = [GaussianNoise(0.5), AlphaDropout(0.2), SpatialDropout1D(0.5), SpatialDropout2D(0.5)]
every_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
SHAPES = {"SpatialDropout1D": (50, 4), "SpatialDropout2D": (10, 5, 4)}


def shape_of(layer):
    return SHAPES.get(type(layer).__name__, (200,))


def drawn(layer, x, step=0, seed=0, **factors):
    """Return what a training step makes of x."""
    runner = Runner(Network([layer], x.shape[1:]), len(x), x.dtype, Purpose(training=True))
    steps = make_steps(seed, step, [0], len(x), training=True)
    for name, value in factors.items():
        steps[name] = value
    outputs, nothing = np.empty_like(x), np.zeros(0, x.dtype)
    runner.run(nothing, nothing, steps, Data(x, outputs=outputs))
    return outputs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_noise_is_normal(dtype):
    """Moments of 800,000 numbers within five of their own standard errors, and the shares beyond 1, 2, 3 and 4."""
    noise = drawn(GaussianNoise(2.0), np.full((4000, 200), 1.0, dtype)).astype(float).ravel()
    z, n = (noise - 1.0) / 2.0, noise.size
    moments = {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96), 6: (15, 10170)}
    for power, (mean, variance) in moments.items():
        assert abs((z**power).mean() - mean) < 5 * np.sqrt(variance / n), power
    for limit, share in {1: 0.3173105, 2: 0.0455003, 3: 0.0026998, 4: 6.3342e-05}.items():
        assert abs((np.abs(z) > limit).mean() - share) < 5 * np.sqrt(share / n), limit
    neighbours = (z[1:] * z[:-1]).mean()
    assert abs(neighbours) < 5 / np.sqrt(n)


def test_the_noise_is_the_reference_s():
    """In float64; with stddev 0 nothing is added."""
    x = np.zeros((7, 33))
    model = fastbp.Sequential([GaussianNoise(0.7)], input_shape=(33,), seed=5, dtype="float64")
    expected = dropout_masks(model, 7, step=3)[0]
    assert np.abs(drawn(GaussianNoise(0.7), x, step=3, seed=5) - expected).max() < 1e-12
    assert not drawn(GaussianNoise(0.0), x).any()


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.7])
def test_alpha_dropout_keeps_mean_and_variance(rate):
    x = np.random.default_rng(0).normal(size=(4000, 200))
    out = drawn(AlphaDropout(rate), x)
    assert abs(out.mean()) < 5 * np.sqrt(1 / x.size)
    assert abs(out.var() - 1) < 0.02
    low = np.unique(np.round(out, 9), return_counts=True)[1].max() / x.size
    assert low == pytest.approx(rate, abs=5 * np.sqrt(rate / x.size))


@pytest.mark.parametrize("layer", [SpatialDropout1D(0.4), SpatialDropout2D(0.4)], ids=["1D", "2D"])
def test_channels_are_dropped_whole(layer):
    x = np.random.default_rng(0).normal(size=(500, *shape_of(layer)))
    out = drawn(layer, x)
    kept = (out != 0).reshape(500, -1, 4)
    assert (kept.all(axis=1) | ~kept.any(axis=1)).all()
    assert (~kept[:, 0]).mean() == pytest.approx(0.4, abs=5 * np.sqrt(0.24 / 2000))
    # Rows and channels of their own: no two columns of the mask are the same.
    assert len({column.tobytes() for column in kept[:, 0].T}) == 4
    assert np.allclose(out[out != 0], x[out != 0] / 0.6)


@every_layer
def test_steps_seeds_and_layers_draw_numbers_of_their_own(layer):
    x = np.ones((20, *shape_of(layer)))
    first = drawn(layer, x)
    assert np.array_equal(first, drawn(layer, x))
    assert not np.array_equal(first, drawn(layer, x, step=1))
    assert not np.array_equal(first, drawn(layer, x, seed=1))
    if not isinstance(layer, GaussianNoise):
        assert np.allclose(drawn(layer, x, dropout=0.0), x)


@every_layer
def test_the_same_bits_however_the_batch_is_cut(layer, run_threads, small_work):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 200)), rng.normal(size=300)
    shape = shape_of(layer)
    found = []
    for threads in (1, 3):
        run_threads(threads)
        layers = [fastbp.Reshape(shape), layer, fastbp.Flatten(), Dense(1)]
        model = fastbp.Sequential(layers, input_shape=(200,), seed=0)
        model.compile("adam", "mean_squared_error")
        model.fit(x, y, epochs=2, batch_size=150, verbose=0)
        found.append(model.params.tobytes())
    assert run_threads.used
    assert found[0] == found[1]


@every_layer
def test_predictions_have_none(layer):
    x = np.random.default_rng(0).normal(size=(5, *shape_of(layer)))
    model = fastbp.Sequential([layer], input_shape=shape_of(layer), dtype="float64")
    assert np.array_equal(model.predict(x), x)
    assert np.array_equal(model.vjp(x, x), x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianNoise(-0.1), r"stddev=-0\.1"),
        (lambda: GaussianNoise(float("inf")), "stddev=inf"),
        (lambda: AlphaDropout(1.0), r"AlphaDropout\(rate=1\.0"),
        (lambda: SpatialDropout1D(-1), r"SpatialDropout1D\(rate=-1"),
        (lambda: SpatialDropout2D(float("nan")), "rate=nan"),
        (lambda: fastbp.Sequential([SpatialDropout1D(0.1)], input_shape=(3,)), r"\(n, t, c\)"),
        (lambda: fastbp.Sequential([SpatialDropout2D(0.1)], input_shape=(3, 4)), r"\(n, h, w, c\)"),
    ],
)
def test_wrong_settings_name_the_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()
