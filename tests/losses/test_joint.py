"""JointLoss and SoftmaxBlocks: several targets in one output layer, against JAX and finite differences."""

import concurrent.futures
import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fastbp
from fastbp.layers.base import float_type_of
from tests.layers.test_layers import assert_near
from tests.reference import autodiff

PARTS = [("sparse_categorical_crossentropy", 3), ("mean_squared_error", 1), ("sparse_categorical_crossentropy", 2)]
WEIGHTS = [1.0, 0.5, 2.0]
SIZES = (3, 1, 2)


def problem(n=70, missing=True):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((n, 5)).astype(np.float32)
    y = np.stack([rng.integers(0, 3, n), rng.standard_normal(n).astype(np.float32), rng.integers(0, 2, n)], axis=1)
    if missing:
        y[rng.random(y.shape) < 0.2] = np.nan
        y[7] = np.nan
    return x, y


def build(dtype="float64", parts=PARTS, weights=WEIGHTS, sizes=SIZES):
    layers = [fastbp.Dense(8, "tanh"), fastbp.Dense(sum(sizes)), fastbp.SoftmaxBlocks(sizes)]
    model = fastbp.Sequential(layers, input_shape=(5,), seed=1, dtype=dtype)
    model.compile("adam", fastbp.JointLoss(parts, weights))
    return model


def reference_loss(out, y, weight):
    """The loss in JAX: the parts of each row that are known, their weighted mean over all rows."""
    total, known = 0.0, ~np.isnan(y)
    y = np.nan_to_num(y)
    for place, block in ((0, slice(0, 3)), (2, slice(4, 6))):
        log_p = jax.nn.log_softmax(out[:, block])
        losses = -jnp.take_along_axis(log_p, jnp.asarray(y[:, [place]].astype(int)), axis=1)[:, 0]
        total += WEIGHTS[place] * losses * known[:, place]
    total += WEIGHTS[1] * (out[:, 3] - y[:, 1]) ** 2 * known[:, 1]
    return jnp.mean(total * weight)


