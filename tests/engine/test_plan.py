"""Plans: both schemes and every way of cutting give the same gradients; nothing depends on threads or overlaps."""

from itertools import pairwise

import numpy as np
import pytest

import fastbp
from fastbp import Dense, Dropout, PReLU
from fastbp.engine import limits
from fastbp.engine.cut import Purpose, round_up
from fastbp.engine.network import Network
from fastbp.engine.plan import Plan
from tests.layers.test_layers import assert_near
from tests.reference import network
from tests.reference.rng import dropout_masks

ROWS = 301
LAYERS = [
    Dense(19, activation="gelu", kernel_regularizer="l2", bias_initializer="ones", bias_regularizer="l1"),
    Dropout(0.3),
    PReLU("random_uniform", alpha_regularizer="l2"),
    Dense(11, activation="tanh"),
    Dense(3),
]
# Constants that cut small data: what is forced, the constants, and whether the plan is sliced.
SCHEMES = {
    "as it comes": ({}, True),
    "one slice of chunks": ({"CHUNK_BYTES": 1}, True),
    "slices of one chunk": ({"SLICE_MULTIPLY_ADDS": 1}, True),
    "slices of chunks": ({"SLICE_MULTIPLY_ADDS": 1, "MAX_SLICES": 3, "CHUNK_BYTES": 1}, True),
    "whole batch, one chunk": ({"PARTIAL_BYTES": 0}, False),
    "whole batch, chunks": ({"PARTIAL_BYTES": 0, "CHUNK_BYTES": 1}, False),
    "whole batch, slices": ({"PARTIAL_BYTES": 0, "SLICE_MULTIPLY_ADDS": 1}, False),
    "whole batch, many items": ({"PARTIAL_BYTES": 0, "ITEM_MULTIPLY_ADDS": 1}, False),
    "chunks, many items": ({"CHUNK_BYTES": 1, "ITEM_MULTIPLY_ADDS": 1}, True),
    "slices, many items": ({"SLICE_MULTIPLY_ADDS": 1, "ITEM_MULTIPLY_ADDS": 1}, True),
    "too large for one workspace": ({"PARTIAL_BYTES": 0, "WORKSPACE_BYTES": 1, "SLICE_MULTIPLY_ADDS": 1}, True),
}
every_scheme = pytest.mark.parametrize("scheme", list(SCHEMES))


def force(monkeypatch, scheme):
    constants, sliced = SCHEMES[scheme]
    for name, value in constants.items():
        monkeypatch.setattr(limits, name, value)
    return sliced


def build(dtype="float64", optimizer="sgd"):
    model = fastbp.Sequential(LAYERS, input_shape=(13,), seed=2, dtype=dtype)
    model.compile(optimizer, "mean_squared_error")
    return model


def problem(rows=ROWS):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, 13)), rng.standard_normal((rows, 3))


def plan_of(model, rows=ROWS):
    return Plan(model.engine.network, rows, 3, model.dtype, model.engine.training_purpose())


def test_schemes_cut_as_they_say(monkeypatch):
    """Every scheme differs from the others in slices, chunks or items."""
    seen = set()
    for scheme in SCHEMES:
        with monkeypatch.context() as patch:
            sliced = force(patch, scheme)
            made = plan_of(build())
            assert made.sliced == sliced, scheme
            seen.add((made.sliced, made.slice_rows, made.chunk_rows, len(made.items)))
    assert len(seen) >= 7


@every_scheme
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_every_scheme_has_the_reference_s_gradient(monkeypatch, scheme, dtype, tolerance):
    force(monkeypatch, scheme)
    x, y = problem()
    model = build(dtype)
    value, grad = model.value_and_grad(x, y, training=True)
    masks = dropout_masks(model, ROWS, step=0)
    expected = network.value_and_grad(model.layers, network.weights_of(model), x, y, "mean_squared_error", masks=masks)
    assert value == pytest.approx(expected[0], rel=tolerance)
    assert_near(grad, network.flatten(expected[1]), tolerance)


@every_scheme
def test_every_scheme_has_the_reference_s_input_gradient(monkeypatch, scheme):
    force(monkeypatch, scheme)
    x, dout = problem()
    model = build()
    dx = model.vjp(x, dout, training=True)
    weights, masks = network.weights_of(model), dropout_masks(model, ROWS, step=0)
    _, tape = network.forward(model.layers, weights, x, masks)
    expected_dx, expected = network.backward(tape, dout)
    assert_near(dx, expected_dx, 1e-12)
    assert_near(model.grads, network.flatten(expected), 1e-12)


@every_scheme
def test_every_scheme_trains_alike(monkeypatch, scheme):
    """Shuffled batches, the last one short; outputs for the metrics come back to their rows."""
    x, y = problem()
    plain = build(optimizer="adam")
    plain.compile("adam", "mean_squared_error", ["mean_absolute_error"])
    first = plain.fit(x, y, epochs=3, batch_size=120, verbose=0).history
    force(monkeypatch, scheme)
    other = build(optimizer="adam")
    other.compile("adam", "mean_squared_error", ["mean_absolute_error"])
    second = other.fit(x, y, epochs=3, batch_size=120, verbose=0).history
    np.testing.assert_allclose(other.params, plain.params, rtol=1e-9, atol=1e-11)
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values, rtol=1e-9, err_msg=name)


