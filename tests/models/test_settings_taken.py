"""When a model takes its settings: what waits is said, weights are kept, models own what they took."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest

import fastbp
from fastbp import (
    GRU,
    LSTM,
    Activation,
    BatchNormalization,
    Bidirectional,
    CategoryEmbedding,
    Concatenate,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Residual,
)
from fastbp.initializers import Constant
from fastbp.losses import LOSSES, Huber, Loss
from fastbp.optimizers import OPTIMIZERS
from tests.settings.test_settings import X, Y, model_of


def waits(setting, layer="dense"):
    return pytest.warns(UserWarning, match=rf"'{layer}': {setting} is .* \(it was .*\). This waits for compile")


def test_batch_normalization_is_frozen_and_unfrozen():
    norm = BatchNormalization()
    model = model_of(Dense(5, "tanh"), norm, Dense(1))
    model.fit(X, Y, epochs=2, verbose=0)
    for trainable in (False, True, False):
        norm.trainable = trainable
        model.compile("sgd", "mean_squared_error")
        assert fastbp.check_gradients(model, X, Y, training=True).max_relative_error < 1e-7
        before = model.get_weights()
        model.train_on_batch(X, Y)
        moved = [bool((a != b).any()) for a, b in zip(before, model.get_weights(), strict=True)]
        assert moved == [True, True, *[trainable] * 4, True, True]


def test_activation_and_penalties_after_building():
    model = model_of(Dense(5, "tanh"), Dense(1))
    weights = model.get_weights()
    model.layers[0].activation = "gelu"
    model.layers[0].kernel_regularizer = fastbp.L2(0.3)
    model.compile("sgd", "mean_squared_error")
    for one, other in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert fastbp.check_gradients(model, X, Y).max_relative_error < 1e-7
    kernel, bias, kernel_1, bias_1 = weights
    z = X @ kernel + bias
    gelu = 0.5 * z * (1 + np.vectorize(math.erf)(z / np.sqrt(2)))
    right = np.mean((gelu @ kernel_1 + bias_1 - Y[:, None]) ** 2) + 0.3 * (kernel**2).sum()
    assert np.isclose(model.evaluate(X, Y), right, rtol=1e-12)


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("fitted", [True, False])
def test_without_compile_a_change_waits_and_is_said(built, fitted):
    """Before the first fit and after it: the same."""
    layer, twin = Dense(3), Dense(3)
    models = [fastbp.Sequential([one, Dense(1)], seed=0, input_shape=(4,) if built else None) for one in (layer, twin)]
    for model in models:
        model.compile("sgd", "mean_squared_error")
        if fitted:
            model.fit(X, Y, verbose=0)
    layer.trainable = False
    with waits("trainable"):
        models[0].fit(X, Y, verbose=0)
    models[1].fit(X, Y, verbose=0)
    np.testing.assert_array_equal(models[0].params, models[1].params)
    models[0].compile("sgd", "mean_squared_error")
    kernel = models[0].views["dense/kernel"].copy()
    models[0].fit(X, Y, verbose=0)
    np.testing.assert_array_equal(models[0].views["dense/kernel"], kernel)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.fit(X, Y, verbose=0),
        lambda model: model.train_on_batch(X, Y),
        lambda model: model.evaluate(X, Y),
        lambda model: model.predict(X),
        lambda model: model.value_and_grad(X, Y),
        lambda model: model.vjp(X, np.ones((24, 1))),
        lambda model: model.apply_gradients(),
        lambda model: model.summary(),
        lambda model: model.get_state(),
    ],
    ids=["fit", "train", "evaluate", "predict", "gradient", "vjp", "apply", "summary", "save"],
)
def test_every_method_says_what_waits(call):
    model = model_of(Dense(3, "tanh"), Dense(1))
    model.layers[0].activation = "relu"
    with waits("activation"):
        call(model)
    if not {"fit", "get_state"} & set(call.__code__.co_names):
        call(model)  # once: steps of a loop of one's own are many
    model.layers[0].activation = "tanh"
    call(model)


def test_what_a_callback_changes_is_said_within_the_fit():
    model, twin = (model_of(Dense(3), Dropout(0.1), Dense(1)) for _ in range(2))
    callback = fastbp.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(model.layers[1], "rate", 0.5))
    with waits("rate", "dropout") as warned:
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[callback])
    assert len(warned) == 3
    twin.fit(X, Y, epochs=3, verbose=0)
    np.testing.assert_array_equal(model.params, twin.params)


@dataclasses.dataclass
class Noting(Dense):
    """A layer of a user's that keeps things of its own."""

    def __post_init__(self):
        super().__post_init__()
        self.double = 2 * self.units

    def build(self, input_shape):
        self.seen = input_shape
        return super().build(input_shape)


