"""Tables whose gradient is made row by row: the dense formula's bits, lazy rows against NumPy, and what they cost."""

import dataclasses

import numpy as np
import pytest

import fastbp
from fastbp import LSTM, CategoryEmbedding, Dense, Embedding, Flatten, Masking, MaxNorm
from fastbp.engine import limits
from fastbp.engine import lookup_plan as tables
from fastbp.engine.cut import Purpose
from fastbp.engine.network import Network
from fastbp.engine.plan import Plan
from fastbp.engine.snapshot import Reach
from fastbp.optimizers import OPTIMIZERS
from tests.reference import network
from tests.reference.optimizers import UPDATES, clip

ROWS, BATCH, HEIGHT = 50, 12, 500  # the last batch has 2 rows
COMMON = ("weight_decay", "clipvalue", "global_clipnorm")
KEPT = ("clipnorm", "use_ema", "ema_momentum", "ema_overwrite_frequency", "gradient_accumulation_steps")
RATES = {"sgd": 0.1, "adagrad": 0.1, "lion": 0.003}
CHOSEN = [
    *(OPTIMIZERS[name](RATES.get(name, 0.01)) for name in OPTIMIZERS),
    fastbp.SGD(0.05, momentum=0.9),
    fastbp.SGD(0.05, momentum=0.9, nesterov=True),
    fastbp.RMSprop(0.003, momentum=0.9, centered=True),
    fastbp.Adam(0.01, amsgrad=True),
]
EXTRAS = {
    "plain": {},
    "weight decay": {"weight_decay": 0.3},
    "clipvalue": {"clipvalue": 0.01, "weight_decay": 0.1},
    "global_clipnorm": {"global_clipnorm": 0.1},
    "a norm never reached": {"global_clipnorm": 1e6},
}
every_optimizer = pytest.mark.parametrize("optimizer", CHOSEN, ids=repr)
every_extra = pytest.mark.parametrize("extra", list(EXTRAS))


def words(lazy=False):
    """Each row reads four rows of one table."""
    return [Embedding(HEIGHT, 3, "random_normal", lazy=lazy), Flatten(), Dense(2, activation="tanh")]


def columns(lazy=False):
    """Each row reads one row of each of four tables."""
    return [CategoryEmbedding([HEIGHT, 3, 40, HEIGHT], [3, 2, 17, 1], lazy=lazy), Dense(2, activation="tanh")]


def problem(rows=ROWS, limits=(HEIGHT, 3, 40, HEIGHT)):
    """Ids with repetitions, within rows too, and both ends of each table."""
    rng = np.random.default_rng(3)
    x = np.stack([(limit * rng.uniform(size=rows) ** 3).astype(int) for limit in limits], 1)
    x[5], x[6], x[-1] = 0, np.array(limits) - 1, np.array(limits) - 1
    x[9, -1] = x[9, 0]
    return x, rng.standard_normal((rows, 2))


def build(layers, optimizer="adam", dtype="float32", loss="mean_squared_error"):
    model = fastbp.Sequential(layers, input_shape=(4,), seed=3, dtype=dtype)
    model.compile(optimizer, loss)
    return model


def row_by_row(monkeypatch, always=True):
    """Make the gradients of all tables row by row, or (of those that are not lazy) of none."""
    monkeypatch.setattr(tables, "BYTES", 0 if always else 10**9)
    monkeypatch.setattr(limits, "PARTIAL_BYTES", 0)


def tables_of(model, rows=BATCH):
    return list(Plan(model.engine.network, rows, 2, model.dtype, model.engine.training_purpose()).tables)


def bits(model):
    return model.params.tobytes(), model.engine.state.tobytes()


def trained(layers, optimizer="adam", dtype="float32", epochs=3):
    model = build(layers, optimizer, dtype)
    model.fit(*problem(), epochs=epochs, batch_size=BATCH, verbose=0)
    return model


@every_extra
@every_optimizer
def test_the_default_has_the_bits_of_a_dense_gradient(monkeypatch, optimizer, extra):
    optimizer = dataclasses.replace(optimizer, **EXTRAS[extra])
    for layers in (words(), columns()):
        row_by_row(monkeypatch, always=False)
        dense = trained(layers, optimizer)
        assert tables_of(dense) == []
        row_by_row(monkeypatch)
        made = trained(layers, optimizer)
        assert len(tables_of(made)) == len(made.views) - 2
        assert bits(made) == bits(dense)


