"""Sequential: building, compiling, weights, evaluation, single steps, copies, and every wrong use."""

import copy
import math
import pickle

import numba
import numpy as np
import pytest

import fastbp

RNG = np.random.default_rng(7)
X = RNG.normal(size=(60, 4)).astype("float32")
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
TARGET = X.sum(1)


def classifier(**settings):
    layers = [
        fastbp.Dense(6, activation="relu"),
        fastbp.Dropout(0.3),
        fastbp.Dense(3, activation="softmax"),
    ]
    model = fastbp.Sequential(layers, **{"seed": 3, **settings})
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def regressor(**settings):
    model = fastbp.Sequential([fastbp.Dense(5, activation="relu"), fastbp.Dense(1)], **{"seed": 3, **settings})
    model.compile(optimizer="adam", loss="mean_squared_error")
    return model


# Building


def test_built_early_or_late_is_the_same_model():
    early, late, explicit = classifier(input_shape=(4,)), classifier(), classifier()
    explicit.build((4,))
    compiled_after = fastbp.Sequential(early.layers, input_shape=(4,), seed=3)
    compiled_after.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    assert late.engine is None
    models = [early, late, explicit, compiled_after]
    for model in models:
        model.fit(X, LABELS, epochs=2, batch_size=16, verbose=0)
    for model in models[1:]:
        np.testing.assert_array_equal(model.params, early.params)


def test_building_again_keeps_the_weights():
    model = classifier(input_shape=(4,))
    model.params[:] = 1
    model.build((4,))
    assert (model.params == 1).all()
    with pytest.raises(ValueError, match=r"built for input_shape=\(4,\)"):
        model.build((5,))


def test_seeds():
    assert (classifier(input_shape=(4,)).params == classifier(input_shape=(4,)).params).all()
    assert (classifier(input_shape=(4,), seed=4).params != classifier(input_shape=(4,)).params).any()
    drawn = classifier(input_shape=(4,), seed=None)
    assert (drawn.params != classifier(input_shape=(4,), seed=None).params).any()
    assert (drawn.params == classifier(input_shape=(4,), seed=drawn.seed).params).all()
    assert classifier(seed=2**63 - 1, input_shape=(4,)).params.size


def test_numpy_random_state_is_left_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    model = classifier()
    model.fit(X, LABELS, epochs=1, verbose=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_names_shapes_and_counts():
    model = classifier(input_shape=(4,))
    assert list(model.views) == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]
    assert [weight.shape for weight in model.get_weights()] == [(4, 6), (6,), (6, 3), (3,)]
    assert model.count_params() == 4 * 6 + 6 + 6 * 3 + 3 == model.params.size == model.grads.size
    assert model.output_shape == (3,)
    assert model.params.dtype == np.float32
    assert classifier(input_shape=(4,), dtype="float64").params.dtype == np.float64


def test_views_are_views():
    model = classifier(input_shape=(4,))
    model.params[:] = np.arange(model.params.size)
    np.testing.assert_array_equal(model.views["dense/kernel"], np.arange(24).reshape(4, 6))
    model.views["dense_1/bias"][:] = -1
    np.testing.assert_array_equal(model.params[-3:], -1)
    assert all(np.shares_memory(view, model.params) for view in model.views.values())


def test_summary(capsys):
    layers = [fastbp.Dense(6, name="hidden", trainable=False), fastbp.PReLU(), fastbp.Dropout(0.5), fastbp.Dense(1)]
    fastbp.Sequential(layers, input_shape=(4,)).summary()
    text = capsys.readouterr().out
    for line in [r"hidden", "(n, 6)", "PReLU", "Dropout", "params 43: 13 trainable, 30 not", "float32"]:
        assert line in text


