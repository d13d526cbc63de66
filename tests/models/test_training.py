"""Whole trainings through `Sequential.fit`: 50 steps of every optimizer, with every extra, against NumPy."""

import dataclasses

import numpy as np
import optax
import pytest

import fastbp
from fastbp import L1, L1L2, L2, Activation, Dense, Dropout, MaxNorm, PReLU
from fastbp.optimizers import OPTIMIZERS
from tests.reference import network
from tests.reference import rng as reference_rng
from tests.reference.optimizers import UPDATES

# 5 batches an epoch, the last one short: 10 epochs are 50 steps.
ROWS, BATCH, EPOCHS = 47, 10, 10
COMMON = ("learning_rate", "weight_decay", "clipvalue", "global_clipnorm")
KEPT = ("clipnorm", "use_ema", "ema_momentum", "ema_overwrite_frequency", "gradient_accumulation_steps")
RATES = {"sgd": 0.1, "adagrad": 0.1, "lion": 0.003}

PLAIN = [Dense(7, activation="tanh"), Dense(3, activation="softmax")]
PENALISED = [
    Dense(7, activation="tanh", kernel_regularizer=L2(0.05), bias_regularizer=L1(0.01)),
    PReLU("ones", alpha_regularizer=L1L2(0.01, 0.02)),
    Dense(3, activation="softmax", kernel_regularizer=L1(0.02)),
]
CONSTRAINED = [
    Dense(7, activation="tanh", kernel_constraint=MaxNorm(0.7)),
    Dense(3, activation="softmax", kernel_constraint=MaxNorm(0.4)),
]
FROZEN = [
    Dense(7, activation="tanh"),
    Dense(6, activation="tanh", kernel_regularizer="l2", kernel_constraint=MaxNorm(0.1), trainable=False),
    PReLU("ones", trainable=False),
    Dense(3, activation="softmax"),
]
DROPPED = [
    Dropout(0.1),
    Dense(9, activation="tanh"),
    Activation("softplus"),
    Dropout(0.5),
    Dense(3, activation="softmax"),
]
SCHEDULE = fastbp.CosineDecay(0.001, 30, alpha=0.1, warmup_target=0.01, warmup_steps=13)
WEIGHTS = np.random.default_rng(5).uniform(0, 2, ROWS)
CLASS_WEIGHTS = {0: 0.5, 2: 3.0}

# What is tried with every optimizer: the layers, the optimizer's settings, the weights of rows.
EXTRAS = {
    "plain": (PLAIN, {}, {}),
    "penalties": (PENALISED, {}, {}),
    "weight decay": (PLAIN, {"weight_decay": 0.3}, {}),
    "clipvalue": (PENALISED, {"clipvalue": 0.02}, {}),
    "global_clipnorm": (PENALISED, {"global_clipnorm": 0.1}, {}),
    "a norm never reached": (PLAIN, {"global_clipnorm": 1e6}, {}),
    "max-norm": (CONSTRAINED, {"weight_decay": 0.1}, {}),
    "max-norm and clipping": (CONSTRAINED, {"global_clipnorm": 0.1}, {}),
    "sample weights": (PLAIN, {}, {"sample_weight": WEIGHTS}),
    "class weights": (PLAIN, {}, {"class_weight": CLASS_WEIGHTS}),
    "both weights": (PENALISED, {}, {"sample_weight": WEIGHTS, "class_weight": CLASS_WEIGHTS}),
    "frozen layers": (FROZEN, {"weight_decay": 0.3, "global_clipnorm": 0.1}, {}),
    "schedule": (PLAIN, {"learning_rate": SCHEDULE, "weight_decay": 0.3}, {}),
    "dropout": (DROPPED, {}, {}),
    "everything": (
        [*DROPPED[:-1], *PENALISED[1:2], *CONSTRAINED[1:]],
        {"learning_rate": SCHEDULE, "weight_decay": 0.1, "global_clipnorm": 0.1},
        {"sample_weight": WEIGHTS, "class_weight": CLASS_WEIGHTS},
    ),
}


def problem():
    rng = np.random.default_rng(0)
    return rng.standard_normal((ROWS, 5)), rng.integers(0, 3, ROWS)