class TestJointLoss:
    @pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
    def test_value_and_gradient_are_jax_s(self, missing):
        x, y = problem(missing=missing)
        weight = np.random.default_rng(0).uniform(0, 2, len(x))
        double, single = build(), build("float32")
        double.params[:] = single.params

        def loss(params):
            return reference_loss(autodiff.outputs(double, params, jnp.asarray(x, jnp.float64)), y, weight)

        value, grad = jax.value_and_grad(loss)(jnp.asarray(double.params))
        for model, tolerance in ((double, 1e-11), (single, 2e-5)):
            found, found_grad = model.value_and_grad(x, y, sample_weight=weight)
            assert found == pytest.approx(float(value), rel=tolerance)
            assert_near(found_grad, grad, tolerance)
            assert model.evaluate(x, y, sample_weight=weight) == pytest.approx(float(value), rel=tolerance)

    def test_finite_differences(self):
        x, y = problem(13)
        assert fastbp.check_gradients(build(), x, y).max_relative_error < 1e-6

    def test_other_losses_as_parts(self):
        """A quantile loss has one column of targets for its outputs, a crossentropy of probabilities one for each."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((20, 5))
        p = rng.dirichlet(np.ones(3), 20)
        y = np.hstack([rng.standard_normal((20, 1)), p, rng.standard_normal((20, 2))])
        parts = [(fastbp.QuantileLoss([0.2, 0.8]), 2), ("categorical_crossentropy", 3), (fastbp.Huber(0.7), 2)]
        model = build(parts=parts, weights=None, sizes=(1, 1, 3, 1, 1))
        out = np.asarray(autodiff.outputs(model, jnp.asarray(model.params), jnp.asarray(x)))
        blocks = {"quantile": (0, 2, y[:, :1]), "categorical_crossentropy": (2, 5, p), "huber": (5, 7, y[:, 4:])}
        total = 0.0
        for (loss, _), (first, stop, own) in zip(model.loss.parts, blocks.values(), strict=True):
            total += np.mean(autodiff.LOSSES[loss.name](loss, jnp.asarray(out[:, first:stop]), own))
        assert model.evaluate(x, y) == pytest.approx(float(total), rel=1e-11)
        assert fastbp.check_gradients(model, x, y).max_relative_error < 1e-5

    def test_same_bits_at_one_and_two_threads(self, small_work, run_threads):
        x, y = problem(300)
        params = []
        for n_threads in (1, 2):
            run_threads(n_threads)
            model = build("float32")
            model.fit(x, y, epochs=2, batch_size=100, verbose=0)
            params.append(model.params.tobytes())
        assert 2 in run_threads.used
        assert params[0] == params[1]

    def test_every_record_keeps_what_it_points_to(self):
        """Kernels hold the address of the table: one that a second thread had made was freed under them."""
        build()  # compiles
        loss, float_type = fastbp.JointLoss(PARTS, [3.0, 1.0, 1.0]), float_type_of("float32")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            records = list(pool.map(lambda _: loss.record(loss.n_outputs, 9, 1, float_type), range(64)))
        gc.collect()
        for record in records:
            table, *losses = record.kept
            assert record["parts"] == table.ctypes.data
            assert table["loss"].tolist() == [one.ctypes.data for one in losses]
        assert len({record.kept[0].ctypes.data for record in records}) == 64

    def test_a_model_outlives_what_made_its_loss(self):
        """Of members of parts: three records, each kept by the one that points to it."""
        (x, y), joint_loss = problem(), fastbp.JointLoss(PARTS, [3.0, 1.0, 1.0])
        layers = [fastbp.RepeatMembers(2), fastbp.MemberDense(joint_loss.n_outputs)]
        runs = []
        for collect in (False, True):
            model = fastbp.Sequential(layers, input_shape=x.shape[1:], seed=0)
            model.compile("sgd", fastbp.MemberLoss(joint_loss, members=2))
            model.train_on_batch(x, y)
            if collect:
                gc.collect()
                kept = [np.full(size, -1) for size in range(1, 40) for _ in range(20)]
                assert len(kept) == 780
            model.train_on_batch(x, y)
            runs.append(model.params.tobytes())
        assert runs[0] == runs[1]

    def test_files(self, tmp_path):
        x, y = problem()
        model = build("float32")
        model.fit(x, y, verbose=0)
        model.save(tmp_path / "m")
        again = fastbp.load_model(tmp_path / "m")
        assert again.loss == model.loss
        for one in (model, again):
            one.fit(x, y, verbose=0)
        np.testing.assert_array_equal(again.predict(x), model.predict(x))

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: fastbp.JointLoss([]), "nothing to lower"),
            (lambda: fastbp.JointLoss(["mean_squared_error"]), "pairs"),
            (lambda: fastbp.JointLoss([("mean_squared_error", 0)]), "outputs of mean_squared_error is 0"),
            (lambda: fastbp.JointLoss(PARTS, [1.0]), "3 parts and 1 weights"),
            (lambda: fastbp.JointLoss(PARTS, [1.0, -1.0, 1.0]), "at least 0"),
            (lambda: fastbp.JointLoss(PARTS, [0.0, 0.0, 0.0]), "not all of them are 0"),
            (lambda: fastbp.JointLoss([(fastbp.JointLoss(PARTS), 6)]), "not JointLoss"),
            (lambda: build(parts=PARTS[:2], weights=None), "parts have 4 outputs, the model has 6"),
            (lambda: build(parts=[(fastbp.SparseCategoricalCrossentropy(), 6)], weights=None), "from_logits=True"),
            (lambda: build().fit(*problem(missing=False), verbose=0) and build().evaluate(np.ones((2, 5)),
             np.ones((2, 2))), "y has 2 columns; the parts of JointLoss take 3"),
            (lambda: build().evaluate(np.ones((2, 5)), np.full((2, 3), 3.0)), "holds class 3"),
            (lambda: build().evaluate(np.ones((2, 5)), np.array([[0, np.inf, 0.0]] * 2)), "inf"),
        ],
    )  # fmt: skip
    def test_what_cannot_be(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()


class TestSoftmaxBlocks:
    def test_predictions_are_probabilities_in_each_block(self):
        x, _ = problem()
        model = build()
        out = autodiff.outputs(model, jnp.asarray(model.params), jnp.asarray(x, jnp.float64))
        expected = jnp.hstack([jax.nn.softmax(out[:, :3]), out[:, 3:4], jax.nn.softmax(out[:, 4:])])
        assert_near(model.predict(x), expected, 1e-13)

    def test_vjp_is_of_the_probabilities(self):
        x, _ = problem(9)
        model, dout = build(), np.random.default_rng(0).standard_normal((9, 6))

        def predictions(params, x):
            out = autodiff.outputs(model, params, x)
            return jnp.hstack([jax.nn.softmax(out[:, :3]), out[:, 3:4], jax.nn.softmax(out[:, 4:])])

        _, pull = jax.vjp(predictions, jnp.asarray(model.params), jnp.asarray(x, jnp.float64))
        grad, dx = pull(jnp.asarray(dout))
        assert_near(model.vjp(x, dout), dx, 1e-12)
        assert_near(model.grads, grad, 1e-12)

    @pytest.mark.parametrize("sizes", [(), (0, 2), (2.0,), "ab", (True, 1)])
    def test_sizes(self, sizes):
        with pytest.raises(ValueError, match="whole numbers of at least 1"):
            fastbp.SoftmaxBlocks(sizes)

    def test_its_place(self):
        with pytest.raises(ValueError, match=r"takes inputs of shape \(3,\); it got shape \(4,\)"):
            fastbp.Sequential([fastbp.SoftmaxBlocks((2, 1))], input_shape=(4,))
        with pytest.raises(ValueError, match="must be the last layer"):
            fastbp.Sequential([fastbp.SoftmaxBlocks((2, 1)), fastbp.Dense(2)], input_shape=(3,))
