"""Sequential.explain, outputs_of and layer_statistics, against JAX and against formulas."""

import copy
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fastbp
from fastbp import BatchNormalization, Columns, Concatenate, Dense, Dropout, Embedding, Flatten, OneHot, Residual
from fastbp.explain import InputGradients, IntegratedGradients, SmoothGrad

RNG = np.random.default_rng(3)
X = RNG.normal(size=(20, 4))


def smooth(**settings):
    """A network of three outputs whose every layer JAX has a line for, its statistics moved by some training."""
    layers = [
        Dense(6, "tanh"),
        BatchNormalization(),
        Dropout(0.3),
        Residual([Dense(6, "tanh")]),
        Dense(3, "softmax"),
    ]
    model = fastbp.Sequential(layers, seed=1, dtype="float64", **settings)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, RNG.integers(0, 3, len(X)), epochs=2, verbose=0)
    return model


@pytest.fixture(scope="module")
def model():
    return smooth()


def in_jax(model):
    """The same network, of one row."""
    w = {name: jnp.asarray(view) for name, view in model.views.items()}

    def outputs(x):
        h = jnp.tanh(x @ w["dense/kernel"] + w["dense/bias"])
        scale = w["batchnormalization/gamma"] / jnp.sqrt(w["batchnormalization/moving_variance"] + 1e-3)
        h = (h - w["batchnormalization/moving_mean"]) * scale + w["batchnormalization/beta"]
        h = h + jnp.tanh(h @ w["dense_1/kernel"] + w["dense_1/bias"])
        return jax.nn.softmax(h @ w["dense_2/kernel"] + w["dense_2/bias"])

    return outputs


def test_gradients_are_those_of_jax(model):
    jacobians = jax.vmap(jax.jacobian(in_jax(model)))(X)  # (n, k, d)
    found = model.explain(X, "gradients")
    np.testing.assert_allclose(found.values, np.moveaxis(jacobians, 1, 2), rtol=1e-9, atol=1e-12)
    assert found.base_values is None
    assert found.error is None
    np.testing.assert_array_equal(model.explain(X, InputGradients(), output=2).values, found.values[..., 2])
    np.testing.assert_array_equal(model.explain(X, "gradients", output=-1).values, found.values[..., 2])


def test_integrated_gradients_are_those_of_a_fine_sum_in_jax(model):
    baseline = X.mean(axis=0)
    found = model.explain(X, IntegratedGradients(baseline), output=1)
    slope = jax.vmap(jax.grad(lambda row: in_jax(model)(row)[1]))
    places = (np.arange(200)[:, None, None] + 0.5) / 200
    rows = (baseline + places * (X - baseline)).reshape(-1, 4)
    mean = np.asarray(slope(rows)).reshape(200, *X.shape).mean(axis=0)
    np.testing.assert_allclose(found.values, mean * (X - baseline), atol=1e-5)
    predicted = model.predict(X)[:, 1]
    np.testing.assert_allclose(found.values.sum(axis=1) + found.base_values, predicted, atol=1e-12)
    np.testing.assert_allclose(found.base_values, model.predict(baseline[None])[0, 1], atol=1e-12)
    assert np.abs(found.error).max() < 1e-4 * predicted.max()
    assert np.abs(found.error).max() > 0  # a rule of points is not exact


def test_smoothgrad_is_the_mean_gradient_over_the_same_noise(model):
    found = model.explain(X, SmoothGrad(noise=0.2, samples=3, seed=5), output=0)
    rng = np.random.Generator(np.random.Philox(key=[5, 0]))
    rows = [X + 0.2 * np.ptp(X) * rng.standard_normal(X.shape) for _ in range(3)]
    expected = np.mean([model.explain(some, "gradients", output=0).values for some in rows], axis=0)
    np.testing.assert_allclose(found.values, expected, rtol=1e-12)


def test_explaining_changes_nothing(model):
    before, grads = copy.deepcopy(model.get_state()[0]), model.grads.copy()
    for method in ("integrated_gradients", "gradients", "smoothgrad"):
        model.explain(X, method)
    model.layer_statistics(X, np.zeros(len(X), int))
    model.outputs_of("dense", X)
    after = model.get_state()[0]
    assert all((after[name] == before[name]).all() for name in before)
    np.testing.assert_array_equal(model.grads, grads)


def test_the_same_bits_at_any_number_of_threads(model, run_threads):
    found = []
    for n in (1, 2):
        run_threads(n)
        found.append(model.explain(X).values)
    np.testing.assert_array_equal(*found)


# Categories