def test_weights_are_copies_and_can_be_put_back():
    model = classifier(input_shape=(4,))
    weights = model.get_weights()
    expected = model.predict(X)
    model.params[:] = 0
    assert np.abs(weights[0]).max() > 0
    model.set_weights(weights)
    np.testing.assert_array_equal(model.predict(X), expected)
    model.set_weights([weight.astype("float64").tolist() for weight in weights])
    np.testing.assert_array_equal(model.predict(X), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights[:-1], r"takes 4 arrays \(dense/kernel, .*\), not 3"),
        (lambda weights: [*weights[:-1], np.zeros(4)], r"the weight for 'dense_1/bias' has shape \(4,\).*\(3,\)"),
        (lambda weights: [weights[0].T, *weights[1:]], r"'dense/kernel' has shape \(6, 4\)"),
    ],
)
def test_wrong_weights_change_nothing(change, message):
    model = classifier(input_shape=(4,))
    before = model.params.copy()
    with pytest.raises(ValueError, match=message):
        model.set_weights(change([weight + 1 for weight in model.get_weights()]))
    np.testing.assert_array_equal(model.params, before)


# Prediction and evaluation


def test_prediction_is_what_the_weights_say():
    model = regressor(dtype="float64", input_shape=(4,))
    kernel, bias, out_kernel, out_bias = model.get_weights()
    expected = np.maximum(X @ kernel + bias, 0) @ out_kernel + out_bias
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-13, atol=1e-15)
    assert model.predict(X).shape == (60, 1)
    np.testing.assert_array_equal(model.predict(X[:1])[0], model.predict(X)[0])


def test_prediction_lets_nan_through():
    x = X.copy()
    x[3, 1] = np.nan
    outputs = regressor(input_shape=(4,)).predict(x)
    assert np.isnan(outputs[3]).all()
    assert np.isfinite(np.delete(outputs, 3)).all()


def test_evaluation(capsys):
    model = classifier(input_shape=(4,))
    outputs = model.predict(X).astype("float64")
    loss = -np.log(outputs[np.arange(60), LABELS]).mean()
    accuracy = (outputs.argmax(1) == LABELS).mean()
    np.testing.assert_allclose(model.evaluate(X, LABELS), [loss, accuracy], rtol=1e-6)
    assert capsys.readouterr().out == ""
    figures = model.evaluate(X, LABELS, return_dict=True, verbose=1)
    assert list(figures) == ["loss", "accuracy"]
    assert "loss: " in capsys.readouterr().out
    weight = np.linspace(0, 2, 60)
    expected = (-np.log(outputs[np.arange(60), LABELS]) * weight).sum() / 60
    assert math.isclose(model.evaluate(X, LABELS, sample_weight=weight)[0], expected, rel_tol=1e-6)
    assert isinstance(regressor(input_shape=(4,)).evaluate(X, TARGET), float)


def test_penalties_are_in_the_loss_of_training_and_evaluation():
    penalty = fastbp.L1L2(0.01, 0.02)
    model = fastbp.Sequential([fastbp.Dense(1, kernel_regularizer=penalty)], input_shape=(4,), seed=0)
    model.compile(optimizer=fastbp.SGD(0.0), loss="mean_squared_error")
    kernel = model.views["dense/kernel"].astype("float64")
    expected = ((model.predict(X)[:, 0] - TARGET) ** 2).mean() + 0.01 * np.abs(kernel).sum() + 0.02 * (kernel**2).sum()
    history = model.fit(X, TARGET, batch_size=20, validation_data=(X, TARGET), verbose=0).history
    for value in (
        model.evaluate(X, TARGET),
        history["loss"][0],
        history["val_loss"][0],
        model.value_and_grad(X, TARGET)[0],
    ):
        assert math.isclose(value, expected, rel_tol=1e-5)


# Single steps


def test_train_on_batch_is_a_step_of_fit():
    fitted, stepped = regressor(input_shape=(4,)), regressor(input_shape=(4,))
    fitted.fit(X, TARGET, epochs=3, batch_size=60, shuffle=False, verbose=0)
    losses = [stepped.train_on_batch(X, TARGET) for _ in range(3)]
    np.testing.assert_array_equal(fitted.params, stepped.params)
    assert stepped.step == fitted.step == 3
    assert losses[0] > losses[2]


def test_value_and_grad_then_apply_is_a_step_too():
    fitted, stepped = classifier(input_shape=(4,)), classifier(input_shape=(4,))
    fitted.fit(X, LABELS, epochs=2, batch_size=60, shuffle=False, verbose=0)
    for _ in range(2):
        _, grad = stepped.value_and_grad(X, LABELS, training=True)
        stepped.apply_gradients(grad)
    np.testing.assert_array_equal(fitted.params, stepped.params)
    stepped.value_and_grad(X, LABELS, training=True)
    before = stepped.params.copy()
    stepped.apply_gradients()
    assert (stepped.params != before).any()