@every_scheme
def test_every_scheme_predicts_the_same_bits(monkeypatch, scheme):
    x, _ = problem()
    expected = build("float32").predict(x)
    force(monkeypatch, scheme)
    assert np.array_equal(build("float32").predict(x), expected)


@every_scheme
def test_value_without_gradient_is_the_same(monkeypatch, scheme):
    force(monkeypatch, scheme)
    x, y = problem()
    model = build()
    assert model.evaluate(x, y) == pytest.approx(model.value_and_grad(x, y)[0], rel=1e-13)


@pytest.mark.parametrize("rows", [1, 2, 31, 32, 33, 64, 95, ROWS])
def test_short_batches_of_a_larger_plan(monkeypatch, rows):
    """A plan for 301 rows that runs fewer: some slices stay empty, their partial sums unread."""
    monkeypatch.setattr(limits, "SLICE_MULTIPLY_ADDS", 1)
    x, y = problem(ROWS + rows)
    model, reference = build(optimizer=fastbp.SGD(0.1)), build(optimizer=fastbp.SGD(0.1))
    model.fit(x, y, batch_size=ROWS, shuffle=False, verbose=0)
    reference.train_on_batch(x[:ROWS], y[:ROWS])
    reference.train_on_batch(x[ROWS:], y[ROWS:])
    np.testing.assert_allclose(model.params, reference.params, rtol=1e-12, atol=1e-14)


def regions_of(made):
    """Return the (start, stop) of every region of the workspace that the plan hands out."""
    layout, rows = made.layout[0], made.region_rows
    regions = [(layout["x"], layout["n_in"]), (layout["y"], layout["n_targets"]), (layout["weight"], 1)]
    regions += [(row["out"], row["n_out"]) for row in made.table] + [(row["dout"], row["n_out"]) for row in made.table]
    if layout["dx"] >= 0:
        regions.append((layout["dx"], layout["n_in"]))
    return [(int(start), int(start + width * rows)) for start, width in regions]


@every_scheme
@pytest.mark.parametrize(
    "purpose",
    [
        Purpose(training=True),
        Purpose(training=True, input_gradient=True),
        Purpose(training=True, keep_batch=True),
        Purpose(training=False),
        Purpose(training=False, fused_output=True),
    ],
    ids=["training", "dx", "kept", "prediction", "evaluation"],
)
def test_regions_do_not_overlap(monkeypatch, scheme, purpose):
    force(monkeypatch, scheme)
    made = Plan(Network(LAYERS, (13,)), ROWS, 3, np.float32, purpose)
    regions = sorted(regions_of(made))
    assert regions[0][0] >= 0
    assert all(stop <= start for (_, stop), (start, _) in pairwise(regions))
    assert regions[-1][1] <= made.work_size
    assert made.sliced is False or not purpose.keep_batch


@every_scheme
def test_items_cover_the_trainable_parameters_once(monkeypatch, scheme):
    force(monkeypatch, scheme)
    layers = [*LAYERS, Dense(9, trainable=False), Dense(40, kernel_constraint="max_norm")]
    folded = Network(layers, (13,))
    made = Plan(folded, ROWS, 40, np.float32, Purpose(training=True))
    covered = np.zeros(folded.n_params, int)
    for item in made.items:
        covered[item["start"] : item["stop"]] += 1
        assert item["stop"] - item["start"] == (item["end"] - item["first"]) * item["columns"]
    for placed in folded.params:
        assert (covered[placed.start : placed.stop] == folded.layers[placed.layer].spec.trainable).all(), placed.name
    sizes = made.items["stop"] - made.items["start"]
    assert (np.diff(sizes) <= 0).all()


def test_slices_cover_every_batch(small_work):
    for rows in (1, 31, 32, 33, 500, 5000):
        made = plan_of(build(), rows)
        assert (made.slices(rows) - 1) * made.slice_rows < rows <= made.slices(rows) * made.slice_rows
        assert made.n_slices <= limits.MAX_SLICES or not made.sliced
        assert made.chunk_rows <= made.slice_rows


def test_plans_do_not_ask_for_threads(monkeypatch):
    """The same cuts whatever the number of threads or cores."""
    made = []
    for n in (1, 2):
        fastbp.set_num_threads(n)
        made.append(plan_of(build()))
    fastbp.set_num_threads(None)
    assert made[0].layout.tobytes() == made[1].layout.tobytes()
    assert [row.tobytes() for row in made[0].table] == [row.tobytes() for row in made[1].table]
    assert made[0].items.tobytes() == made[1].items.tobytes()


def test_memory_stays_bounded_for_tall_batches():
    """A million rows at once: the workspace of a training step holds chunks, not the batch."""
    wide = Network([Dense(512, activation="relu"), Dense(512, activation="relu"), Dense(1)], (512,))
    made = Plan(wide, 1_000_000, 1, np.float32, Purpose(training=True))
    assert made.sliced
    assert made.work_size * 4 < limits.WORKSPACE_BYTES


def test_round_up():
    assert [round_up(value, 16) for value in (0, 1, 16, 17)] == [0, 16, 16, 32]


def test_tall_batches_have_more_slices():
    """So that phase 1 has work for many cores: one for 256 rows, 64 at most; by the sizes alone."""
    counts = {rows: plan_of(build(), rows).n_slices for rows in (2_000, 10_000, 100_000)}
    assert counts[2_000] <= 16 < counts[10_000] <= 40 < counts[100_000] <= 64