def build(layers, optimizer, loss="sparse_categorical_crossentropy", dtype="float64"):
    model = fastbp.Sequential(layers, input_shape=(5,), seed=7, dtype=dtype)
    model.compile(optimizer, loss)
    return model


def row_weights(y, sample_weight=None, class_weight=None):
    weights = np.ones(len(y)) if sample_weight is None else sample_weight
    return weights * np.array([(class_weight or {}).get(int(label), 1.0) for label in y])


def batches_of(model, x, y, weights, orders):
    """Return (x, y, weights, masks) of every step."""
    batches, step = [], 0
    for order in orders:
        for first in range(0, len(x), BATCH):
            rows = order[first : first + BATCH]
            masks = reference_rng.dropout_masks(model, len(rows), step)
            batches.append((x[rows], y[rows], weights[rows], masks))
            step += 1
    return batches


def reference_run(model, weights, optimizer, x, y, rows, orders, loss="sparse_categorical_crossentropy"):
    """Return the reference's loss of every epoch, and its parameters after every epoch."""
    settings = {f.name: getattr(optimizer, f.name) for f in dataclasses.fields(optimizer)}
    kept = {name: settings.pop(name) for name in KEPT}
    assert kept == {name: getattr(fastbp.SGD(), name) for name in KEPT}  # these have tests of their own
    rate, common = settings.pop("learning_rate"), {name: settings.pop(name) for name in COMMON[1:]}
    batches = batches_of(model, x, y, rows, orders)
    lrs = [float(rate(step)) if callable(rate) else rate for step in range(len(batches))]
    losses, path = network.train(model.layers, weights, batches, loss, optimizer.name, settings, lrs, **common)
    sizes, steps = [len(batch[0]) for batch in batches[: len(batches) // len(orders)]], len(batches) // len(orders)
    return np.average(np.reshape(losses, (-1, steps)), axis=1, weights=sizes), path[steps - 1 :: steps]


def recorded_fit(model, x, y, **settings):
    """Fit; return the loss of every epoch, and the parameters after every epoch."""
    path = []
    record = fastbp.LambdaCallback(on_epoch_end=lambda epoch, logs: path.append(model.params.copy()))
    history = model.fit(x, y, epochs=EPOCHS, batch_size=BATCH, callbacks=[record], verbose=0, **settings)
    return history.history["loss"], np.array(path)


def compare(optimizer, layers, weighting=None, shuffle=False, dtype="float64", tolerance=1e-9):
    x, y = problem()
    model = build(layers, optimizer, dtype=dtype)
    weights = network.weights_of(model)
    if shuffle:
        orders = [reference_rng.shuffled(ROWS, 7, epoch) for epoch in range(EPOCHS)]
    else:
        orders = [np.arange(ROWS)] * EPOCHS
    rows = row_weights(y, **(weighting or {}))
    expected = reference_run(model, weights, optimizer, x, y, rows, orders)
    losses, path = recorded_fit(model, x, y, shuffle=shuffle, **(weighting or {}))
    assert model.step == 50
    np.testing.assert_allclose(losses, expected[0], rtol=tolerance)
    np.testing.assert_allclose(path, expected[1], rtol=tolerance, atol=tolerance)
    return path


@pytest.mark.parametrize("extra", list(EXTRAS))
@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_fifty_steps(name, extra):
    layers, settings, weighting = EXTRAS[extra]
    optimizer = OPTIMIZERS[name](**{"learning_rate": RATES.get(name, 0.01)} | settings)
    compare(optimizer, layers, weighting)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_fifty_shuffled_steps(name):
    compare(OPTIMIZERS[name](RATES.get(name, 0.01)), DROPPED, shuffle=True)


VARIANTS = [
    fastbp.SGD(0.05, momentum=0.9),
    fastbp.SGD(0.05, momentum=0.9, nesterov=True),
    fastbp.RMSprop(0.003, momentum=0.9, centered=True),
    fastbp.Adam(0.01, amsgrad=True),
]


@pytest.mark.parametrize("optimizer", VARIANTS, ids=repr)
def test_optimizers_with_more_slots(optimizer):
    compare(optimizer, PENALISED)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_fifty_steps_in_float32(name):
    """Rounding differs, and near 0 an optimizer divides by it: the measure is the distance travelled."""
    optimizer = OPTIMIZERS[name](RATES.get(name, 0.01) / 10)
    compare(optimizer, PLAIN, dtype="float32", tolerance=2e-5 if name != "lion" else 2e-3)


@pytest.mark.parametrize("name", ["mean_squared_error", "binary_crossentropy"])
def test_other_losses(name):
    """Two outputs a row: targets are a table."""
    x, labels = problem()
    y = np.stack([labels == 0, labels == 1], axis=1).astype(float)
    optimizer = fastbp.Adam(0.01)
    model = build([Dense(7, activation="tanh"), Dense(2, activation="sigmoid")], optimizer, name)
    orders = [np.arange(ROWS)] * EPOCHS
    expected = reference_run(model, network.weights_of(model), optimizer, x, y, np.ones(ROWS), orders, name)
    losses, path = recorded_fit(model, x, y, shuffle=False)
    np.testing.assert_allclose(losses, expected[0], rtol=1e-9)
    np.testing.assert_allclose(path, expected[1], rtol=1e-9, atol=1e-9)


def test_extras_change_the_training():
    """No extra is without effect (a norm that is never reached is)."""
    ends = {}
    for extra, (layers, settings, weighting) in EXTRAS.items():
        model = build(layers, fastbp.Adam(**{"learning_rate": 0.01} | settings))
        model.fit(*problem(), batch_size=BATCH, shuffle=False, verbose=0, **weighting)
        ends[extra] = model.params.tobytes()
    assert ends["plain"] == ends["a norm never reached"]
    assert len(set(ends.values())) == len(EXTRAS) - 1


def test_every_optimizer_has_a_reference():
    assert set(UPDATES) >= set(OPTIMIZERS)


def test_max_norm_holds_after_training():
    x, y = problem()
    model = build(CONSTRAINED, fastbp.SGD(1.0))
    model.fit(x, y, epochs=3, verbose=0)
    for name, limit in (("dense/kernel", 0.7), ("dense_1/kernel", 0.4)):
        norms = np.linalg.norm(model.views[name], axis=0)
        assert norms.max() <= limit * (1 + 1e-12)
        assert norms.max() > 0.99 * limit


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (fastbp.SGD(0.1, momentum=0.9, nesterov=True), optax.sgd(0.1, 0.9, nesterov=True)),
        (fastbp.Lion(0.001), optax.lion(0.001, 0.9, 0.99, weight_decay=0.0)),
    ],
    ids=["sgd", "lion"],
)
def test_trajectory_is_optax_s(ours, theirs):
    """Where the formulas coincide, through gradients of `value_and_grad` and steps of `fit`."""
    x, y = problem()
    fitted, stepped = build(PENALISED, ours), build(PENALISED, ours)
    fitted.fit(x, y, epochs=EPOCHS, batch_size=BATCH, shuffle=False, verbose=0)
    state = theirs.init(stepped.params.copy())
    for step in range(50):
        rows = slice(step % 5 * BATCH, step % 5 * BATCH + BATCH)
        _, grad = stepped.value_and_grad(x[rows], y[rows])
        updates, state = theirs.update(grad, state, stepped.params.copy())
        stepped.params[:] += np.asarray(updates)
    np.testing.assert_allclose(fitted.params, stepped.params, rtol=1e-9, atol=1e-9)