def test_gradient_is_a_copy_in_the_layout_of_params():
    model = regressor(input_shape=(4,))
    loss, grad = model.value_and_grad(X, TARGET)
    assert math.isclose(loss, model.evaluate(X, TARGET), rel_tol=1e-6)
    assert not np.shares_memory(grad, model.grads)
    np.testing.assert_array_equal(grad, model.grads)
    # d loss / d output bias = 2 * mean error
    expected = 2 * (model.predict(X)[:, 0] - TARGET).mean()
    assert math.isclose(grad[-1], expected, rel_tol=1e-5)


def test_vjp():
    model = regressor(dtype="float64", input_shape=(4,))
    dout = np.linspace(-1, 1, 60)[:, None]
    dx = model.vjp(X, dout)
    kernel, bias, out_kernel, _ = model.get_weights()
    dz = dout @ out_kernel.T * (X @ kernel + bias > 0)
    np.testing.assert_allclose(dx, dz @ kernel.T, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(model.grads[:20].reshape(4, 5), X.T.astype("float64") @ dz, rtol=1e-6, atol=1e-6)


def test_apply_gradients_refuses_what_is_no_gradient():
    model = regressor(input_shape=(4,))
    before = model.params.copy()
    with pytest.raises(ValueError, match=r"grad has shape \(3,\); the parameters have \(31,\)"):
        model.apply_gradients(np.zeros(3))
    bad = np.zeros(31)
    bad[7] = np.nan
    with pytest.raises(ValueError, match=r"grad\[7\] is nan"):
        model.apply_gradients(bad)
    np.testing.assert_array_equal(model.params, before)
    assert model.step == 0


def test_frozen_layers_keep_their_weights():
    layers = [fastbp.Dense(5, activation="relu", trainable=False), fastbp.PReLU(trainable=False), fastbp.Dense(1)]
    model = fastbp.Sequential(layers, input_shape=(4,), seed=0)
    model.compile(optimizer=fastbp.AdamW(0.01, weight_decay=0.1), loss="mean_squared_error")
    before = model.params.copy()
    model.fit(X, TARGET, epochs=2, verbose=0)
    model.train_on_batch(X, TARGET)
    assert (model.value_and_grad(X, TARGET)[1][:30] == 0).all()
    np.testing.assert_array_equal(model.params[:30], before[:30])
    assert (model.params[30:] != before[30:]).all()


def test_freezing_takes_effect_when_compiled():
    model = regressor(input_shape=(4,))
    model.fit(X, TARGET, verbose=0)
    model.layers[0].trainable = False
    model.compile(optimizer="adam", loss="mean_squared_error")
    before = model.params.copy()
    model.fit(X, TARGET, verbose=0)
    np.testing.assert_array_equal(model.params[:25], before[:25])
    assert (model.params[25:] != before[25:]).all()


def test_everything_frozen_trains_nothing():
    model = fastbp.Sequential([fastbp.Dense(1, trainable=False)], input_shape=(4,), seed=0)
    model.compile(optimizer="adam", loss="mean_squared_error")
    before = model.params.copy()
    history = model.fit(X, TARGET, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.params, before)
    assert math.isclose(history.history["loss"][1], model.evaluate(X, TARGET), rel_tol=1e-6)


def test_compiling_anew_forgets_the_optimizer_but_not_the_weights():
    model = regressor(input_shape=(4,))
    model.fit(X, TARGET, verbose=0)
    fresh = regressor(input_shape=(4,))
    fresh.set_weights(model.get_weights())
    model.compile(optimizer="adam", loss="mean_squared_error")
    for each in (model, fresh):
        each.train_on_batch(X, TARGET)
    np.testing.assert_array_equal(model.params, fresh.params)


def test_settings_that_change_what_the_optimizer_keeps_are_refused():
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(4,), seed=0)
    model.compile(optimizer=fastbp.SGD(0.1), loss="mean_squared_error")
    model.optimizer.momentum = 0.9
    with pytest.raises(ValueError, match="call compile again"):
        model.fit(X, TARGET, verbose=0)
    model.compile(optimizer=model.optimizer, loss="mean_squared_error")
    model.fit(X, TARGET, verbose=0)


