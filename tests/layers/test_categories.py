"""Categories and chosen columns: every way of cutting a batch, equal categories, and what is refused where."""

import numpy as np
import pytest

import fastbp
from fastbp import CategoryEmbedding, Columns, Concatenate, Dense, Embedding, Flatten, OneHot, Reshape, Residual
from tests.engine.test_plan import SCHEMES, force
from tests.layers.test_layers import assert_near
from tests.reference import network

MIXED = [
    Concatenate([
        [Columns([0, 2]), Dense(3, activation="tanh")],
        [Columns([1, 4]), CategoryEmbedding([5, 40], [2, 9])],
        [Columns([3]), Embedding(7, 4), Flatten()],
        [Columns(range(3, 5)), OneHot([7, 40])],
    ]),
    Dense(11, activation="gelu"),
    Dense(2),
]  # fmt: skip


def build(layers=MIXED, dtype="float64", columns=5):
    model = fastbp.Sequential(layers, input_shape=(columns,), seed=3, dtype=dtype)
    model.compile("adam", "mean_squared_error")
    return model


def problem(n=301):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((n, 5))
    for column, size in ((1, 5), (3, 7), (4, 40)):
        x[:, column] = rng.integers(0, size, n)
    return x, rng.standard_normal((n, 2))


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 3e-5)])
def test_every_scheme_has_the_reference_s_gradient(monkeypatch, scheme, dtype, tolerance):
    force(monkeypatch, scheme)
    x, y = problem()
    model = build(dtype=dtype)
    weights = network.weights_of(model)
    value, grad = model.value_and_grad(x, y)
    expected = network.value_and_grad(model.layers, weights, x, y, "mean_squared_error")
    assert value == pytest.approx(expected[0], rel=tolerance)
    assert_near(grad, network.flatten(expected[1]), tolerance)
    dx, _ = network.backward(network.forward(model.layers, weights, x)[1], y)
    assert_near(model.vjp(x, y), dx, tolerance)


def test_same_bits_at_one_and_two_threads(small_work, run_threads):
    x, y = problem()
    params = []
    for n_threads in (1, 2):
        run_threads(n_threads)
        model = build(dtype="float32")
        model.fit(x, y, epochs=2, batch_size=100, verbose=0)
        params.append(model.params.copy())
    assert 2 in run_threads.used
    assert params[0].tobytes() == params[1].tobytes()


def test_a_saved_model_is_the_same(tmp_path):
    x, y = problem(64)
    model = build(dtype="float32")
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "m.fastbp")
    again = fastbp.load_model(tmp_path / "m.fastbp")
    assert again.layers == model.layers
    assert np.array_equal(again.predict(x), model.predict(x))


def test_an_embedding_of_several_axes():
    model = build([Reshape((2, 2)), Embedding(9, 3)], columns=4)
    x = np.array([[0, 8, 3, 3], [1, 1, 1, 2]])
    assert np.array_equal(model.predict(x), model.views["embedding/embeddings"][x.reshape(2, 2, 2)])


def test_equal_categories_add_up():
    model = build([Embedding(3, 2), Flatten()], columns=2)
    model.vjp([[1, 1], [1, 2]], [[1.0, 2.0, 10.0, 20.0], [100.0, 200.0, 7.0, 8.0]])
    assert model.grads.reshape(3, 2).tolist() == [[0, 0], [111, 222], [7, 8]]


def test_the_last_category_of_the_largest_table_is_exact():
    model = build([Embedding(2**24, 1, "zeros")], "float32", 1)
    model.params[-2:] = 5, 6
    assert model.predict([[2**24 - 2], [2**24 - 1], [0]]).ravel().tolist() == [5, 6, 0]
    with pytest.raises(ValueError, match=r"x\[0, 0\] is 1\.67772e\+07"):
        model.predict([[2**24]])


def test_initial_values():
    model = build([CategoryEmbedding([1000, 2000], 8)], columns=2)
    assert abs(model.params.std() - 1) < 0.02
    model = build([Embedding(3000, 8)], columns=2)
    assert 0.049 < np.abs(model.params).max() <= 0.05


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (
            1,
            5,
            r"x\[7, 1\] is 5: CategoryEmbedding takes whole numbers from 0 to 4 there",
        ),
        (1, -1, r"x\[7, 1\] is -1: "),
        (4, 2.5, r"x\[7, 4\] is 2.5: CategoryEmbedding takes whole numbers from 0 to 39"),
        (3, 7, r"x\[7, 3\] is 7: Embedding\(input_dim=7\) takes whole numbers from 0 to 6 there \(layer 'embedding'\)"),
    ],
)
def test_unknown_categories_are_refused_before_anything_changes(column, value, message):
    x, y = problem(20)
    x[7, column] = value
    model = build()
    model.train_on_batch(*problem(20))
    state = [array.copy() for array in (model.params, model.grads, model.engine.state)]
    for use in (model.predict, *(lambda x, f=f: f(x, y) for f in (model.fit, model.evaluate, model.vjp,
                model.value_and_grad, model.train_on_batch))):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            use(x)
    with pytest.raises(ValueError, match=f"validation_data: {message}"):
        model.fit(*problem(20), validation_data=(x, y))
    assert all(
        np.array_equal(*pair) for pair in zip(state, (model.params, model.grads, model.engine.state), strict=True)
    )


def test_a_missing_category_is_refused_at_prediction():
    x, _ = problem(20)
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"x\[3, 1\] is nan"):
        build().predict(x)


def test_a_new_model_with_unknown_categories_is_not_built():
    model = fastbp.Sequential([Embedding(3, 2), Flatten(), Dense(2)])
    model.compile("adam", "mean_squared_error")
    with pytest.raises(ValueError, match="is 3: "):
        model.fit([[1.0, 3.0]], [[0.0, 0.0]])
    assert model.engine is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Columns([]), r"columns=\[\]"),
        (lambda: Columns([0, -1]), r"columns=\[0, -1\]"),
        (lambda: Columns([0.5]), r"columns=\[0\.5\]"),
        (lambda: build([Columns([1, 5])]), r"among them number 5; .* shape \(5,\)"),
        (lambda: build([Reshape((1, 5)), Columns([0])]), r"shape \(1, 5\)"),
        (lambda: Embedding(0, 2), "input_dim=0"),
        (lambda: Embedding(2**24 + 1, 2), "input_dim=16777217"),
        (lambda: Embedding(2, 0), "output_dim=0"),
        (lambda: CategoryEmbedding(3), "cardinalities=3"),
        (lambda: CategoryEmbedding([3, 0]), r"cardinalities=\[3, 0\]"),
        (lambda: CategoryEmbedding([3, 2], [1]), r"output_dims=\[1\]\): it is a size, or one for each of the 2"),
        (lambda: CategoryEmbedding([3], 0), "output_dims=0"),
        (lambda: build([CategoryEmbedding([3, 2])]), r"cardinalities of 2 columns; its inputs have shape \(5,\)"),
        (lambda: OneHot([]), r"cardinalities=\[\]"),
        (lambda: build([OneHot([2])]), "cardinalities of 1 columns"),
        (lambda: build([Dense(5), Embedding(3, 2)]), "'embedding' takes categories, which come from the model's input"),
        (lambda: build([Residual([Columns([1] * 5)]), Embedding(3, 2)]), "'embedding' takes categories"),
    ],
)  # fmt: skip
def test_wrong_use_names_the_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()
