"""Recurrent layers with masks, stacked and in both directions: JAX's values and gradients, plans, threads, files.

tests/layers/test_layers.py holds every setting of each layer against JAX and NumPy; masks and their ways are here.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fastbp
from fastbp import GRU, LSTM, Bidirectional, Dense, Dropout, Flatten, Masking, Reshape, SimpleRNN
from fastbp.engine.cut import Purpose
from fastbp.engine.driver_call import Data, make_steps
from fastbp.engine.network import Network
from fastbp.engine.runner import Runner
from tests.engine.test_plan import SCHEMES, force
from tests.layers.test_layers import assert_near
from tests.reference import autodiff, network, recurrent_jax
from tests.reference.rng import dropout_masks

T, D = 6, 3
KINDS = {
    "SimpleRNN": SimpleRNN(5, bias_initializer="random_normal"),
    "LSTM": LSTM(5, bias_initializer="random_normal"),
    "GRU": GRU(5, bias_initializer="random_normal"),
    "GRU, reset before": GRU(5, bias_initializer="random_normal", reset_after=False),
    "backwards": LSTM(5, go_backwards=True),
    "sequences": GRU(5, return_sequences=True),
    "backward sequences": LSTM(5, return_sequences=True, go_backwards=True),
    "zeros": SimpleRNN(5, return_sequences=True, zero_output_for_mask=True),
    "both ways": Bidirectional(LSTM(4)),
    "both ways, sequences": Bidirectional(GRU(4, return_sequences=True), "mul"),
}
STACK = [
    Masking(),
    Dense(7, activation="tanh"),
    Dropout(0.0),
    Bidirectional(LSTM(4, return_sequences=True), "concat"),
    Dense(5),
    GRU(4, return_sequences=True, go_backwards=True, dropout=0.2, recurrent_dropout=0.3),
    SimpleRNN(3),
    Dense(2),
]
# Which steps of a row count.
ROWS = {
    "all": [1, 1, 1, 1, 1, 1],
    "end masked": [1, 1, 1, 0, 0, 0],
    "start masked": [0, 0, 1, 1, 1, 1],
    "middle masked": [1, 0, 0, 1, 1, 1],
    "every other": [0, 1, 0, 1, 0, 1],
    "last only": [0, 0, 0, 0, 0, 1],
    "none": [0, 0, 0, 0, 0, 0],
}


def build(layers, dtype="float64", shape=(T, D), optimizer="adam"):
    model = fastbp.Sequential(layers, input_shape=shape, seed=3, dtype=dtype)
    model.compile(optimizer, "mean_squared_error")
    return model


def sequences(n=40, rows=None):
    """Return x (n, T, D), exact in float32, with zeros where steps do not count: patterns of ROWS in turn."""
    rng = np.random.default_rng(0)
    steps = np.array(list(ROWS.values()) if rows is None else rows)
    x = rng.standard_normal((n, T, D)) * steps[np.arange(n) % len(steps)][:, :, None]
    return x.astype(np.float32)


def reference(layers, weights, x, steps, masks):
    """Return JAX's outputs (n, ...) of a chain of layers, with the mask (n, t) handed on from layer to layer.

    `weights` and `masks` are iterators over those of each layer, and of those that drop.
    """
    for layer in layers:
        kind = layer.registered[1]
        if kind == "Bidirectional":
            x = [recurrent_jax.recurrent(way, next(weights), x, steps)[0] for (way,) in layer.branches]
            x = recurrent_jax.merge(layer, x)
        elif kind in ("SimpleRNN", "LSTM", "GRU"):
            drawn = next(masks, None) if layer.dropout or layer.recurrent_dropout else None
            x = recurrent_jax.recurrent(layer, next(weights), x, steps, masks=drawn)[0]
        else:
            x = autodiff.LAYERS[kind](layer, next(weights) if kind == "Dense" else [], x, None)
        steps = steps if x.ndim == 3 else None
    return x


# Compiled once for each chain of layers: with and without masks, for both float types.
RUNS = {}


def run_of(layers):
    """Return f(weights, x, steps, masks, dout) -> JAX's outputs, gradients of the weights, dx."""

    def run(weights, x, steps, masks, dout):
        out, pull = jax.vjp(lambda w, x: reference(layers, iter(w), x, steps, iter(masks)), weights, x)
        return out, *pull(dout)

    return RUNS.setdefault(tuple(map(id, layers)), jax.jit(run))