@numba.njit
def log_cosh(y_true, y_pred, dout):
    error = y_pred[0] - y_true[0]
    dout[0] = np.tanh(error)
    return np.log(np.cosh(error))


def largest_error(y_true, y_pred):
    return np.abs(y_pred - y_true).max()


def test_a_loss_and_a_metric_of_ones_own():
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(4,), seed=0)
    model.compile(optimizer="adam", loss=fastbp.CustomLoss(log_cosh), metrics=[largest_error, "mean_absolute_error"])
    figures = model.evaluate(X, TARGET, return_dict=True)
    error = model.predict(X)[:, 0].astype("float64") - TARGET
    assert math.isclose(figures["loss"], np.log(np.cosh(error)).mean(), rel_tol=1e-5)
    assert math.isclose(figures["largest_error"], np.abs(error).max(), rel_tol=1e-5)
    history = model.fit(X, TARGET, epochs=5, verbose=0).history
    assert history["loss"][4] < history["loss"][0]
    assert set(history) == {"loss", "largest_error", "mean_absolute_error", "learning_rate"}


# Copies


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"]
)
def test_copies_are_whole_and_independent(duplicate):
    model = classifier()
    model.fit(X, LABELS, epochs=2, batch_size=16, verbose=0)
    twin = duplicate(model)
    assert all(np.shares_memory(view, twin.params) for view in twin.views.values())
    assert not np.shares_memory(twin.params, model.params)
    assert twin.optimizer is twin.engine.optimizer is not model.optimizer
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    before = model.params.copy()
    twin_history = twin.fit(X, LABELS, epochs=2, batch_size=16, verbose=0).history
    np.testing.assert_array_equal(model.params, before)
    assert model.fit(X, LABELS, epochs=2, batch_size=16, verbose=0).history == twin_history
    np.testing.assert_array_equal(model.params, twin.params)


def test_models_with_metrics_of_logits_are_copied_too():
    model = fastbp.Sequential([fastbp.Dense(3)], input_shape=(4,), seed=0)
    loss = fastbp.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    twin = pickle.loads(pickle.dumps(model))
    assert twin.evaluate(X, LABELS) == model.evaluate(X, LABELS)


def test_models_that_are_not_built_or_have_a_custom_loss_are_copied_too():
    unbuilt = pickle.loads(pickle.dumps(classifier()))
    model = classifier()
    for each in (unbuilt, model):
        each.fit(X, LABELS, verbose=0)
    np.testing.assert_array_equal(unbuilt.params, model.params)
    custom = fastbp.Sequential([fastbp.Dense(1)], input_shape=(4,), seed=0)
    custom.compile(loss=fastbp.CustomLoss(log_cosh))
    custom.fit(X, TARGET, verbose=0)
    twins = [custom, copy.deepcopy(custom), pickle.loads(pickle.dumps(custom))]
    for twin in twins:
        twin.fit(X, TARGET, verbose=0)
    np.testing.assert_array_equal(twins[1].params, custom.params)
    np.testing.assert_array_equal(twins[2].params, custom.params)


def test_a_pickle_holds_no_machine_addresses_nor_workspaces():
    model = classifier()
    model.fit(X, LABELS, epochs=1, verbose=0)
    assert set(model.engine.__dict__) - set(model.engine.__getstate__()) == {"_parameters", "_free_runners", "_packing"}
    fresh = classifier(input_shape=(4,))
    assert abs(len(pickle.dumps(model)) - len(pickle.dumps(fresh))) < 200