def test_layers_of_one_s_own_keep_what_they_like():
    layer = Noting(3)
    layer.anything = 1
    model = model_of(layer, Dense(1))
    model.fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="units"):
        layer.units = -1
    layer.activation = "tanh"
    assert (layer.double, layer.anything, layer.activation.name) == (6, 1, "tanh")
    model.compile("sgd", "mean_squared_error")
    assert fastbp.check_gradients(model, X, Y).max_relative_error < 1e-7


def test_a_file_describes_what_the_weights_are(tmp_path):
    model = model_of(Dense(3, "tanh"), Dense(1))
    model.layers[0].activation = "relu"
    with waits("activation"):
        model.save(tmp_path / "m.fastbp")
    again = fastbp.load_model(tmp_path / "m.fastbp")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    model.compile("sgd", "mean_squared_error")
    model.save(tmp_path / "m.fastbp")
    np.testing.assert_array_equal(fastbp.load_model(tmp_path / "m.fastbp").predict(X), model.predict(X))


def test_a_model_that_is_not_built_takes_changes():
    layers = [Dense(3), Dense(1)]
    model = fastbp.Sequential(layers, seed=0)
    layers[0].units, layers[0].kernel_initializer = 5, "ones"
    model.layers.insert(1, Activation("tanh"))
    model.build((4,))
    assert (model.views["dense/kernel"] == np.ones((4, 5))).all()
    assert len(model.engine.network.layers) == 3


@pytest.mark.parametrize(
    ("layer", "shape", "setting", "value", "weight"),
    [
        (Dense(3), (4,), "units", 5, r"'dense/kernel' has shape \(4, 3\), and .* one of shape \(4, 5\)"),
        (Dense(3), (4,), "use_bias", False, "'dense/bias' has shape .* none"),
        (Conv1D(3, 2), (5, 2), "kernel_size", 3, "conv1d/kernel"),
        (GRU(3), (5, 2), "reset_after", False, "gru/bias"),
        (GRU(3, stateful=True, batch_size=2), (5, 2), "units", 4, "gru/kernel"),
        (BatchNormalization(), (4,), "center", False, "batchnormalization/beta"),
        (Embedding(5, 2), (3,), "input_dim", 6, "embedding/embeddings"),
        (CategoryEmbedding([3, 4], 2), (2,), "output_dims", 3, "categoryembedding"),
        (Bidirectional(LSTM(3)), (5, 2), "layer", GRU(3), "layers were added, removed or exchanged"),
        (Residual([Dense(4)]), (4,), "layers", [Dense(4)], "layers were added, removed or exchanged"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, fastbp.Layer) else str(value),
)
def test_weights_are_not_thrown_away(layer, shape, setting, value, weight):
    layer = copy.deepcopy(layer)
    model = model_of(layer, shape=shape)
    before, optimizer = model.params.copy(), model.optimizer
    setattr(layer, setting, value)
    with pytest.raises(ValueError, match=weight):
        model.compile("adam", "mean_squared_error")
    np.testing.assert_array_equal(model.params, before)
    assert model.optimizer is optimizer
    made = fastbp.Sequential(copy.deepcopy(model.layers), input_shape=shape, seed=0)
    assert made.engine is not None


def test_a_bias_that_is_new_is_drawn():
    model = model_of(Dense(3, use_bias=False), Dense(1))
    kernels = model.get_weights()[0], model.get_weights()[1]
    model.layers[0].bias_initializer, model.layers[0].use_bias = "ones", True
    model.compile("sgd", "mean_squared_error")
    assert list(model.views) == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]
    np.testing.assert_array_equal(model.views["dense/kernel"], kernels[0])
    np.testing.assert_array_equal(model.views["dense_1/kernel"], kernels[1])
    assert (model.views["dense/bias"] == 1).all()
    assert fastbp.check_gradients(model, X, Y).max_relative_error < 1e-7