def check_against_jax(model, x, tolerance=1e-10, training=False):
    """Compare outputs (of predictions), dx and the parameters' gradient with JAX's; in training with dropout."""
    dout = np.random.default_rng(1).standard_normal((len(x), *model.output_shape))
    layers = [layer for layer in model.layers if type(layer) is not Masking]
    steps = (x != 0).any(-1) if len(layers) < len(model.layers) else np.ones(x.shape[:2], bool)
    masks = dropout_masks(model, len(x), step=0).values() if training else []
    masks = [pair for pair in masks if isinstance(pair, tuple)]  # those of recurrent layers
    weights = [arrays for arrays in network.weights_of(model) if arrays]
    out, grad, dx = run_of(layers)(weights, x.astype(float), steps, masks, dout)
    if not training:
        assert_near(model.predict(x), out, tolerance)
    assert_near(model.vjp(x, dout, training=training), dx, tolerance)
    assert_near(model.grads, network.flatten(grad), tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_values_and_gradients_are_jax_s(kind, masked):
    x = sequences()
    layers = [Masking(), KINDS[kind]] if masked else [KINDS[kind]]
    check_against_jax(build(layers), x)
    check_against_jax(build(layers, "float32"), x, 2e-5)


@pytest.mark.parametrize("kind", ["LSTM", "GRU, reset before"])
def test_masked_steps_and_dropout(kind):
    """The masks of dropout belong to rows of the batch, not to their places in a pack."""
    layer = dataclasses.replace(KINDS[kind], dropout=0.4, recurrent_dropout=0.3, return_sequences=True)
    for dtype, tolerance in (("float64", 1e-10), ("float32", 2e-5)):
        check_against_jax(build([Masking(), layer], dtype), sequences(), tolerance, training=True)


@pytest.mark.parametrize("rows", ROWS)
def test_a_batch_of_one(rows):
    for kind in ("LSTM", "both ways, sequences"):
        check_against_jax(build([Masking(), KINDS[kind]]), sequences(1, [ROWS[rows]]))


@pytest.mark.parametrize("kind", KINDS)
def test_one_time_step(kind):
    check_against_jax(build([Masking(), KINDS[kind]], shape=(1, D)), sequences()[:, -1:])


def test_a_stack_hands_the_mask_on():
    model, x = build(STACK), sequences()
    check_against_jax(model, x)
    y = np.random.default_rng(2).standard_normal((len(x), 2))
    assert fastbp.check_gradients(model, x, y, training=True).max_relative_error < 1e-7


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_every_way_of_cutting_a_batch_has_the_same_gradient(monkeypatch, scheme):
    force(monkeypatch, scheme)
    check_against_jax(build(STACK), sequences(301), training=True)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU", "GRU, reset before", "both ways"])
def test_padding_changes_no_bit(kind):
    """Six steps, and the same six among sixteen with padding before, within and behind."""
    x = sequences(20, [ROWS["all"]])
    padded = np.zeros((20, 16, D), np.float32)
    padded[:, [2, 3, 7, 8, 9, 12]] = x
    layers = [Masking(), KINDS[kind]]
    short, long = build(layers, "float32"), build(layers, "float32", (16, D))
    assert np.array_equal(short.predict(x), long.predict(padded))
    dout = np.random.default_rng(0).standard_normal((20, *short.output_shape))
    assert np.array_equal(short.vjp(x, dout), long.vjp(padded, dout)[:, [2, 3, 7, 8, 9, 12]])
    assert np.array_equal(short.grads, long.grads)


def test_outputs_of_masked_steps():
    x = sequences(1, [ROWS["middle masked"]])
    model = build([Masking(), KINDS["sequences"]])
    (out,) = model.predict(x)
    assert np.array_equal(out[1], out[0])
    assert np.array_equal(out[2], out[0])
    assert (out[3] != out[2]).any()
    assert not build([Masking(), KINDS["zeros"]]).predict(x)[0, 1:3].any()
    assert not model.predict(sequences(1, [ROWS["none"]])).any()


def test_masking_takes_its_value_and_zeroes_what_it_skips():
    x = np.array([[[1.0, 2.0], [7.0, 7.0], [7.0, 0.0]]])
    assert np.array_equal(build([Masking(7.0)], shape=(3, 2)).predict(x), [[[1, 2], [0, 0], [7, 0]]])
    assert np.array_equal(build([Masking(7.0)], shape=(3, 2)).vjp(x, x), [[[1, 2], [0, 0], [7, 0]]])


def test_where_a_mask_goes():
    layers = [
        Masking(), Dense(4), Dropout(0.5), Bidirectional(LSTM(2, return_sequences=True)), GRU(3), Reshape((3, 1)),
        LSTM(2), Reshape((2, 1)), Masking(), SimpleRNN(2, return_sequences=True), Flatten(), Dense(1),
    ]  # fmt: skip
    network = Network(layers, (T, D))
    masks = [network.masking_layer(number) for number in range(len(network.layers))]
    names = [layer.name for layer in network.layers]
    found = {name: None if mask is None else names[mask] for name, mask in zip(names, masks, strict=True)}
    assert found == {
        "masking": None, "dense": "masking", "dropout": "masking", "bidirectional/fork": "masking",
        "lstm": "masking", "lstm_1": "masking", "bidirectional": "masking", "gru": "masking", "reshape": None,
        "lstm_2": None, "reshape_1": None, "masking_1": None, "simplernn": "masking_1", "flatten": "masking_1",
        "dense_1": None,
    }  # fmt: skip


def test_same_bits_at_one_and_two_threads(small_work, run_threads):
    x = sequences(301)
    y = np.random.default_rng(0).standard_normal((301, 2))
    params = []
    for n_threads in (1, 2):
        run_threads(n_threads)
        model = build(STACK, "float32")
        model.fit(x, y, epochs=2, batch_size=100, verbose=0)
        params.append(model.params.copy())
    assert 2 in run_threads.used
    assert params[0].tobytes() == params[1].tobytes()


def test_a_saved_model_resumes_with_the_same_bits(tmp_path):
    x = sequences(64)
    y = np.random.default_rng(0).standard_normal((64, 2))
    model = build(STACK, "float32")
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "m.fastbp")
    again = fastbp.load_model(tmp_path / "m.fastbp")
    assert list(again.views) == list(model.views)
    assert np.array_equal(again.predict(x), model.predict(x))
    for one in (model, again):
        one.fit(x, y, epochs=1, verbose=0)
    assert again.params.tobytes() == model.params.tobytes()