# Wrong use: a clear error, and nothing has changed


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([], ValueError, "at least one layer"),
        (None, TypeError, "takes a list of layers, not None"),
        (fastbp.Dense(1), TypeError, "takes a list of layers"),
        ([fastbp.Dense], TypeError, r"Dense is a class; write Dense\(\)"),
        (["Dense"], TypeError, "'Dense' is a name; a layer is an object"),
        ([3], TypeError, "a layer is a name or an object, not 3"),
    ],
)
def test_wrong_layers(layers, error, message):
    with pytest.raises(error, match=message):
        fastbp.Sequential(layers)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "float16"}, 'dtype=\'float16\': it is "float32" or "float64"'),
        ({"dtype": "flaot32"}, "dtype='flaot32'"),
        ({"dtype": None}, "dtype=None"),
        ({"seed": -1}, "seed=-1: a seed is a whole number from 0"),
        ({"seed": 2**63}, "seed=9223372036854775808"),
        ({"seed": 1.0}, "seed=1.0"),
        ({"seed": True}, "seed=True"),
        ({"seed": "0"}, "seed='0'"),
        ({"input_shape": 4}, r"input_shape=4: it is a tuple .* such as \(10,\)"),
        ({"input_shape": [4]}, "input_shape="),
        ({"input_shape": ()}, "input_shape="),
        ({"input_shape": (0,)}, "input_shape="),
        ({"input_shape": (4.0,)}, "input_shape="),
    ],
)
def test_wrong_settings_of_a_model(settings, message):
    with pytest.raises(ValueError, match=message):
        fastbp.Sequential([fastbp.Dense(1)], **settings)


def test_two_layers_of_one_name():
    with pytest.raises(ValueError, match="two layers are named 'a'"):
        fastbp.Sequential([fastbp.Dense(1, name="a"), fastbp.Dense(1, name="a")], input_shape=(2,))


MSE = "mean_squared_error"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "compile needs a loss"),
        ({"loss": "mean_squared_eror"}, ValueError, "Did you mean 'mean_squared_error'?"),
        ({"loss": MSE, "optimizer": "adma"}, ValueError, "unknown optimizer 'adma'. Did you mean 'adam'?"),
        ({"loss": MSE, "metrics": ["acuracy"]}, ValueError, "unknown metric 'acuracy'. Did you mean 'accuracy'?"),
        ({"loss": MSE, "metrics": "accuracy"}, TypeError, r"metrics is a list: write metrics=\['accuracy'\]"),
        ({"loss": MSE, "metrics": [3]}, TypeError, "a metric is a name or a function"),
        ({"loss": MSE, "metrics": ["auc", "auc"]}, ValueError, "two figures named 'auc'"),
        ({"loss": fastbp.MeanSquaredError}, TypeError, r"MeanSquaredError is a class; write MeanSquaredError\(\)"),
        ({"loss": fastbp.CustomLoss}, TypeError, "CustomLoss is a class"),
        ({"loss": MSE, "optimizer": fastbp.Adam}, TypeError, r"Adam is a class; write Adam\(\)"),
        ({"loss": fastbp.Adam()}, TypeError, "a loss is a name or an object"),
        ({"loss": log_cosh}, TypeError, "a loss is a name or an object"),
        ({"loss": "binary_crossentropy"}, ValueError, r'Dense\(1, activation="sigmoid"\), or .*from_logits=True'),
        ({"loss": "sparse_categorical_crossentropy"}, ValueError, r"for two classes write Dense\(2|For two classes"),
    ],
)
def test_wrong_compile_keeps_what_was_compiled(arguments, error, message):
    model = regressor(input_shape=(4,))
    model.train_on_batch(X, TARGET)
    before = model.loss, model.optimizer, model.step, model.engine.state.copy()
    with pytest.raises(error, match=message):
        model.compile(**arguments)
    assert (model.loss, model.optimizer, model.step) == before[:3]
    np.testing.assert_array_equal(model.engine.state, before[3])


def test_losses_must_suit_the_last_layer_also_when_built_later():
    model = fastbp.Sequential([fastbp.Dense(3)], seed=0)
    model.compile(loss="sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r'Dense\(3, activation="softmax"\)'):
        model.fit(X, LABELS, verbose=0)
    assert model.engine is None
    model = fastbp.Sequential([fastbp.Dense(3, activation="softmax")], input_shape=(4,))
    with pytest.raises(ValueError, match="drop that activation, or from_logits=True"):
        model.compile(loss=fastbp.SparseCategoricalCrossentropy(from_logits=True))


def test_uncompiled_models_say_so():
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(4,))
    model.predict(X)
    uses = [
        lambda: model.fit(X, TARGET),
        lambda: model.evaluate(X, TARGET),
        lambda: model.train_on_batch(X, TARGET),
        lambda: model.value_and_grad(X, TARGET),
        lambda: model.apply_gradients(),
        lambda: model.optimizer,
        lambda: model.loss,
    ]
    for use in uses:
        with pytest.raises(ValueError, match=r"needs a compiled model: call compile\("):
            use()