def test_categories_get_what_their_vectors_get():
    """A linear model: each category contributes its vector, less that of the baseline, times the weights."""
    tokens = RNG.integers(0, 5, size=(12, 3))
    model = fastbp.Sequential([Embedding(5, 4), Flatten(), Dense(1)], input_shape=(3,), seed=0, dtype="float64")
    table, kernel = model.views["embedding/embeddings"], model.views["dense/kernel"].reshape(3, 4)
    found = model.explain(tokens, IntegratedGradients([1, 2, 0]))
    expected = ((table[tokens] - table[[1, 2, 0]]) * kernel).sum(axis=2)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    np.testing.assert_allclose(found.values.sum(axis=1) + found.base_values, model.predict(tokens)[:, 0], atol=1e-12)


def mixed_columns():
    branches = [
        [Columns([0, 2])],
        [Columns([1, 3]), fastbp.CategoryEmbedding([4, 6], [2, 3])],
        [Columns([3]), OneHot([6])],
    ]
    return fastbp.Sequential(
        [Concatenate(branches), Dense(5, "tanh"), Dense(2)], input_shape=(4,), seed=0, dtype="float64"
    )


def test_numbers_and_categories_side_by_side():
    x = np.column_stack([RNG.normal(size=9), RNG.integers(0, 4, 9), RNG.normal(size=9), RNG.integers(0, 6, 9)])
    model = mixed_columns()
    found = model.explain(x)
    assert found.values.shape == (9, 4, 2)
    np.testing.assert_allclose(found.values.sum(axis=1) + found.base_values, model.predict(x), atol=1e-12)
    # What is as the baseline has it contributes nothing, whatever it is.
    x[:, 3] = 0
    assert (model.explain(x).values[:, 3] == 0).all()
    assert (model.explain(x).values[:, 0] != 0).all()


@pytest.mark.parametrize(
    ("layers", "shape", "complaint"),
    [
        ([Embedding(5, 4, mask_zero=True), fastbp.GRU(2)], (3,), "mask_zero=True"),
        ([Flatten(), Embedding(5, 4), Flatten(), Dense(1)], (3, 1), "where a model begins"),
        ([Concatenate([[Columns([0])], [OneHot([5, 5, 5])]]), Dense(1)], (3,), "where a model begins"),
        ([fastbp.GRU(2, stateful=True, batch_size=4)], (3, 1), "stateful"),
    ],
)
def test_what_has_no_way_is_refused(layers, shape, complaint):
    model = fastbp.Sequential(layers, input_shape=shape, seed=0)
    with pytest.raises(ValueError, match=complaint):
        model.explain(np.zeros((4, *shape)))


def test_categories_have_no_gradient():
    model = fastbp.Sequential([Embedding(5, 4), Flatten(), Dense(1)], input_shape=(3,), seed=0)
    for method in ("gradients", "smoothgrad"):
        with pytest.raises(ValueError, match=r"takes categories, .* method=\"integrated_gradients\""):
            model.explain(np.zeros((2, 3)), method)
    with pytest.raises(ValueError, match="x\\[0, 1\\] is 7"):
        model.explain([[0, 7, 0]])
    with pytest.raises(ValueError, match="is 7"):
        model.explain([[0, 0, 0]], IntegratedGradients(7))


# Shapes, errors, shap


SHAPED = {
    "pictures": ([fastbp.Conv2D(2, 3), fastbp.MaxPooling2D(2), Flatten(), Dense(2)], (6, 6, 1), (2,)),
    "sequences": ([fastbp.LSTM(3), Dense(1)], (5, 2), ()),
    "steps": ([fastbp.Bidirectional(fastbp.GRU(3, return_sequences=True)), Dense(2)], (5, 2), (5, 2)),
    "members": ([fastbp.RepeatMembers(3), fastbp.MemberDense(2), fastbp.MemberMean()], (4,), (2,)),
}


@pytest.mark.parametrize("name", SHAPED)
def test_every_shape_is_complete(name):
    layers, shape, outputs = SHAPED[name]
    model = fastbp.Sequential(layers, input_shape=shape, seed=0)
    x = RNG.normal(size=(3, *shape))
    found = model.explain(x)
    assert found.values.shape == (3, *shape, *outputs)
    assert found.base_values.shape == (3, *outputs)
    total = found.values.reshape(3, np.prod(shape), *outputs).sum(axis=1) + found.base_values
    np.testing.assert_allclose(total, model.predict(x).reshape(total.shape), atol=1e-5)
    assert found.values.dtype == np.float32
    if len(outputs) == 2:
        np.testing.assert_allclose(model.explain(x, output=(4, 1)).values, found.values[..., 4, 1], atol=1e-6)


def test_jumps_on_the_way_are_told():
    """A step so steep that no point of the rule sees it."""
    model = fastbp.Sequential([Dense(1, "sigmoid")], input_shape=(1,), seed=0)
    model.params[:] = 1e6, -0.7321e6
    with pytest.warns(UserWarning, match="were off by 1 in sum"):
        found = model.explain([[1.0]])
    np.testing.assert_allclose(found.values.sum() + found.base_values, 1, atol=1e-6)
    np.testing.assert_allclose(np.abs(found.error), 1, atol=1e-6)