def test_initializers_that_come_too_late_are_said():
    model = model_of(Dense(3))
    model.layers[0].kernel_initializer = "zeros"
    with pytest.warns(UserWarning, match="initial values of dense/kernel are drawn already"):
        model.compile("sgd", "mean_squared_error")
    assert model.views["dense/kernel"].all()


def test_arrays_and_views_stay_the_same_where_the_layout_does():
    model = model_of(Dense(3), Dense(1))
    params, kernel = model.params, model.views["dense/kernel"]
    model.layers[0].trainable = False
    model.compile("sgd", "mean_squared_error")
    assert model.params is params
    assert np.shares_memory(model.views["dense/kernel"], kernel)


def test_layers_of_a_built_model_are_not_exchanged():
    model = model_of(Dense(3), Dense(1))
    model.layers.append(Dense(2))
    for call in (lambda: model.fit(X, Y, verbose=0), lambda: model.compile("sgd", "mean_squared_error")):
        with pytest.raises(ValueError, match="layers were added, removed or exchanged"):
            call()
    model.layers.pop()
    model.fit(X, Y, verbose=0)


def test_states_begin_anew_where_their_rows_do():
    layer = GRU(2, stateful=True, batch_size=3)
    model = model_of(layer, Dense(1), shape=(4, 1))
    x = np.ones((3, 4, 1))
    first = model.predict(x)
    assert (model.predict(x) != first).all()
    layer.batch_size = 6
    model.compile("sgd", "mean_squared_error")
    assert model.views["gru/state"].shape == (6, 2)
    np.testing.assert_allclose(model.predict(np.ones((6, 4, 1))), np.repeat(first[:1], 6, axis=0), rtol=1e-12)


@pytest.mark.parametrize("of", ["model", "loop", "wrapper"])
def test_freezing_what_is_within(of):
    """As in Keras: a layer's `trainable` is that of the layers within it, and a model's that of its layers."""
    block = Residual([Dense(4, "tanh"), Concatenate([[Dense(2)], [Dropout(0.5), Dense(2)]])])
    model = model_of(block, BatchNormalization(), Dense(1))
    if of == "model":
        model.trainable = False
    elif of == "loop":
        for layer in model.layers:
            layer.trainable = False
    else:
        block.trainable = False
    assert block.layers[0].trainable is False
    model.compile("sgd", "mean_squared_error")
    frozen = [
        name for name, view in model.views.items() if of != "wrapper" or (name.startswith("dense") and name < "dense_3")
    ]
    before = {name: model.views[name].copy() for name in frozen}
    model.fit(X, Y, verbose=0)
    for name in frozen:
        np.testing.assert_array_equal(model.views[name], before[name])
    assert len(frozen) == (12 if of != "wrapper" else 6)
    assert model.trainable is (of == "wrapper")
    again = type(model).from_state(*copy.deepcopy(model.get_state()))
    assert not next(placed for placed in again.engine.network.layers if placed.name == "dense").spec.trainable


# Optimizers and losses


