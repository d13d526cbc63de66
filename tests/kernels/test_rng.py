"""Random numbers: the reference's bits, uniform shuffles, dropout's keep rate, scaling and independence."""

import numba
import numpy as np
import pytest
from scipy.stats import chi2, chisquare

import fastbp
from fastbp.engine.cut import Purpose
from fastbp.engine.driver_call import Data, make_steps
from fastbp.engine.network import Network
from fastbp.engine.runner import Runner
from fastbp.kernels.rng import random_bits as inline_random_bits
from fastbp.kernels.rng import shuffle
from fastbp.kernels.rng import stream_key as inline_stream_key
from tests.reference import rng as reference


@numba.njit
def stream_key(seed, step, stream):
    return inline_stream_key(seed, step, stream)


@numba.njit
def random_bits(low, high, element):
    return inline_random_bits(low, high, element)


def shuffled(n, seed, epoch):
    order = np.full(n, -1)
    shuffle(order, seed, epoch)
    return order


@pytest.mark.parametrize(("seed", "step", "stream"), [(0, 0, 0), (1, 2, 3), (2**63 - 1, 10**12, 7), (5, 0, -1)])
def test_bits_are_the_reference_s(seed, step, stream):
    low, high = stream_key(seed, step, stream)
    assert (low, high) == reference.stream_key(seed, step, stream)
    elements = np.array([0, 1, 2, 12345, 2**31, 2**32 - 1], np.int64)
    expected = reference.random_bits((low, high), elements)
    assert [int(random_bits(low, high, element)) for element in elements] == expected.tolist()


def test_known_bits_never_change():
    """A saved model draws the same masks and orders in every later version."""
    assert stream_key(0, 0, 0) == (956087953, 595752380)
    assert shuffled(8, seed=0, epoch=0).tolist() == [2, 4, 7, 0, 3, 6, 1, 5]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 31, 1000, 4097])
def test_shuffle_is_the_reference_s_permutation(n):
    order = shuffled(n, seed=9, epoch=4)
    assert np.array_equal(order, reference.shuffled(n, 9, 4))
    assert np.array_equal(np.sort(order), np.arange(n))


def test_shuffle_is_uniform():
    """All 24 orders of 4, and every (place, value) pair of 10, are as frequent as they should be."""
    codes = [shuffled(4, seed=1, epoch=epoch) @ [1000, 100, 10, 1] for epoch in range(24_000)]
    _, counts = np.unique(codes, return_counts=True)
    assert counts.size == 24
    assert chisquare(counts).pvalue > 1e-3
    orders = np.array([shuffled(10, seed=2, epoch=epoch) for epoch in range(5000)])
    pairs = np.array([np.bincount(orders[:, place], minlength=10) for place in range(10)])
    # Rows and columns both add up to the number of orders: 81 degrees of freedom.
    assert chi2.sf(((pairs - 500.0) ** 2 / 500.0).sum() * 0.9, 81) > 1e-3


def test_shuffles_differ_by_epoch_and_seed():
    orders = {tuple(shuffled(20, seed, epoch)) for seed in range(20) for epoch in range(20)}
    assert len(orders) == 400


def test_fit_shuffles_every_epoch_anew():
    """The rows of each batch come in the order of (seed, epoch), and another fit goes on counting."""
    x, batches = np.arange(6.0)[:, None], []
    model = fastbp.Sequential([fastbp.Dense(1, use_bias=False)], input_shape=(1,), seed=11, dtype="float64")
    model.compile(fastbp.SGD(0.0), "mean_squared_error")
    # The learning rate is 0: the gradient that the last batch leaves tells its row.
    model.views["dense/kernel"][...] = 1.0
    note = fastbp.LambdaCallback(on_epoch_end=lambda epoch, logs: batches.append(round(float(model.grads[0]) / 2)))
    for _ in range(2):
        model.fit(x, np.zeros(6), epochs=5, batch_size=1, callbacks=[note], verbose=0)
    assert batches == [reference.shuffled(6, 11, epoch)[-1] ** 2 for epoch in range(10)]