def test_views_have_keras_s_shapes_and_order():
    layers = [
        SimpleRNN(4, return_sequences=True), LSTM(4, return_sequences=True), GRU(4, return_sequences=True),
        GRU(4, reset_after=False, return_sequences=True), Bidirectional(LSTM(2, use_bias=False, name="own")),
    ]  # fmt: skip
    assert {name: view.shape for name, view in build(layers).views.items()} == {
        "simplernn/kernel": (3, 4), "simplernn/recurrent_kernel": (4, 4), "simplernn/bias": (4,),
        "lstm/kernel": (4, 16), "lstm/recurrent_kernel": (4, 16), "lstm/bias": (16,),
        "gru/kernel": (4, 12), "gru/recurrent_kernel": (4, 12), "gru/bias": (2, 12),
        "gru_1/kernel": (4, 12), "gru_1/recurrent_kernel": (4, 12), "gru_1/bias": (12,),
        "forward_own/kernel": (4, 8), "forward_own/recurrent_kernel": (2, 8),
        "backward_own/kernel": (4, 8), "backward_own/recurrent_kernel": (2, 8),
    }  # fmt: skip


def test_initial_weights():
    model = build([LSTM(4), Reshape((2, 2)), LSTM(4, unit_forget_bias=False)])
    kernel = model.views["lstm/recurrent_kernel"]
    assert_near(kernel @ kernel.T, np.eye(4), 1e-12)
    assert np.array_equal(model.views["lstm/bias"], np.repeat([0, 1, 0, 0], 4))
    assert not model.views["lstm_1/bias"].any()