def test_a_plateau_of_one_model_is_not_another_s():
    optimizer = fastbp.SGD(0.1)
    one, other = (model_of(Dense(1), optimizer=optimizer) for _ in range(2))
    one.fit(X, Y, epochs=4, verbose=0, callbacks=[fastbp.ReduceLROnPlateau("loss", 0.5, 1, min_delta=100)])
    assert one.optimizer.learning_rate < 0.1
    assert other.optimizer.learning_rate == optimizer.learning_rate == 0.1
    optimizer.learning_rate = 0.3
    with pytest.warns(UserWarning, match=r"learning_rate of the optimizer .* set model.optimizer.learning_rate"):
        other.fit(X, Y, verbose=0)
    assert other.optimizer.learning_rate == 0.1
    other.optimizer.learning_rate = 0.3
    other.fit(X, Y, verbose=0)
    other.compile(optimizer, "mean_squared_error")
    other.train_on_batch(X, Y)
    assert other.optimizer.learning_rate == 0.3


LATER = {
    "sgd": {"learning_rate": 0.3, "weight_decay": 0.1, "clipvalue": 0.01, "global_clipnorm": 0.1},
    "adam": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.1, "learning_rate": fastbp.ExponentialDecay(0.1, 2, 0.5)},
    "adamw": {"weight_decay": 0.5, "beta_1": 0.5},
    "nadam": {"beta_1": 0.5, "epsilon": 0.1},
    "rmsprop": {"rho": 0.5, "epsilon": 0.1},
    "adagrad": {"epsilon": 0.1},
    "lion": {"beta_1": 0.5, "beta_2": 0.5},
}


@pytest.mark.parametrize(
    ("name", "setting", "value"), [(name, *one) for name, all_ in LATER.items() for one in all_.items()], ids=str
)
def test_what_is_assigned_to_a_model_s_optimizer_holds_from_the_next_update_on(name, setting, value):
    """After warm calls; the right values are those of a model that begins with the setting and with the same state."""
    model = model_of(Dense(2, "tanh"), Dense(1), optimizer=OPTIMIZERS[name](0.01))
    model.fit(X, Y, batch_size=8, verbose=0)
    model.train_on_batch(X, Y)
    fresh = model_of(
        Dense(2, "tanh"), Dense(1), optimizer=OPTIMIZERS[name](**{"learning_rate": 0.01} | {setting: value})
    )
    fresh.set_weights(model.get_weights())
    fresh.engine.state[:], fresh.engine.step, fresh.engine.epoch = model.engine.state, model.step, model.engine.epoch
    unchanged = copy.deepcopy(model)
    setattr(model.optimizer, setting, value)
    for each in (model, fresh, unchanged):
        each.fit(X, Y, batch_size=8, verbose=0)
        each.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.params, fresh.params)
    assert (model.params != unchanged.params).any()


def test_every_optimizer_is_changed():
    assert {name for name, cls in OPTIMIZERS.items() if cls.__module__.startswith("fastbp.")} == set(LATER)