def test_wrong_arguments(model):
    with pytest.raises(ValueError, match="no method 'gradient'. Did you mean 'gradients'"):
        model.explain(X, "gradient")
    with pytest.raises(ValueError, match="method=3"):
        model.explain(X, 3)
    for output in (3, (0, 1), True, 1.0):
        with pytest.raises(ValueError, match=r"output=.*shape \(3,\)"):
            model.explain(X, output=output)
    with pytest.raises(ValueError, match=r"baseline has shape \(5,\)"):
        model.explain(X, IntegratedGradients(np.zeros(5)))
    with pytest.raises(ValueError, match="not finite"):
        model.explain(X, IntegratedGradients(np.nan))
    with pytest.raises(ValueError, match="noise=-1"):
        SmoothGrad(-1)
    with pytest.raises(ValueError, match="samples=0"):
        SmoothGrad(samples=0)
    with pytest.raises(ValueError, match="3 columns; the model takes 4"):
        model.explain(X[:, :3])
    with pytest.raises(ValueError, match="explain needs a built model"):
        fastbp.Sequential([Dense(1)]).explain(X)


def test_shap_takes_it(model):
    shap = pytest.importorskip("shap")
    found = model.explain(X, output=0).to_shap(["a", "b", "c", "d"])
    assert isinstance(found, shap.Explanation)
    assert found.feature_names == ["a", "b", "c", "d"]
    ranked = np.argsort(-np.abs(found.values).mean(axis=0))
    assert (found.abs.mean(0).values[ranked][:-1] >= found.abs.mean(0).values[ranked][1:]).all()
    assert model.explain(X).to_shap(output_names=["u", "v", "w"])[:, :, 1].values.shape == (20, 4)
    np.testing.assert_array_equal(np.asarray(model.explain(X)), model.explain(X).values)


def test_without_shap_it_says_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ImportError, match=r'pip install "fastbp\[interop\]"'):
        model.explain(X).to_shap()


# Inner outputs and statistics


def test_inner_outputs_are_numpys(model):
    w = model.views
    first = np.tanh(X @ w["dense/kernel"] + w["dense/bias"])
    np.testing.assert_allclose(model.outputs_of("dense", X), first, rtol=1e-12)
    normed = model.outputs_of("batchnormalization", X)
    np.testing.assert_array_equal(model.outputs_of("dropout", X), normed)
    inner = np.tanh(normed @ w["dense_1/kernel"] + w["dense_1/bias"])
    np.testing.assert_allclose(model.outputs_of("dense_1", X), inner, rtol=1e-12)  # within the residual block
    np.testing.assert_allclose(model.outputs_of("residual", X), normed + inner, rtol=1e-12)
    np.testing.assert_array_equal(model.outputs_of("dense_2", X), model.predict(X))


def test_inner_outputs_of_branches_and_names():
    model = mixed_columns()
    x = np.array([[0.5, 3, -1.0, 5]])
    np.testing.assert_array_equal(model.outputs_of("columns", x), [[0.5, -1.0]])
    vector = np.concatenate(
        [model.views["categoryembedding/column_0"][3], model.views["categoryembedding/column_1"][5]]
    )
    np.testing.assert_array_equal(model.outputs_of("categoryembedding", x)[0], vector)
    with pytest.raises(ValueError, match=r"no layer 'dense_3'. Did you mean 'dense_1'\? The layers are columns,"):
        model.outputs_of("dense_3", x)


def test_statistics_of_layers(model):
    y = RNG.integers(0, 3, len(X))
    table = model.layer_statistics(X, y)
    assert list(table.index) == ["dense", "batchnormalization", "dropout", "dense_1", "residual", "dense_2"]
    outputs = model.outputs_of("dense_1", X)
    expected = [outputs.mean(), outputs.std(), outputs.min(), outputs.max()]
    np.testing.assert_allclose(table.loc["dense_1", ["mean", "std", "min", "max"]].tolist(), expected)
    grads = model.engine.network.views(model.value_and_grad(X, y)[1])
    own = np.concatenate([grads["dense_1/kernel"].ravel(), grads["dense_1/bias"]])
    np.testing.assert_allclose(table.loc["dense_1", "gradient"], np.sqrt(np.mean(own**2)))
    assert np.isnan(table.loc["residual", "weights"])
    assert model.layer_statistics(X)["gradient"].isna().all()


def test_statistics_show_dead_units():
    model = fastbp.Sequential([Dense(4, "relu"), Dense(1)], input_shape=(4,), seed=0)
    model.views["dense/kernel"][:, :3] = 0
    model.views["dense/bias"][:3] = -1
    table = model.layer_statistics(X)
    assert table.loc["dense", "constant"] == 0.75
    assert table.loc["dense", "zeros"] >= 0.75