def test_unbuilt_models_say_so(tmp_path):
    model = regressor()
    uses = [
        lambda: model.predict(X),
        lambda: model.summary(),
        lambda: model.params,
        lambda: model.grads,
        lambda: model.views,
        lambda: model.step,
        lambda: model.output_shape,
        lambda: model.count_params(),
        lambda: model.get_weights(),
        lambda: model.set_weights([]),
        lambda: model.apply_gradients(),
        lambda: model.vjp(X, TARGET[:, None]),
        lambda: model.save(tmp_path / "m"),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="needs a built model"):
            use()


NAN_X = X.copy()
NAN_X[5, 2] = np.nan


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[:, :3], LABELS), "x has 3 columns; the model takes 4"),
        ((X[0], LABELS), r"x must have 2 dimensions"),
        ((X[:5], LABELS), "x has 5 rows, y has 60"),
        ((X, None), "y must be an array with 60 rows, not None"),
        ((X, 1.0), "y must be an array with 60 rows, not 1.0"),
        ((NAN_X, LABELS), r"x\[5, 2\] is nan"),
        ((X, np.where(LABELS == 2, np.nan, LABELS)), r"y\[\d+\] is nan"),
        ((X, LABELS + 1), "y holds class 3, but the model has 3 outputs, for classes 0 to 2"),
        ((X, LABELS - 1), "y holds class -1"),
        ((X, LABELS + 0.5), r"y holds \d.5: class numbers are whole numbers"),
        ((X, np.eye(3)[LABELS]), 'looks one-hot: use loss="categorical_crossentropy"'),
        ((X, LABELS.astype(str).astype(object) + "a"), "turn labels into 0, 1, 2"),
        ((X, LABELS + 0j), "y must hold real numbers, not complex128"),
        ((X[:0], LABELS[:0]), "x is empty"),
        ((X, LABELS, np.ones(59)), r"sample_weight must have shape \(60,\)"),
    ],
)
@pytest.mark.parametrize("use", ["fit", "evaluate", "train_on_batch", "value_and_grad"])
def test_wrong_data_change_nothing(use, arguments, message):
    for model in (classifier(), classifier(input_shape=(4,))):
        if model.engine is None and "the model takes" in message:
            continue
        kept = None if model.engine is None else pickle.dumps(model)
        call = getattr(model, use)
        weight = {"sample_weight": arguments[2]} if len(arguments) == 3 else {}
        with pytest.raises(ValueError, match=message):
            call(*arguments[:2], **weight)
        if kept is None:
            assert model.engine is None
        else:
            assert pickle.dumps(model) == kept


def test_wrong_data_of_vjp_and_predict():
    model = classifier(input_shape=(4,))
    with pytest.raises(ValueError, match="x has 3 columns"):
        model.predict(X[:, :3])
    with pytest.raises(ValueError, match="dout has 2 columns; the model takes 3"):
        model.vjp(X, np.zeros((60, 2)))
    with pytest.raises(ValueError, match="x has 60 rows, dout has 5"):
        model.vjp(X, np.zeros((5, 3)))


def test_regression_targets_must_fit_the_outputs():
    model = regressor(input_shape=(4,))
    with pytest.raises(ValueError, match=r"y has shape \(60, 2\); a model with 1 output takes \(n, 1\) or \(n,\)"):
        model.fit(X, X[:, :2])


@pytest.mark.parametrize("rows", [3, 400])
def test_a_loss_that_overflows_has_no_harmless_gradient(rows):
    model = fastbp.Sequential([fastbp.Dense(2)], input_shape=(1,), seed=0)
    model.compile(loss="mean_squared_error")
    model.params[:] = 1e30
    loss, grad = model.value_and_grad(np.full((rows, 1), 1e10), np.zeros((rows, 2)))
    assert not np.isfinite(loss)
    assert not np.isfinite(grad).any() or np.abs(grad).min() > 1e30