@pytest.mark.parametrize(
    ("optimizer", "assignments"),
    [
        (fastbp.SGD(), {"momentum": 0.9}),
        (fastbp.Adam(), {"amsgrad": True}),
        (fastbp.RMSprop(centered=True), {"centered": False, "momentum": 0.9}),
        (fastbp.Adagrad(), {"initial_accumulator_value": 0.5}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_state_is_not_taken_for_another(tmp_path, optimizer, assignments):
    model = model_of(Dense(1), optimizer=optimizer)
    for name, value in assignments.items():
        setattr(model.optimizer, name, value)
    for call in (lambda: model.train_on_batch(X, Y), lambda: model.save(tmp_path / "m")):
        with pytest.raises(ValueError, match="call compile again"):
            call()
    model.compile(model.optimizer, "mean_squared_error")
    model.train_on_batch(X, Y)
    model.save(tmp_path / "m")


def test_a_loss_that_is_changed_waits_for_compile():
    @LOSSES.accept
    class Scaled(Loss):
        kernel, setting, name = staticmethod(Huber.kernel), 1.0, "scaled"

    loss = Scaled()
    model = model_of(Dense(1), loss=loss)
    huber = model_of(Dense(1), loss=fastbp.Huber(1.0))
    assert model.evaluate(X, Y) == huber.evaluate(X, Y)
    model.loss.setting = 0.1
    with pytest.warns(UserWarning, match="the loss was changed. This waits for compile"):
        model.fit(X, Y, verbose=0)
    huber.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(model.params, huber.params)
    model.compile("sgd", loss)
    huber.compile("sgd", fastbp.Huber(0.1))
    assert model.evaluate(X, Y) == huber.evaluate(X, Y)


def test_compile_while_fit_runs():
    model = model_of(Dense(1))
    callback = fastbp.LambdaCallback(on_epoch_begin=lambda epoch, logs: model.compile("adam", "mean_squared_error"))
    with pytest.raises(ValueError, match="compile was called while fit runs"):
        model.fit(X, Y, verbose=0, callbacks=[callback])
    model.compile("adam", "mean_squared_error")
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_stretch_end", "on_epoch_end", "on_train_end"])
def test_compile_in_any_hook_of_any_fit(hook):
    """Estimators have a model beneath, which callbacks get."""
    callback = fastbp.Callback()
    setattr(callback, hook, lambda *arguments: callback.model.compile("adam", "mean_squared_error"))
    model = model_of(Dense(1))
    with pytest.raises(ValueError, match="compile was called while fit runs"):
        model.fit(X, Y, verbose=0, callbacks=[callback])
    model.compile("adam", "mean_squared_error")
    estimator = fastbp.MLPRegressor(hidden_layer_sizes=(2,), max_iter=1, callbacks=[callback])
    with pytest.raises(ValueError, match="compile was called while fit runs"):
        estimator.fit(X, Y)


# Layers in two places


def test_layers_of_a_built_model_are_no_layers_of_another():
    base = model_of(Dense(3), Dropout(0.1), Dense(1))
    base.fit(X, Y, verbose=0)
    for layers in (base.layers[:-1], [*base.layers[:1], Dense(2)], base.layers, [Residual([Dense(4)]), base.layers[2]]):
        with pytest.raises(ValueError, match=r"another model that is built.*copy.deepcopy\(layers\).*new.views"):
            fastbp.Sequential(layers)
    features = fastbp.Sequential(copy.deepcopy(base.layers[:-1]), input_shape=(4,), dtype="float64")
    for name, view in features.views.items():
        view[...] = base.views[name]
    np.testing.assert_allclose(features.predict(X), X @ base.get_weights()[0] + base.get_weights()[1], rtol=1e-12)
    whole = copy.deepcopy(base)
    with pytest.raises(ValueError, match="another model that is built"):
        fastbp.Sequential(whole.layers[:-1])


def test_one_object_in_two_places():
    twice = Dense(4)
    for layers in ([twice, twice], [twice, Residual([twice])], [Concatenate([[twice], [twice]])]):
        with pytest.raises(ValueError, match=r"one Dense object stands twice .* copy.deepcopy\(layer\)"):
            fastbp.Sequential(layers)
    shape = model_of(twice, act := Activation("tanh"), Dense(4), act, copy.deepcopy(twice)).output_shape
    assert shape == (4,)


def test_what_layers_may_stand_in_another_model():
    """Those that were given; those without weights; of models that are gone, not built, or as they were drawn."""
    layers = [Dense(3), Dropout(0.1), Dense(1)]
    trained = model_of(*layers)
    trained.fit(X, Y, verbose=0)
    fastbp.Sequential(layers, input_shape=(4,))
    fastbp.Sequential([trained.layers[1], Dense(1)], input_shape=(4,))
    fastbp.Sequential(fastbp.Sequential([Dense(3), Dense(1)]).layers[:1], input_shape=(4,))
    taken = model_of(Dense(3), Dense(1)).layers[:1]
    fastbp.Sequential(taken, input_shape=(4,))
    drawn = model_of(Dense(3), Dense(1))
    np.testing.assert_array_equal(model_of(*drawn.layers).params, drawn.params)


def test_two_models_of_the_same_layers_take_their_settings_each_for_itself():
    """Keras's way to train two models in turn: the first goes on as it was compiled."""
    layers = [Dense(3, "tanh"), Dense(1)]
    first = model_of(*layers)
    layers[0].trainable = False
    second = model_of(*layers)
    with waits("trainable"):
        first.train_on_batch(X, Y)
    before = first.views["dense/kernel"].copy(), second.views["dense/kernel"].copy()
    for model in (first, second):
        model.train_on_batch(X, Y)
    assert (first.views["dense/kernel"] != before[0]).any()
    assert (second.views["dense/kernel"] == before[1]).all()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_settings_of_its_own(duplicate):
    model = model_of(Dense(3), BatchNormalization(), Residual([Dense(3)]), Dense(1))
    twin = duplicate(model)
    twin.layers[0].trainable = False
    twin.optimizer.learning_rate = 0.5
    assert model.layers[0].trainable
    assert model.optimizer.learning_rate == 0.01
    model.fit(X, Y, verbose=0)
    with waits("trainable"):
        twin.fit(X, Y, verbose=0)
    twin.compile("sgd", "mean_squared_error")
    assert fastbp.check_gradients(twin, X, Y, training=True).max_relative_error < 1e-7


# Callbacks


@pytest.mark.parametrize(
    ("callback", "setting", "value"),
    [
        (fastbp.EarlyStopping("loss"), "patience", -1),
        (fastbp.EarlyStopping("loss"), "mode", "most"),
        (fastbp.EarlyStopping("loss"), "baseline", "low"),
        (fastbp.EarlyStopping("loss"), "min_delta", None),
        (fastbp.ReduceLROnPlateau("loss"), "factor", 2),
        (fastbp.ReduceLROnPlateau("loss"), "min_lr", "0"),
        (fastbp.ReduceLROnPlateau("loss"), "cooldown", 0.5),
    ],
    ids=lambda value: str(value) if isinstance(value, str | int | float | None) else type(value).__name__,
)
def test_callbacks_check_their_settings_before_training(callback, setting, value):
    callback = copy.copy(callback)
    setattr(callback, setting, value)
    model = model_of(Dense(1))
    before = model.params.copy()
    with pytest.raises(ValueError, match=rf"\({setting}={value!r}"):
        model.fit(X, Y, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(model.params, before)


def test_a_monitor_that_is_changed_is_better_its_own_way():
    def hit_accuracy(y_true, y_pred):
        return -np.abs(np.ravel(y_true) - np.ravel(y_pred)).mean()

    callback = fastbp.EarlyStopping("loss", patience=1)
    callback.monitor = "hit_accuracy"
    model = model_of(Dense(1), optimizer=fastbp.SGD(0.05))
    model.compile(model.optimizer, "mean_squared_error", [hit_accuracy])
    history = model.fit(X, Y, epochs=5, verbose=0, callbacks=[callback]).history["hit_accuracy"]
    assert len(history) == 5
    assert callback.best == max(history) > history[0]


# What is fixed


@pytest.mark.parametrize(
    ("name", "fix"), [("dtype", "new model"), ("seed", "new model"), ("optimizer", "compile"), ("loss", "compile")]
)
def test_what_is_not_assigned_to(name, fix):
    model = model_of(Dense(1))
    before = getattr(model, name)
    with pytest.raises(AttributeError, match=f"{name} is not assigned to: .*{fix}"):
        setattr(model, name, before)
    assert getattr(model, name) == before


def test_an_initializer_with_a_large_array_is_not_copied():
    table = fastbp.layers.Embedding(1000, 16, embeddings_initializer=Constant(np.ones((1000, 16))))
    model = model_of(table, Flatten(), Dense(1), shape=(3,))
    assert model.engine.layers[0].embeddings_initializer is table.embeddings_initializer
    table.embeddings_initializer = Constant(np.zeros((1000, 16)))
    with pytest.warns(UserWarning, match="initial values of embedding/embeddings are drawn already"):
        model.compile("sgd", "mean_squared_error")