def test_a_series_is_learned():
    """Which of two words, at any place in a row of noise, came last."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 12, 2)) * 0.1
    last = rng.integers(4, 12, 400)
    y = rng.integers(0, 2, 400)
    x[np.arange(400), last - 3, 1 - y] += 2
    x[np.arange(400), last, y] += 2
    model = fastbp.Sequential([GRU(12), Dense(2, activation="softmax")], seed=0)
    model.compile(fastbp.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=15, verbose=0)
    assert model.evaluate(x, y)[1] > 0.97


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sequence_has_one_mask(dtype):
    """With kernels that pass on, outputs are the masks: their shares and means, one for all steps of a row."""
    n, d, rate = 500, 40, 0.3
    x = np.ones((n, 3, d), dtype)

    def steps(recurrent, **rates):
        layer = SimpleRNN(d, None, False, "zeros", "zeros", return_sequences=True, **rates)
        model = fastbp.Sequential([layer], input_shape=(3, d), seed=7, dtype=dtype)
        model.views["simplernn/kernel"][:], model.views["simplernn/recurrent_kernel"][:] = np.eye(d), recurrent
        assert np.array_equal(model.predict(x)[:, 0], x[:, 0])  # predictions drop nothing
        return drawn(model, x)

    first, *later = steps(np.zeros((d, d)), dropout=rate)
    assert all(np.array_equal(out, first) for out in later)
    before, *later = steps(np.eye(d), recurrent_dropout=rate)
    masks = [out - 1 for out in later]  # h = 1 + mask * h before, from h = 0
    assert np.array_equal(before, x[:, 0])
    assert_near(masks[1], masks[0] * later[0], 1e-6)
    for mask in (first, masks[0]):
        assert_near(np.unique(mask), [0, 1 / (1 - rate)], 1e-6)
        assert abs((mask == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / mask.size)
        assert len(np.unique(mask, axis=0)) == n
        assert len(np.unique(mask, axis=1).T) == d
    assert not np.array_equal(first, masks[0])


def drawn(model, x):
    """Return what the first training step makes of x, its time steps first."""
    runner = Runner(model.engine.network, len(x), x.dtype, Purpose(training=True))
    outputs = np.empty((len(x), *model.output_shape), x.dtype)
    steps = make_steps(model.seed, 0, [0], len(x), training=True)
    runner.run(model.params, np.zeros(0, x.dtype), steps, Data(x, outputs=outputs.reshape(len(x), -1)))
    return outputs.swapaxes(0, 1)


def stateful(rows, **settings):
    return [
        Masking(),
        LSTM(5, stateful=True, batch_size=rows, return_sequences=True, **settings),
        GRU(4, stateful=True, batch_size=rows, **settings),
    ]


@pytest.mark.parametrize("rows", [1, 40])
def test_states_go_on_in_the_next_window(rows):
    """Two windows are one sequence; reset_states begins another."""
    x = sequences(rows)
    whole, parts = (
        build([Masking(), LSTM(5, return_sequences=True), GRU(4)], "float32"),
        build(stateful(rows), "float32"),
    )
    expected = whole.predict(x)
    first = parts.predict(np.concatenate([x[:, :3], np.zeros_like(x[:, 3:])], 1))
    last = parts.predict(np.concatenate([x[:, 3:], np.zeros_like(x[:, :3])], 1))
    assert (first != expected).any()
    assert np.array_equal(last, expected)
    assert not np.array_equal(parts.predict(x), expected)
    parts.reset_states()
    assert np.array_equal(parts.predict(x), expected)


def test_truncated_backpropagation_stops_at_the_window():
    """The second window's gradient is that of its own steps alone, begun in the states of the first."""
    x, layer = sequences(8), LSTM(5, stateful=True, batch_size=8)
    model = build([Masking(), layer])
    dout = np.random.default_rng(0).standard_normal((8, 5))
    model.predict(x)
    dx = model.vjp(x, dout)
    weights = [jnp.asarray(view) for view in list(model.views.values())[:3]]
    steps = (x != 0).any(-1)
    _, states = recurrent_jax.recurrent(layer, weights, x.astype(float), steps)
    _, pull = jax.vjp(lambda w, x: recurrent_jax.recurrent(layer, w, x, steps, states)[0], weights, x.astype(float))
    grads, expected = pull(jnp.asarray(dout))
    assert_near(dx, expected, 1e-10)
    assert_near(model.grads, np.concatenate([np.ravel(g) for g in grads]), 1e-10)


