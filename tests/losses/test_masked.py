"""Time steps in the loss: masks, weights of single steps, crossentropy step by step; the right values by hand."""

import numpy as np
import pytest

import fastbp
from fastbp import GRU, Dense, Embedding, Flatten, Masking, Reshape
from fastbp.engine.threads import limit_threads

N, T, D, K = 8, 5, 3, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, T, D))
LENGTHS = np.array([5, 2, 1, 4, 5, 3, 5, 1])
MASK = np.arange(T) < LENGTHS[:, None]
X[~MASK] = 0
CLASSES = RNG.integers(0, K, (N, T))
VALUES = RNG.normal(size=(N, T))
WEIGHTS = RNG.uniform(0.5, 2, (N, T))


def build(loss, *head, masked=True, metrics=None, optimizer="sgd", dtype="float64"):
    layers = [GRU(4, return_sequences=True), *head]
    model = fastbp.Sequential([Masking(), *layers] if masked else layers, input_shape=(T, D), seed=0, dtype=dtype)
    model.compile(optimizer, loss, metrics)
    return model


def mean_of_steps(losses, weights=None):
    """Keras: the weighted losses (n, t) of the steps that count, divided by their number."""
    weights = MASK if weights is None else MASK * weights
    return (losses * weights).sum() / MASK.sum()


def negative_log(p, classes=CLASSES):
    return -np.log(np.take_along_axis(p, classes[..., None], 2)[..., 0])


@pytest.mark.parametrize("y", [VALUES, VALUES[..., None]], ids=["(n, t)", "(n, t, 1)"])
def test_masked_steps_weigh_nothing(y):
    model = build("mean_squared_error", Dense(1), metrics=["mean_absolute_error"])
    error = model.predict(X)[..., 0] - VALUES
    loss, mae = model.evaluate(X, y)
    assert loss == pytest.approx(mean_of_steps(error**2), rel=1e-12)
    assert mae == pytest.approx(np.abs(error[MASK]).mean(), rel=1e-12)
    assert model.value_and_grad(X, y)[0] == pytest.approx(loss, rel=1e-12)
    assert model.train_on_batch(X, y) == pytest.approx([loss, mae], rel=1e-12)


def test_targets_of_masked_steps_do_not_matter():
    model, other = (build("mean_squared_error", Dense(1)) for _ in range(2))
    y = np.where(MASK, VALUES, 1e3)
    for one, targets in ((model, VALUES), (other, y)):
        one.fit(X, targets, epochs=3, batch_size=3, verbose=0)
    np.testing.assert_array_equal(model.params, other.params)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("y", [CLASSES, CLASSES[..., None], np.eye(K)[CLASSES]], ids=["(n, t)", "(n, t, 1)", "one-hot"])
def test_crossentropy_of_steps(y, masked):
    name = "categorical_crossentropy" if y.shape[-1] == K else "sparse_categorical_crossentropy"
    model = build(name, Dense(K, activation="softmax"), masked=masked, metrics=["accuracy", "log_loss"])
    counts = MASK if masked else np.ones((N, T), bool)
    p = model.predict(X)
    loss = negative_log(p)[counts].mean()
    accuracy = (p.argmax(2) == CLASSES)[counts].mean()
    assert model.evaluate(X, y) == pytest.approx([loss, accuracy, loss], rel=1e-9)
    assert fastbp.check_gradients(model, X, y).max_relative_error < 1e-6