# What fit must not depend on.


def whole(model):
    return model.params.tobytes() + model.engine.state.tobytes()


def test_fits_go_on_where_the_last_one_stopped():
    x, y = problem()
    once, twice = (build(DROPPED, fastbp.Nadam(fastbp.ExponentialDecay(0.01, 7, 0.9))) for _ in range(2))
    losses = once.fit(x, y, epochs=6, batch_size=BATCH, verbose=0).history["loss"]
    first = twice.fit(x, y, epochs=2, batch_size=BATCH, verbose=0).history["loss"]
    second = twice.fit(x, y, epochs=4, batch_size=BATCH, verbose=0).history["loss"]
    assert first + second == losses
    assert whole(once) == whole(twice)


def test_stretches_do_not_change_bits(monkeypatch):
    """However an epoch is cut into compiled calls."""
    x, y = problem()
    results = set()
    for seconds in (1e-9, 10.0):
        monkeypatch.setattr("fastbp.engine.interruptible_steps.STRETCH_SECONDS", seconds)
        monkeypatch.setattr("fastbp.engine.interruptible_steps.FIRST_STRETCH_MULTIPLY_ADDS", 1)
        model = build(DROPPED, fastbp.Adam(SCHEDULE))
        model.fit(x, y, epochs=4, batch_size=4, verbose=0)
        results.add(whole(model))
    assert len(results) == 1