def forward_in_training(layers, x, seed=0, step=0, dropout=1.0):
    """Return the outputs of a training pass."""
    network = Network(layers, x.shape[1:])
    runner = Runner(network, len(x), x.dtype, Purpose(training=True))
    steps = make_steps(seed, step, [0], len(x), training=True)
    steps["dropout"] = dropout
    outputs = np.empty((len(x), *network.output_shape), x.dtype)
    params = network.initial_params(seed, x.dtype)
    runner.run(params, np.zeros_like(params), steps, Data(x, outputs=outputs))
    return outputs


def mask(rate, shape=(200, 100), **where):
    return forward_in_training([fastbp.Dropout(rate)], np.ones(shape), **where)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_keep_rate_and_scaling(rate):
    factors = mask(rate, seed=4)
    kept = factors != 0
    assert np.allclose(factors[kept], 1 / (1 - rate), rtol=1e-15)
    n = kept.size
    assert abs(kept.sum() - n * (1 - rate)) <= 4 * np.sqrt(n * rate * (1 - rate))
    assert np.array_equal(factors, reference.dropout_mask(4, 0, 0, kept.shape, rate))


def test_masks_are_uniform_over_rows_and_columns():
    dropped = mask(0.3, seed=8) == 0
    for axis in (0, 1):
        counts = dropped.sum(axis)
        expected = dropped.size * 0.3 / counts.size
        statistic = ((counts - expected) ** 2 / (expected * 0.7)).sum()
        assert 1e-3 < chi2.sf(statistic, counts.size) < 1 - 1e-3


def test_masks_differ_by_step_layer_and_seed():
    ones = np.ones((50, 40))
    masks = [mask(0.5, ones.shape, seed=seed, step=step) for seed in range(3) for step in range(3)]
    masks.append(forward_in_training([fastbp.Activation("linear"), fastbp.Dropout(0.5)], ones))
    for i, one in enumerate(masks):
        for other in masks[:i]:
            # Independent masks agree in half of their 2,000 entries, give or take 22.
            assert abs((one == other).sum() - 1000) < 100


def test_the_rate_may_change_by_step():
    assert np.array_equal(mask(0.5, dropout=0.4), mask(0.2))


def test_mask_does_not_depend_on_dtype_or_batch():
    x = np.ones((7, 5), np.float32)
    expected = reference.dropout_mask(0, 0, 0, (7, 5), 0.5)
    assert np.array_equal(forward_in_training([fastbp.Dropout(0.5)], x), expected)
    assert np.array_equal(mask(0.5, (300, 5))[:7], expected)


def test_mask_is_the_same_in_forward_and_backward():
    model = fastbp.Sequential([fastbp.Dropout(0.4)], input_shape=(30,), seed=6, dtype="float64")
    ones = np.ones((90, 30))
    dx = model.vjp(ones, ones, training=True)
    assert np.array_equal(dx, mask(0.4, ones.shape, seed=6))


def test_inference_is_the_identity():
    x = np.random.default_rng(0).standard_normal((40, 6))
    model = fastbp.Sequential([fastbp.Dropout(0.7)], input_shape=(6,), seed=0, dtype="float64")
    model.compile(loss="mean_squared_error")
    assert np.array_equal(model.predict(x), x)
    assert np.array_equal(model.vjp(x, x), x)
    assert model.evaluate(x, x) == 0
    assert model.value_and_grad(x, x)[0] == 0


def test_training_leaves_numpy_s_generator_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    model = fastbp.Sequential([fastbp.Dropout(0.5), fastbp.Dense(1)], seed=0)
    model.compile(loss="mean_squared_error")
    model.fit(np.ones((10, 2)), np.ones(10), epochs=2, verbose=0)
    assert np.array_equal(np.random.get_state()[1], before)