@pytest.mark.parametrize("weights", [WEIGHTS, WEIGHTS[..., None]], ids=["(n, t)", "(n, t, 1)"])
def test_weights_of_steps(weights):
    model = build("sparse_categorical_crossentropy", Dense(K, activation="softmax"))
    expected = mean_of_steps(negative_log(model.predict(X)), WEIGHTS)
    assert model.evaluate(X, CLASSES, sample_weight=weights) == pytest.approx(expected, rel=1e-9)
    loss, grad = model.value_and_grad(X, CLASSES, sample_weight=weights)
    assert loss == pytest.approx(expected, rel=1e-9)
    epsilon, params = 1e-6, model.params
    for place in (0, params.size // 2, params.size - 1):
        params[place] += epsilon
        above = model.evaluate(X, CLASSES, sample_weight=weights)
        params[place] -= 2 * epsilon
        below = model.evaluate(X, CLASSES, sample_weight=weights)
        params[place] += epsilon
        assert grad[place] == pytest.approx((above - below) / (2 * epsilon), abs=1e-8)


@pytest.mark.parametrize("weights", [WEIGHTS[:, 0], WEIGHTS[:, :1]], ids=["(n,)", "(n, 1)"])
def test_weights_of_rows_weigh_all_their_steps(weights):
    model = build("mean_squared_error", Dense(1))
    losses = (model.predict(X)[..., 0] - VALUES) ** 2
    expected = mean_of_steps(losses, WEIGHTS[:, :1])
    assert model.evaluate(X, VALUES, sample_weight=weights) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weights", [np.ones((T, N)), np.ones((N, T + 1)), np.ones((N, T, 2))])
def test_weights_of_another_shape_are_refused(weights):
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(8,\), one for each row or \(8, 5\)"):
        build("mean_squared_error", Dense(1)).evaluate(X, VALUES, sample_weight=weights)


def test_batches_of_a_fit_are_divided_by_their_own_counts():
    model, by_hand = (build("mean_squared_error", Dense(1), optimizer=fastbp.SGD(0.3)) for _ in range(2))
    model.fit(X, VALUES, batch_size=3, sample_weight=WEIGHTS, shuffle=False, verbose=0)
    for first in range(0, N, 3):
        rows = slice(first, first + 3)
        by_hand.train_on_batch(X[rows], VALUES[rows], sample_weight=WEIGHTS[rows])
    np.testing.assert_array_equal(model.params, by_hand.params)


def test_shuffled_rows_keep_their_masks_and_weights():
    """With one row a batch, the order of the losses is all that shuffling changes."""
    model = build("mean_squared_error", Dense(1), optimizer=fastbp.SGD(0.0))
    history = model.fit(X, VALUES, batch_size=1, sample_weight=WEIGHTS, verbose=0).history
    losses = (model.predict(X)[..., 0] - VALUES) ** 2
    expected = ((losses * MASK * WEIGHTS).sum(1) / MASK.sum(1)).mean()
    assert history["loss"][0] == pytest.approx(expected, rel=1e-12)


def test_padding_of_an_embedding_is_masked():
    ids = np.where(MASK, RNG.integers(1, 6, (N, T)), 0)
    layers = [Embedding(6, 4, mask_zero=True), GRU(3, return_sequences=True), Dense(1)]
    model = fastbp.Sequential(layers, input_shape=(T,), seed=0, dtype="float64")
    model.compile("sgd", "mean_absolute_error")
    error = model.predict(ids)[..., 0] - VALUES
    assert model.evaluate(ids, VALUES) == pytest.approx(mean_of_steps(np.abs(error)), rel=1e-12)
    assert fastbp.check_gradients(model, ids, VALUES).max_relative_error < 1e-6


def test_a_mask_weighs_all_entries_of_its_step():
    model = build("mean_squared_error", Dense(4), Reshape((T, 2, 2)))
    y = RNG.normal(size=(N, T, 2, 2))
    losses = ((model.predict(X) - y) ** 2).mean((2, 3))
    assert model.evaluate(X, y) == pytest.approx(mean_of_steps(losses), rel=1e-12)


def test_a_batch_without_steps_makes_no_update():
    model = build("mean_squared_error", Dense(1), optimizer=fastbp.Adam(0.1), metrics=["r2_score"])
    model.train_on_batch(X, VALUES)
    params, state = model.params.copy(), model.engine.state.copy()
    loss, r2 = model.train_on_batch(np.zeros_like(X), VALUES)
    assert loss == 0
    assert np.isnan(r2)
    assert model.step == 2
    np.testing.assert_array_equal(model.params, params)
    np.testing.assert_array_equal(model.engine.state, state)


def test_steps_of_one_batch_are_the_same_at_any_number_of_threads():
    bits = set()
    for threads in (1, 2, 3):
        with limit_threads(threads):
            model = build("sparse_categorical_crossentropy", Dense(K, activation="softmax"), dtype="float32")
            model.fit(np.tile(X, (40, 1, 1)), np.tile(CLASSES, (40, 1)), batch_size=128, epochs=2, verbose=0)
            bits.add(model.params.tobytes())
    assert len(bits) == 1


def test_own_metrics_see_the_steps_that_count():
    seen = []

    def shapes(y_true, y_pred):
        seen.append((y_true.shape, y_pred.shape))
        return 0.0

    build("mean_squared_error", Dense(2), metrics=[shapes]).evaluate(X, np.zeros((N, T, 2)))
    build("sparse_categorical_crossentropy", Dense(K, activation="softmax"), metrics=[shapes]).evaluate(X, CLASSES)
    build("mean_squared_error", Dense(2), metrics=[shapes], masked=False).evaluate(X, np.zeros((N, T, 2)))
    m = MASK.sum()
    assert seen == [((m, 2), (m, 2)), ((m,), (m, K)), ((N, T, 2), (N, T, 2))]


def test_targets_of_another_shape_are_refused():
    model = build("sparse_categorical_crossentropy", Dense(K, activation="softmax"))
    with pytest.raises(ValueError, match=r"y has shape \(8, 4\); a model with outputs of shape \(5, 3\) takes"):
        model.evaluate(X, CLASSES[:, :4])
    with pytest.raises(ValueError, match=r"y\[2, 3\] is nan"):
        model.evaluate(X, np.where(np.arange(N * T).reshape(N, T) == 13, np.nan, 0.0))
    with pytest.raises(ValueError, match="y holds class 7"):
        model.evaluate(X, CLASSES + 5)


def test_a_mask_that_cannot_reach_the_loss_is_refused():
    layers = [Dense(3), Masking(), GRU(2, return_sequences=True), Dense(1)]
    with pytest.raises(ValueError, match="the mask of 'masking' reaches the loss"):
        fastbp.Sequential(layers, input_shape=(T, D)).compile("sgd", "mean_squared_error")
    # What ends the mask lets the layer stand anywhere.
    fastbp.Sequential([*layers, Flatten()], input_shape=(T, D)).compile("sgd", "mean_squared_error")