def test_same_seed_same_bits_and_another_seed_others():
    x, y = problem()
    results = []
    for seed in (7, 7, 8):
        model = fastbp.Sequential(DROPPED, seed=seed)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=2, verbose=0)
        results.append(whole(model))
    assert results[0] == results[1] != results[2]


def test_a_batch_larger_than_the_data_is_the_data():
    x, y = problem()
    results = set()
    for batch_size in (ROWS, ROWS + 1, 10_000):
        model = build(PLAIN, "adam")
        model.fit(x, y, epochs=3, batch_size=batch_size, shuffle=False, verbose=0)
        assert model.step == 3
        results.add(whole(model))
    assert len(results) == 1


def test_batches_of_one_row():
    x, y = problem()
    optimizer = fastbp.SGD(0.01)
    model, stepped = build(PLAIN, optimizer), build(PLAIN, optimizer)
    model.fit(x, y, batch_size=1, shuffle=False, verbose=0)
    for i in range(ROWS):
        stepped.train_on_batch(x[i : i + 1], y[i : i + 1])
    assert whole(model) == whole(stepped)


def test_inputs_in_any_form_train_alike(tmp_path):
    """Memory maps, Fortran order, strides, integers and lists; none of them is changed."""
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (ROWS, 5)).astype(np.float64)
    _, y = problem()
    np.save(tmp_path / "x.npy", x)
    wide = np.zeros((2 * ROWS, 10))
    wide[::2, ::2] = x
    forms = {
        "array": x,
        "memory map": np.load(tmp_path / "x.npy", mmap_mode="r"),
        "Fortran": np.asfortranarray(x),
        "strided": wide[::2, ::2],
        "integers": x.astype(np.int8),
        "list": x.tolist(),
    }
    results = {}
    for form, given in forms.items():
        model = build(PLAIN, "adam")
        model.fit(given, y.tolist() if form == "list" else y, epochs=2, verbose=0)
        results[form] = whole(model)
        assert np.array_equal(np.asarray(given), x)
    assert len(set(results.values())) == 1


def test_zero_weights_leave_rows_out():
    """Rows of weight 0 only count in the mean's divisor, as in Keras."""
    x, y = problem()
    weights = np.r_[np.ones(20), np.zeros(ROWS - 20)]
    model = build(PLAIN, "sgd")
    value, grad = model.value_and_grad(x, y, sample_weight=weights)
    part, part_grad = model.value_and_grad(x[:20], y[:20])
    assert value * ROWS == pytest.approx(part * 20, rel=1e-12)
    np.testing.assert_allclose(grad * ROWS, part_grad * 20, rtol=1e-10, atol=1e-14)


def test_reported_loss_is_the_mean_over_rows():
    """Of the losses before each step; the short batch counts by its rows."""
    x, y = problem()
    model = build(PLAIN, fastbp.SGD(0.0))
    loss = model.fit(x, y, batch_size=BATCH, verbose=0).history["loss"][0]
    assert loss == pytest.approx(model.evaluate(x, y), rel=1e-12)


def test_divergence_names_the_place_and_keeps_the_last_good_epoch():
    x, y = problem()
    model = fastbp.Sequential([Dense(8), Dense(1)], seed=0)
    model.compile(fastbp.SGD(1e3), "mean_squared_error")
    good = []
    keep = fastbp.LambdaCallback(on_epoch_end=lambda epoch, logs: good.append(model.params.copy()))
    before = model.params.copy() if model.engine else None
    with pytest.raises(fastbp.TrainingDiverged, match="lower learning rate") as error:
        model.fit(x, y, epochs=50, batch_size=BATCH, callbacks=[keep], verbose=0)
    assert error.value.epoch == len(good) + 1
    assert 1 <= error.value.step <= 5
    assert error.value.layer in ("dense", "dense_1")
    assert np.isfinite(model.params).all()
    assert before is None
    if good:
        assert np.array_equal(model.params, good[-1])
    assert model.step == 5 * len(good)