def test_windows_train_and_states_are_saved(tmp_path, n_threads):
    x = sequences(40)
    y = np.random.default_rng(0).standard_normal((40, 1))
    model = build([*stateful(40), Dense(1)], "float32")
    for window in (x, x[::-1].copy()):
        model.train_on_batch(window, y)
    model.save(tmp_path / "m.fastbp")
    again = fastbp.load_model(tmp_path / "m.fastbp")
    assert np.abs(model.views["lstm/state"]).min() > 0
    assert np.array_equal(again.views["lstm/cell"], model.views["lstm/cell"])
    for one in (model, again):
        one.train_on_batch(x, y)
    assert again.params.tobytes() == model.params.tobytes()


def test_fit_takes_windows_in_order():
    """Rows of one batch go on in the next batch: as train_on_batch, window by window."""
    x = sequences(24)
    y = np.random.default_rng(0).standard_normal((24, 1))
    one, other = (build([*stateful(8), Dense(1)], "float32") for _ in range(2))
    one.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for first in (0, 8, 16):
        other.train_on_batch(x[first : first + 8], y[first : first + 8])
    assert one.params.tobytes() == other.params.tobytes()


@pytest.mark.parametrize(
    "call",
    [
        lambda model, x, y: model.predict(x),
        lambda model, x, y: model.evaluate(x, y),
        lambda model, x, y: model.train_on_batch(x, y),
        lambda model, x, y: model.fit(x, y, batch_size=8, verbose=0),
        lambda model, x, y: model.fit(x[:12], y[:12], batch_size=12, verbose=0),
    ],
)
def test_a_batch_of_another_size_is_refused(call):
    model = build([*stateful(8), Dense(1)])
    params = model.params.copy()
    with pytest.raises(ValueError, match="batch_size=8"):
        call(model, sequences(20), np.zeros(20))
    assert np.array_equal(model.params, params)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LSTM(0), ValueError, "units=0"),
        (lambda: GRU(4, activation="tahn"), ValueError, "tanh"),
        (lambda: GRU(4, recurrent_activation=3), TypeError, "activation"),
        (lambda: SimpleRNN(4, recurrent_initializer="orthogonl"), ValueError, "orthogonal"),
        (lambda: LSTM(4, recurrent_regularizer="l3"), ValueError, "l3"),
        (lambda: LSTM(4, recurrent_decay_factor=-1), ValueError, "recurrent_decay_factor=-1"),
        (lambda: LSTM(4, dropout=1.0), ValueError, r"LSTM\(dropout=1\.0\)"),
        (lambda: GRU(4, recurrent_dropout=-0.1), ValueError, r"recurrent_dropout=-0\.1"),
        (lambda: LSTM(4, stateful=True), ValueError, "stateful=True needs batch_size"),
        (lambda: GRU(4, batch_size=3), ValueError, "batch_size=3"),
        (lambda: GRU(4, stateful=True, batch_size=0), ValueError, "batch_size=0"),
        (
            lambda: build([*stateful(3)[:2], GRU(4, stateful=True, batch_size=4)]).predict(sequences(3)),
            ValueError,
            "agree",
        ),
        (lambda: build([LSTM(4)], shape=(5,)), ValueError, r"LSTM takes sequences.*\(5,\)"),
        (lambda: build([LSTM(4), LSTM(4)]), ValueError, "return_sequences=True"),
        (lambda: build([Masking()], shape=(5,)), ValueError, r"Masking takes sequences.*\(5,\)"),
        (lambda: Masking(float("nan")), ValueError, "mask_value=nan"),
        (lambda: Masking("0"), ValueError, "mask_value='0'"),
        (lambda: Bidirectional(Dense(3)), TypeError, "recurrent layer"),
        (lambda: Bidirectional(LSTM), TypeError, "recurrent layer"),
        (lambda: Bidirectional(LSTM(3), "add"), ValueError, "merge_mode='add'"),
        (lambda: Bidirectional(LSTM(3, go_backwards=True)), ValueError, "go_backwards=False"),
    ],
)
def test_wrong_use_names_the_value(make, error, message):
    with pytest.raises(error, match=message):
        make()
