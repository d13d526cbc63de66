"""Ensembles in one network: the mean of the members' losses, and their mean as the prediction."""

import jax
import jax.numpy as jnp
import numba
import numpy as np
import pytest

import fastbp
from fastbp import Dense, Dropout, Flatten, MemberDense, MemberLoss, MemberMean, RepeatMembers, Scaling
from fastbp.engine import engine as engine
from fastbp.losses import LOSSES
from tests.layers.test_layers import assert_near
from tests.reference import autodiff

MEMBERS, CLASSES = 4, 3
MEAN = (MemberMean(),)


def losses():
    """Every loss as it is; with a link also from logits, and smoothed."""
    for name, cls in LOSSES.items():
        if name != "vector_jacobian":
            yield cls()
            if cls.link:
                yield cls(from_logits=True, label_smoothing=0.1)


every_loss = pytest.mark.parametrize("loss", list(losses()), ids=repr)


def build(loss, dtype="float64", metrics=None, finish=MEAN, units=CLASSES):
    link = "softplus" if loss.name == "poisson" else None if getattr(loss, "from_logits", False) else loss.link
    layers = [RepeatMembers(MEMBERS), MemberDense(5, "tanh"), Scaling("random_normal"), MemberDense(units, link)]
    model = fastbp.Sequential([*layers, *finish], input_shape=(6,), seed=1, dtype=dtype)
    model.compile("adam", MemberLoss(loss, MEMBERS), metrics)
    return model


def problem(loss, n=70):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    return x, autodiff.random_targets(loss, rng, n, CLASSES)


def members_of(model, params, x):
    """Outputs (n, members, k) in JAX."""
    return autodiff.outputs(model, params, jnp.asarray(x, jnp.float64))


@every_loss
@pytest.mark.parametrize("finish", [(), MEAN], ids=["members", "mean"])
def test_value_and_gradient_are_those_of_the_members(loss, finish):
    x, y = problem(loss)
    weight = np.random.default_rng(0).uniform(0, 2, len(x))
    model, single = build(loss, finish=finish), build(loss, "float32", finish=finish)
    model.params[:] = single.params

    def mean_loss(params):
        out = members_of(model, params, x)
        return jnp.mean(jnp.stack([autodiff.LOSSES[loss.name](loss, out[:, i], y) * weight for i in range(MEMBERS)]))

    value, grad = jax.value_and_grad(mean_loss)(jnp.asarray(model.params))
    for one, tolerance in ((model, 1e-11), (single, 2e-5)):
        found, found_grad = one.value_and_grad(x, y, sample_weight=weight)
        assert found == pytest.approx(float(value), rel=tolerance)
        assert_near(found_grad, grad, tolerance)
        assert one.evaluate(x, y, sample_weight=weight) == pytest.approx(float(value), rel=tolerance)


@every_loss
def test_predictions_and_metrics_are_of_the_mean(loss):
    def recorded(y_true, y_pred):
        seen.append(y_pred.copy())
        return 0.0

    seen = []
    x, y = problem(loss)
    model = build(loss, metrics=[recorded])
    out = np.asarray(members_of(model, model.params, x))
    assert model.output_shape == (CLASSES,)
    assert_near(model.predict(x), out.mean(1), 1e-13)
    model.evaluate(x, y)
    model.train_on_batch(x, y)
    model.fit(x, y, batch_size=len(x), verbose=0)
    assert len(seen) == 3
    for predictions in seen[:2]:
        assert_near(predictions, out.mean(1), 1e-13)
    if not getattr(loss, "from_logits", False) and loss.link == "softmax":
        assert_near(model.predict(x).sum(1), np.ones(len(x)), 1e-13)


def test_many_rows_are_finished_in_parts(monkeypatch):
    loss = fastbp.MeanSquaredError()
    x, _ = problem(loss)
    model = build(loss, "float32")
    whole = model.predict(x)
    monkeypatch.setattr(engine, "FINISH_ROWS", 16)
    assert np.array_equal(model.predict(x), whole)
    assert model.predict(x[:0]).shape == (0, CLASSES)


def test_vjp_is_of_the_mean():
    loss = fastbp.MeanSquaredError()
    x, y = problem(loss)
    model = build(loss)
    _, pull = jax.vjp(lambda p, x: members_of(model, p, x).mean(1), jnp.asarray(model.params), jnp.asarray(x, float))
    grad, dx = pull(jnp.asarray(y))
    assert_near(model.vjp(x, y), dx, 1e-12)
    assert_near(model.grads, grad, 1e-12)