@pytest.mark.parametrize("items", [2, 7, 16])
def test_the_same_bits_whatever_the_items(monkeypatch, items):
    row_by_row(monkeypatch, always=False)
    dense = trained(words(), "adamw")
    row_by_row(monkeypatch)
    monkeypatch.setattr(tables, "ITEM_ENTRIES", HEIGHT * 3 // items)
    monkeypatch.setattr(tables, "MAX_ITEMS", items)
    made = trained(words(), "adamw")
    counted = Plan(made.engine.network, BATCH, 2, made.dtype, made.engine.training_purpose()).items
    assert (counted["reads"] > 0).sum() == items
    assert bits(made) == bits(dense)


@every_extra
def test_the_dense_formula_in_numpy(monkeypatch, extra):
    """Ids of the batch in one table of a network; the whole vector is updated, as the formula has it."""
    row_by_row(monkeypatch)
    optimizer = fastbp.Adam(0.01, **EXTRAS[extra])
    model = build(words(), optimizer, "float64")
    expected = reference_params(model, optimizer, lazy=False)
    model.fit(*problem(), epochs=2, batch_size=BATCH, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.params, expected, rtol=1e-9, atol=1e-12)


@every_extra
@every_optimizer
def test_lazy_rows_in_numpy(optimizer, extra):
    optimizer = dataclasses.replace(optimizer, **EXTRAS[extra])
    for layers in (words(lazy=True), columns(lazy=True)):
        model = build(layers, optimizer, "float64")
        before = model.params.copy()
        expected = reference_params(model, optimizer, lazy=True)
        model.fit(*problem(), epochs=2, batch_size=BATCH, shuffle=False, verbose=0)
        np.testing.assert_allclose(model.params, expected, rtol=1e-9, atol=1e-11)
        assert np.array_equal(model.params == before, expected == before)


def reference_params(model, optimizer, lazy, epochs=2):
    """Return the parameters after some epochs: each row of a lazy table has a state of its own, and moves if read."""
    settings = {f.name: getattr(optimizer, f.name) for f in dataclasses.fields(optimizer) if f.name not in KEPT}
    lr, common = settings.pop("learning_rate"), {name: settings.pop(name) for name in COMMON}
    decay, update, states, steps = common.pop("weight_decay") or 0.0, UPDATES[optimizer.name], {}, {}
    p, like, (x, y) = model.params.copy(), network.weights_of(model), problem()
    firsts = list(range(0, ROWS, BATCH)) * epochs
    for t, first in enumerate(firsts, start=1):
        batch = slice(first, first + BATCH)
        arguments = network.unflatten(p, like), x[batch].astype(float), y[batch], "mean_squared_error"
        g = clip(network.flatten(network.value_and_grad(model.layers, *arguments)[1]), **common)
        passed = dict(steps)
        update(np.zeros(1), np.zeros(1), steps, t, lr, **settings)
        for entries in moved(model, x[batch], lazy):
            state = states.setdefault(entries[0], {})
            # Nadam's product of momenta is the model's, as its step is.
            state |= {name: passed[name] for name in ("product",) if name in passed}
            p[entries] = update(p[entries] * (1 - decay * lr), g[entries], state, t, lr, **settings)
    return p


def moved(model, x, lazy):
    """Return the entries that a batch moves, in parts that have the same history."""
    parts = []
    for placed in model.engine.network.params:
        entries = np.arange(placed.start, placed.stop)
        if lazy and placed.param.lookup:
            count, first, _ = placed.param.lookup
            parts += list(entries.reshape(placed.param.shape)[np.unique(x[:, first : first + count])])
        else:
            parts.append(entries)
    return parts


def test_lazy_rows_keep_what_others_lose():
    x, y = problem()
    lazy, eager = (build(words(choice), fastbp.AdamW(0.1)) for choice in (True, False))
    start = lazy.views["embedding/embeddings"].copy()
    for model in (lazy, eager):
        model.fit(x, y, batch_size=BATCH, verbose=0)
    read = np.isin(np.arange(HEIGHT), x)
    assert 0 < read.sum() < HEIGHT // 2
    for model, others_move in ((lazy, False), (eager, True)):
        assert ((model.views["embedding/embeddings"] != start).all(1) == read | others_move).all()
    state = lazy.engine.state.reshape(2, -1)[:, : start.size].reshape(2, HEIGHT, 3)
    assert ((state != 0).any(axis=(0, 2)) == read).all()


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("extra", list(EXTRAS))
def test_same_bits_at_any_number_of_threads(monkeypatch, run_threads, lazy, extra):
    row_by_row(monkeypatch)
    for name, value in (("ITEM_ENTRIES", 10), ("MAX_ITEMS", 7)):
        monkeypatch.setattr(tables, name, value)
    monkeypatch.setattr(limits, "THREAD_UPDATES", 0)
    found = set()
    for n_threads in (1, 2, 3):
        run_threads(n_threads)
        for layers in (words(lazy), columns(lazy)):
            found.add(bits(trained(layers, fastbp.Adam(0.01, **EXTRAS[extra]))))
        assert n_threads == 1 or n_threads in run_threads.used
    assert len(found) == 2


@pytest.mark.parametrize("lazy", [False, True])
def test_training_leaves_the_dense_gradient_alone(monkeypatch, lazy):
    row_by_row(monkeypatch)
    model, (x, y) = trained(words(lazy)), problem()
    model.train_on_batch(x, y)
    assert not model.grads[: HEIGHT * 3].any()
    _, grad = model.value_and_grad(x, y)
    assert (grad[: HEIGHT * 3].reshape(-1, 3).any(1) == np.isin(np.arange(HEIGHT), x)).all()
    model.train_on_batch(x, y)
    assert np.array_equal(model.grads[: HEIGHT * 3], grad[: HEIGHT * 3])


@every_extra
@pytest.mark.parametrize("lazy", [False, True])
def test_a_step_by_hand_has_the_bits_of_training(monkeypatch, lazy, extra):
    row_by_row(monkeypatch)
    one, two = (build(words(lazy), fastbp.Adam(0.01, **EXTRAS[extra])) for _ in range(2))
    x, y = problem()
    for _ in range(3):
        one.train_on_batch(x, y)
        two.value_and_grad(x, y, training=True)
        two.apply_gradients()
        assert bits(one) == bits(two)


def test_only_large_tables_are_made_row_by_row():
    layers = [CategoryEmbedding([100_000, 3, 400, 20_000], [16, 8, 300, 7]), Dense(2)]
    names = ["categoryembedding/column_0", "categoryembedding/column_3"]
    # 20,000 x 7 float32 are 560 kB; 400 x 300 are fewer.
    for rows in (1, 256, 20_000):
        assert tables_of(build(layers), rows) == names
    # The activations of so many rows are cut into chunks.
    assert tables_of(build(layers), 1_000_000) == []
    assert not Plan(Network(layers, (4,)), 256, 2, np.float32, Purpose(training=False)).tables
    layers[0] = CategoryEmbedding([3, 3, 3, 3], 1, lazy=True)
    assert len(tables_of(build(layers), 10_000)) == 4


def test_some_tables_of_several(monkeypatch):
    monkeypatch.setattr(tables, "BYTES", 3000)
    monkeypatch.setattr(limits, "PARTIAL_BYTES", 0)
    made = trained(columns(), "adamw")
    assert tables_of(made) == ["categoryembedding/column_0"]
    row_by_row(monkeypatch, always=False)
    assert bits(made) == bits(trained(columns(), "adamw"))


@pytest.mark.parametrize("height", [1, 2, 255, 256, 257, 65_537, 2**24])
def test_tables_of_any_height(height):
    """The ends of the table, and equal ids added in batch order: float32 sums depend on it."""
    model = build([Embedding(height, 1, "zeros", lazy=True), Flatten()], fastbp.SGD(1.0), "float32")
    ids = np.array([0, height - 1, height // 2, height - 1], np.float32)[None].repeat(40, 0)
    y = (10.0 ** np.random.default_rng(0).uniform(-4, 4, ids.shape)).astype(np.float32)
    model.train_on_batch(ids, y)
    # g = 2 * (out - y) / entries, of which a batch has 160
    expected, parts = {}, -(y * np.float32(2 / y.size))
    for i, g in zip(ids.ravel().astype(int), parts.ravel(), strict=True):
        expected[i] = np.float32(expected.get(i, np.float32(0)) + g)
    table = model.params
    assert set(np.flatnonzero(table)) == set(expected)
    np.testing.assert_allclose([table[i] for i in expected], [-g for g in expected.values()], rtol=3e-7)


def test_room_does_not_grow_with_a_lazy_table():
    made = [
        Plan(Network(words_of(height, lazy=True), (4,)), 256, 2, np.float32, Purpose(training=True))
        for height in (1000, 1_000_000)
    ]
    assert made[0].work_size == made[1].work_size
    assert made[0].ids_size == made[1].ids_size
    assert len(made[0].items) == len(made[1].items)


def words_of(height, lazy=False):
    return [Embedding(height, 16, lazy=lazy), Flatten(), Dense(2)]


def test_snapshots_hold_the_rows_of_the_data():
    model, x = build(words_of(100_000, lazy=True)), problem()[0]
    rows, reach = len(np.unique(x)), Reach(model.engine.network, x.astype(np.float32))
    dense = model.params.size - 100_000 * 16
    assert sum(copy.size for copy in reach.take(model.params)) == rows * 16 + dense
    assert sum(copy.size for copy in reach.take(model.engine.state)) == 2 * (rows * 16 + dense)
    everything = np.arange(100_000).reshape(-1, 4).astype(np.float32)
    assert sum(copy.size for copy in Reach(model.engine.network, everything).take(model.params)) == model.params.size
    before = model.params.copy()
    snapshot = model.engine.snapshot(reach)
    model.train_on_batch(*problem())
    assert (model.params != before).sum() > rows
    model.engine.restore(snapshot)
    assert np.array_equal(model.params, before)
    assert not model.engine.state.any()


@pytest.mark.parametrize("place", ["row", "other parameter", "state"])
def test_the_look_for_nan_sees_the_rows_of_the_data(place):
    model, x = build(words_of(10_000, lazy=True)), problem()[0]
    reach, row = Reach(model.engine.network, x.astype(np.float32)), int(x.max())
    assert model.engine.is_finite(reach)
    if place == "state":
        model.engine.state[model.params.size + 16 * row] = np.nan
    else:
        model.params[16 * row if place == "row" else -1] = np.nan
    assert not model.engine.is_finite(reach)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_diverging_fit_restores_everything(monkeypatch, lazy):
    row_by_row(monkeypatch)
    model, (x, y) = trained(words(lazy), fastbp.SGD(0.1, momentum=0.9)), problem()
    before = bits(model), model.step, model.engine.epoch
    y[40] = 1e38  # its square overflows
    with pytest.raises(fastbp.TrainingDiverged):
        model.fit(x, y, epochs=2, batch_size=BATCH, verbose=0)
    assert (bits(model), model.step, model.engine.epoch) == before


@pytest.mark.parametrize("lazy", [False, True])
def test_resumed_training_has_the_same_bits(monkeypatch, tmp_path, lazy):
    row_by_row(monkeypatch)
    whole, half = trained(columns(lazy), epochs=4), trained(columns(lazy), epochs=2)
    half.save(tmp_path / "m.fastbp")
    again = fastbp.load_model(tmp_path / "m.fastbp")
    assert again.layers == whole.layers
    again.fit(*problem(), epochs=2, batch_size=BATCH, verbose=0)
    assert bits(again) == bits(whole)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_frozen_table_stays(monkeypatch, lazy):
    row_by_row(monkeypatch)
    layers = [Embedding(HEIGHT, 3, lazy=lazy, trainable=False), Flatten(), Dense(2)]
    model = trained(layers, "adamw")
    assert tables_of(model) == []
    assert np.array_equal(model.params[: HEIGHT * 3], build(layers).params[: HEIGHT * 3])


def test_lazy_learning_rate_and_decay_factors():
    x, y = problem()
    settings = {"learning_rate_factor": 0.5, "decay_factor": 3.0, "lazy": True}
    model = build([Embedding(HEIGHT, 3, **settings), Flatten()], fastbp.SGD(0.1, weight_decay=0.2), "float64")
    y = np.random.default_rng(0).standard_normal((ROWS, 12))
    table = model.params.copy()
    _, grad = model.value_and_grad(x, y)
    model.train_on_batch(x, y)
    read = np.isin(np.arange(HEIGHT), x).repeat(3)
    expected = np.where(read, table * (1 - 0.05 * 0.2 * 3) - 0.05 * grad, table)
    np.testing.assert_allclose(model.params, expected, rtol=1e-12)


def sequences(mask_zero=True, lazy=False, **more):
    return [Embedding(30, 5, "random_normal", mask_zero=mask_zero, lazy=lazy), LSTM(4, **more), Dense(2)]


def test_zeros_are_skipped():
    """As if they were not there: at the end, at the start and in between."""
    model = build(sequences(), dtype="float64")
    short = fastbp.Sequential(sequences(mask_zero=False), input_shape=(2,), seed=3, dtype="float64")
    assert np.array_equal(short.params, model.params)
    expected = short.predict([[7, 3]])[0]
    for row in ([7, 3, 0, 0], [0, 0, 7, 3], [7, 0, 0, 3]):
        np.testing.assert_allclose(model.predict([row])[0], expected, rtol=1e-12)
    assert not np.allclose(build(sequences(mask_zero=False), dtype="float64").predict([[7, 3, 0, 0]])[0], expected)


@pytest.mark.parametrize("lazy", [False, True])
def test_masked_sequences(monkeypatch, lazy):
    """Finite differences, and the same training as with a Masking layer behind rows of zeros for category 0."""
    row_by_row(monkeypatch)
    x, y = problem(limits=(30, 30, 30, 30))
    x[:, 2:] *= np.arange(ROWS)[:, None] % 3 > 0
    layers = [*sequences(lazy=lazy, return_sequences=True)[:2], LSTM(3), Dense(2)]
    model = build(layers, dtype="float64")
    fastbp.check_gradients(model, x, y)
    masked = build([layers[0].__class__(30, 5, "random_normal", lazy=lazy), Masking(), *layers[1:]], dtype="float64")
    for one in (model, masked):
        one.views["embedding/embeddings"][0] = 0
        one.train_on_batch(x, y)
        # Adam's step of row 0, whose gradient is zero, is zero.
    np.testing.assert_allclose(model.params, masked.params, rtol=1e-12)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("layers", [words, columns], ids=["words", "columns"])
def test_finite_differences(monkeypatch, layers, lazy):
    row_by_row(monkeypatch)
    assert fastbp.check_gradients(build(layers(lazy), dtype="float64"), *problem()).max_relative_error < 1e-7


def test_regularizer_and_constraint(monkeypatch):
    row_by_row(monkeypatch)
    settings = {"embeddings_regularizer": "l2", "embeddings_constraint": MaxNorm(0.5)}
    model = build([Embedding(HEIGHT, 3, "random_normal", **settings), Flatten(), Dense(2)], dtype="float64")
    assert tables_of(model) == []
    fastbp.check_gradients(model, *problem(), tolerance=1e-7)
    model.train_on_batch(*problem())
    norms = np.linalg.norm(model.views["embedding/embeddings"], axis=0)
    np.testing.assert_allclose(norms, 0.5, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Embedding(3, 2, lazy=True, embeddings_regularizer="l2"), r"lazy=True, embeddings_regularizer=L2\("),
        (lambda: Embedding(3, 2, lazy=True, embeddings_constraint=MaxNorm()), "lazy=True, embeddings_constraint=Max"),
        (lambda: Embedding(3, 2, lazy="no"), "lazy='no'"),
        (lambda: Embedding(3, 2, mask_zero=1), "mask_zero=1"),
        (lambda: CategoryEmbedding([3, 2], lazy=0), r"CategoryEmbedding\(lazy=0\)"),
        (
            lambda: build([fastbp.Reshape((2, 2)), Embedding(3, 2, mask_zero=True)]),
            r"mask_zero=True\) takes sequences, .* shape \(2, 2\)",
        ),
    ],
)
def test_wrong_settings_name_the_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()