def test_members_learn_as_if_alone():
    """Without shared weights an optimizer that does not mix parameters trains each member as a model of its own."""
    loss = fastbp.MeanSquaredError()
    x, y = problem(loss)
    model = build(loss, finish=())
    model.compile(fastbp.SGD(0.1 * MEMBERS), MemberLoss("mean_squared_error", MEMBERS))
    layers = [Dense(5, "tanh"), Scaling(), Dense(CLASSES)]
    alone = fastbp.Sequential(layers, input_shape=(6,), dtype="float64")
    alone.compile(fastbp.SGD(0.1), "mean_squared_error")
    for view, of_members in zip(alone.views.values(), model.views.values(), strict=True):
        view[...] = of_members[2]
    for one in (model, alone):
        for _ in range(20):
            one.train_on_batch(x, y)
    assert_near(alone.predict(x), model.predict(x)[:, 2], 1e-12)


def test_sparse_accuracy_and_class_weights():
    loss = fastbp.SparseCategoricalCrossentropy()
    x, y = problem(loss)
    model = build(loss, metrics=["accuracy"])
    model.fit(x, y, epochs=3, class_weight={0: 2.0}, validation_data=(x, y), verbose=0)
    accuracy = model.evaluate(x, y, return_dict=True)["accuracy"]
    assert accuracy == pytest.approx((model.predict(x).argmax(1) == y).mean(), abs=1e-12)


def test_a_loss_of_one_s_own():
    @numba.njit
    def squared(y_true, y_pred, dout):
        total = 0.0
        for j in range(y_pred.size):
            error = y_pred[j] - y_true[j]
            dout[j] = 2 * error / y_pred.size
            total += error * error
        return total / y_pred.size

    x, y = problem(fastbp.MeanSquaredError())
    own, known = build(fastbp.CustomLoss(squared)), build(fastbp.MeanSquaredError())
    results = [model.value_and_grad(x, y) for model in (own, known)]
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-14)
    assert_near(results[0][1], results[1][1], 1e-14)


def test_same_bits_at_one_and_two_threads(small_work, run_threads):
    loss = fastbp.SparseCategoricalCrossentropy(label_smoothing=0.1)
    x, y = problem(loss, 300)
    params = []
    for n_threads in (1, 2):
        run_threads(n_threads)
        model = build(loss, "float32")
        model.fit(x, y, epochs=2, batch_size=100, verbose=0)
        params.append(model.params.copy())
    assert 2 in run_threads.used
    assert params[0].tobytes() == params[1].tobytes()


def test_a_saved_ensemble_is_the_same(tmp_path):
    loss = fastbp.CategoricalCrossentropy(label_smoothing=0.1)
    x, y = problem(loss)
    model = build(loss, "float32")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.fastbp")
    again = fastbp.load_model(tmp_path / "m.fastbp")
    assert again.loss == model.loss == MemberLoss(loss, MEMBERS)
    for one in (model, again):
        one.fit(x, y, verbose=0)
    assert np.array_equal(again.predict(x), model.predict(x))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MemberLoss("mean_squared_error", 0), ValueError, "members=0"),
        (lambda: MemberLoss("mean_squared_error", 2.0), ValueError, r"members=2\.0"),
        (lambda: MemberLoss("mean_squared_error"), TypeError, "members"),
        (lambda: MemberLoss("mean_square_error", 2), ValueError, "Did you mean 'mean_squared_error'"),
        (lambda: MemberLoss(MemberLoss("hinge", 2), 2), ValueError, "not another MemberLoss"),
        (lambda: build(fastbp.MeanSquaredError()).compile("sgd", MemberLoss("hinge", 5)), ValueError,
         r"MemberLoss\(members=5\): the model has 12 outputs"),
        (lambda: build(fastbp.MeanSquaredError()).compile("sgd", MemberLoss("sparse_categorical_crossentropy", 4)),
         ValueError, "takes the probabilities of a softmax"),
        (lambda: build(fastbp.SparseCategoricalCrossentropy()).compile("sgd", "sparse_categorical_crossentropy"),
         ValueError, r"MemberLoss.*shape \(4, 3\)"),
        (lambda: build(fastbp.SparseCategoricalCrossentropy(), finish=[Flatten()]), ValueError, r"shape \(12,\)"),
        (lambda: build(fastbp.MeanSquaredError(), finish=[MemberMean(), Dropout(0.1)]), ValueError,
         "'membermean' must be the last layer of the model; 'dropout' comes after it"),
        (lambda: fastbp.Sequential([MemberMean()], input_shape=(3,)), ValueError, r"shape \(members, ...\).*\(3,\)"),
    ],
)  # fmt: skip
def test_wrong_use_names_the_value(make, error, message):
    with pytest.raises(error, match=message):
        make()
