"""The doctor: each finding on a network built to be ill, none on healthy ones; nothing is changed by an examination."""

import functools

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.preprocessing import scale

import fastbp
from fastbp import Dense
from fastbp.doctor.registered import CHECKS

SPARSE = "sparse_categorical_crossentropy"


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def compiled(layers, shape, optimizer="adam", loss="mse", **settings):
    model = fastbp.Sequential(layers, input_shape=shape, seed=0, **settings)
    model.compile(optimizer, loss)
    return model


def curve(values, **more):
    return {"loss": list(values)} | {name: list(others) for name, others in more.items()}


# What is wrong -> (model, x, y, more arguments), built to have it.
ILL = {}


def ill(check):
    def add(build):
        ILL.setdefault(check, []).append(build)
        return build

    return add


def table(n=200, d=4):
    x = normal(n, d)
    return x, x[:, 0] * x[:, 1]


@ill("dead_units")
def biases_far_below():
    model = compiled([Dense(8, "relu", bias_initializer=fastbp.Constant(-10.0)), Dense(1)], (4,))
    return model, *table(), {}


@ill("dead_units")
def a_filter_that_sees_nothing():
    layers = [
        fastbp.Conv2D(4, 3, activation="relu", bias_initializer=fastbp.Constant(-50.0)),
        fastbp.Flatten(),
        Dense(1),
    ]
    return compiled(layers, (6, 6, 1)), normal(64, 6, 6, 1), normal(64), {}


@ill("saturated_units")
def huge_inputs():
    x, y = table()
    return compiled([Dense(8, "tanh"), Dense(1)], (4,)), 1000 * x, y, {}


@ill("saturated_units")
def huge_weights():
    layers = [Dense(8, "sigmoid", kernel_initializer=fastbp.RandomNormal(stddev=100.0)), Dense(1)]
    return compiled(layers, (4,)), *table(), {}


@ill("vanishing_gradients")
def ten_sigmoid_layers():
    return compiled([*(Dense(8, "sigmoid") for _ in range(10)), Dense(1)], (4,)), *table(), {}


@ill("exploding_gradients")
def ten_layers_of_large_weights():
    layers = [Dense(16, "relu", kernel_initializer=fastbp.RandomNormal(stddev=3.0)) for _ in range(10)]
    return compiled([*layers, Dense(1)], (4,)), *table(), {}


@ill("exploding_gradients")
def a_gradient_that_overflows():
    layers = [Dense(16, kernel_initializer=fastbp.RandomNormal(stddev=1e4)) for _ in range(10)]
    return compiled([*layers, Dense(1)], (4,)), *table(), {}


@ill("exploding_gradients")
def targets_in_dollars():
    x, y = table()
    return compiled([Dense(8, "relu"), Dense(1)], (4,)), x, 1e5 * (3 + y), {}


@ill("layers_without_gradient")
def behind_a_dead_layer():
    model = compiled([Dense(8, "tanh"), Dense(8, "relu", bias_initializer=fastbp.Constant(-10.0)), Dense(1)], (4,))
    return model, *table(), {}


@ill("frozen_layers")
def frozen_by_accident():
    return compiled([Dense(8, "relu", trainable=False), Dense(1)], (4,)), *table(), {}


@ill("frozen_layers")
def nothing_is_trained():
    model = compiled([Dense(8, "relu"), Dense(1)], (4,))
    model.trainable = False
    model.compile("adam", "mse")
    return model, *table(), {}


@ill("waiting_changes")
def changed_after_compile():
    model = compiled([Dense(8, "relu"), Dense(1)], (4,))
    model.layers[0].trainable = False
    return model, *table(), {}


@ill("equal_units")
def all_ones():
    return compiled([Dense(8, "tanh", kernel_initializer="ones"), Dense(1)], (4,)), *table(), {}


@ill("large_updates")
def a_rate_of_five():
    return compiled([Dense(8, "relu"), Dense(1)], (4,), fastbp.Adam(5.0)), *table(), {}


@ill("small_updates")
def a_rate_of_next_to_nothing():
    return compiled([Dense(8, "relu"), Dense(1)], (4,), fastbp.Adam(1e-9)), *table(), {}


@ill("target_range")
def relu_for_negative_targets():
    x, y = table()
    return compiled([Dense(8, "relu"), Dense(1, "relu")], (4,)), x, y, {}


@ill("target_range")
def tanh_for_large_targets():
    x, y = table()
    return compiled([Dense(8, "relu"), Dense(1), fastbp.Activation("tanh")], (4,)), x, 5 * y, {}


@ill("target_range")
def hinge_behind_sigmoid():
    x, y = table()
    return compiled([Dense(1, "sigmoid")], (4,), loss="hinge"), x, np.where(y > 0, 1, -1), {}


@ill("loss_for_classes")
def squares_behind_sigmoid():
    x, y = table()
    return compiled([Dense(8, "relu"), Dense(1, "sigmoid")], (4,)), x, y > 0, {}


@ill("loss_for_classes")
def squares_behind_softmax():
    x, y = load_iris(return_X_y=True)
    return compiled([Dense(3, "softmax")], (4,)), x, np.eye(3)[y], {}


@ill("labels_that_exclude_each_other")
def sigmoids_for_classes():
    x, y = load_iris(return_X_y=True)
    return compiled([Dense(3, "sigmoid")], (4,), loss="binary_crossentropy"), x, np.eye(3)[y], {}


@ill("negative_rates")
def poisson_of_a_linear_layer():
    return compiled([Dense(1)], (4,), loss="poisson"), normal(100, 4), np.arange(100) % 5, {}


@ill("constant_softmax")
def softmax_of_one():
    x, y = table()
    return compiled([Dense(1, "softmax")], (4,)), x, y > 0, {}


@ill("one_prediction")
def only_a_bias():
    x, y = table()
    model = compiled([Dense(8, "relu"), Dense(1)], (4,))
    model.fit(x, y, epochs=1, verbose=0)
    model.views["dense_1/kernel"][:] = 0
    return model, x, y, {}


@ill("input_scale")
def one_column_in_grams():
    x, y = table()
    x[:, 2] *= 5000
    return compiled([Dense(8, "relu"), Dense(1)], (4,)), x, y, {}


@ill("input_scale")
def pixels_of_bytes():
    x = np.random.default_rng(0).integers(0, 256, (64, 6, 6, 1))
    layers = [fastbp.Conv2D(4, 3, activation="relu"), fastbp.Flatten(), Dense(1)]
    return compiled(layers, (6, 6, 1)), x, normal(64), {}


@ill("input_scale")
def a_column_that_hardly_varies():
    x, y = table()
    x[:, 1] *= 1e-5
    return compiled([Dense(8, "relu"), Dense(1)], (4,)), x, y, {}


@ill("input_scale")
def columns_that_hardly_vary():
    x, y = table()
    return compiled([Dense(8, "relu"), Dense(1)], (4,)), 1e-5 * x, y, {}


@ill("constant_inputs")
def a_sensor_that_is_off():
    x, y = table()
    x[:, 3] = 7
    return compiled([Dense(8, "relu"), Dense(1)], (4,)), x, y, {}


@ill("duplicated_inputs")
def celsius_and_fahrenheit():
    x, y = table()
    x[:, 3] = 3.2 + 1.8 * x[:, 1]
    return compiled([Dense(8, "relu"), Dense(1)], (4,)), x, y, {}


@ill("leaking_inputs")
def the_answer_among_the_columns():
    x, y = table()
    x[:, 3] = 2 * (y > 0) + 0.01 * x[:, 2]
    return compiled([Dense(1, "sigmoid")], (4,), loss="binary_crossentropy"), x, y > 0, {}


@ill("leaking_inputs")
def the_price_in_another_currency():
    x, y = table()
    x[:, 3] = 1.1 * y + 0.001 * x[:, 2]
    return compiled([Dense(8, "relu"), Dense(1)], (4,)), x, y, {}


@ill("class_imbalance")
def few_frauds():
    x, _ = table(400)
    return compiled([Dense(1, "sigmoid")], (4,), loss="binary_crossentropy"), x, np.arange(400) % 40 == 0, {}


@ill("contradicting_labels")
def twins_with_other_labels():
    x, y = load_iris(return_X_y=True)
    x, y = np.vstack([x, x[:5]]), np.append(y, (y[:5] + 1) % 3)
    return compiled([Dense(3, "softmax")], (4,), loss=SPARSE), x, y, {}


@ill("label_noise")
def a_tenth_of_the_labels_changed():
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    y = np.where(rng.random(len(y)) < 0.1, rng.integers(0, 10, len(y)), y)
    return compiled([Dense(10, "softmax")], (64,), loss=SPARSE), x / 16, y, {}


@ill("target_scale")
def targets_of_hundreds():
    x, y = load_diabetes(return_X_y=True)
    return compiled([Dense(8, "relu"), Dense(1)], (10,)), scale(x), y, {}


@ill("shared_rows")
def validated_on_training_rows():
    x, y = table()
    return compiled([Dense(8, "relu"), Dense(1)], (4,)), x, y, {"validation_data": (x[:50], y[:50])}


@ill("diverging")
def a_loss_that_grows():
    return compiled([Dense(1)], (4,)), *table(), {"history": curve([1, 3, 20])}


@ill("diverging")
def a_loss_that_is_no_number():
    return compiled([Dense(1)], (4,)), *table(), {"history": curve([1, 0.9, np.nan])}


@ill("restless_loss")
def a_rate_that_is_too_high():
    x, y = sine()
    model = compiled([Dense(32, "relu"), Dense(1)], (1,), fastbp.Adam(0.1))
    return model, x, y, {"history": model.fit(x, y, epochs=30, batch_size=4, verbose=0), "batch_size": 4}


@ill("slow_loss")
def a_rate_that_is_too_low():
    x, y = table()
    model = compiled([Dense(8, "relu"), Dense(1)], (4,), fastbp.SGD(1e-5))
    return model, x, y, {"history": model.fit(x, y, epochs=8, verbose=0)}


@ill("overfitting")
def by_heart():
    x, y = load_diabetes(return_X_y=True)
    x, y = scale(x)[:120], scale(y)[:120]
    model = compiled([Dense(64, "relu"), Dense(64, "relu"), Dense(1)], (10,), fastbp.Adam(0.01))
    return model, x[:60], y[:60], {"history": model.fit(x, y, epochs=40, validation_split=0.5, verbose=0)}


@ill("generalization_gap")
def noise_by_heart():
    x, y, other = normal(48, 20), normal(48, seed=1), normal(48, 20, seed=2)
    model = compiled([Dense(64, "relu"), Dense(1)], (20,), fastbp.Adam(0.01))
    model.fit(x, y, epochs=60, verbose=0)
    return model, x, y, {"validation_data": (other, normal(48, seed=3))}


@ill("underfitting")
def a_line_through_a_product():
    x, y = table(1000)
    model = compiled([Dense(1)], (4,), fastbp.Adam(0.01))
    model.fit(x, y, epochs=10, verbose=0)
    return model, x, y, {}


@ill("few_updates")
def one_batch_an_epoch():
    x, y = table(400)
    model = compiled([Dense(8, "relu"), Dense(1)], (4,))
    history = model.fit(x, y, epochs=5, batch_size=400, verbose=0)
    return model, x, y, {"history": history, "batch_size": 400}


@ill("small_batches_to_normalize")
def statistics_of_two_rows():
    return compiled([Dense(8), fastbp.BatchNormalization(), Dense(1)], (4,)), *table(), {"batch_size": 2}


CASES = [(check, build) for check, builds in ILL.items() for build in builds]


def bits_of(model):
    """All that an examination must leave as it is."""
    engine = model.engine
    arrays = [engine.params, engine.grads, engine.buffers, engine.state]
    metrics = [name for name, _ in engine.metrics]
    rate = model.optimizer.learning_rate
    return [array.tobytes() for array in arrays], model.step, engine.epoch, model.seed, metrics, rate


@pytest.mark.parametrize(("check", "build"), CASES, ids=[f"{check}-{build.__name__}" for check, build in CASES])
def test_an_ill_network_is_told_what_it_has(check, build):
    model, x, y, more = build()
    before = bits_of(model)
    diagnosis = fastbp.diagnose(model, x, y, **more)
    assert bits_of(model) == before
    (finding,) = diagnosis[check][:1]
    assert finding.check == check
    assert finding.layer is None or f"{finding.layer}/" in " ".join(model.views) or finding.layer == "activation"
    assert finding.text
    assert finding.normal
    assert finding.remedy
    assert isinstance(finding.figure, float)


def test_every_check_has_a_network_that_is_ill_with_it():
    fastbp.diagnose(*by_heart()[:3])
    assert set(ILL) == set(CHECKS)


@functools.cache
def digits():
    x, y = load_digits(return_X_y=True)
    return x / 16, y


def of_sequences():
    x = normal(300, 12, 2)
    return x, x[:, :, 0].sum(axis=1) > 0


def of_categories():
    ids = np.random.default_rng(0).integers(0, 20, (300, 10))
    return ids, (ids[:, 0] + ids[:, 1] > 19).astype(int)


def of_columns_and_categories():
    rng = np.random.default_rng(0)
    numbers, codes = normal(300, 3), rng.integers(0, 50, 300)
    return np.column_stack([numbers, codes]), numbers[:, 0] + (codes > 25) + 0.2 * rng.normal(size=300)


def scaled(load, **more):
    x, y = load(return_X_y=True)
    return scale(x), scale(y) if more.get("target") else y


def cnn():
    return [
        fastbp.Conv2D(8, 3, activation="relu"),
        fastbp.MaxPooling2D(2),
        fastbp.Conv2D(16, 3, activation="relu"),
        fastbp.Flatten(),
        Dense(10, "softmax"),
    ]


def branches():
    categories = [fastbp.Columns([3]), fastbp.CategoryEmbedding([50], 4)]
    return [fastbp.Concatenate([[fastbp.Columns(range(3))], categories]), Dense(16, "relu"), Dense(1)]


def xor():
    return np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])


def sine():
    x = np.linspace(-3, 3, 200)[:, None]
    return x, np.sin(2 * x[:, 0])


HEALTHY = {
    "iris": (lambda: [Dense(16, "relu"), Dense(3, "softmax")], lambda: load_iris(return_X_y=True), 0.02, SPARSE, 40),
    "iris, tanh": (
        lambda: [Dense(16, "tanh"), Dense(16, "tanh"), Dense(3, "softmax")],
        lambda: scaled(load_iris),
        0.01,
        SPARSE,
        40,
    ),
    "digits": (lambda: [Dense(64, "relu"), Dense(32, "relu"), Dense(10, "softmax")], digits, 0.001, SPARSE, 10),
    "digits as they are": (
        lambda: [Dense(64, "relu"), Dense(10, "softmax")],
        lambda: load_digits(return_X_y=True),
        0.001,
        SPARSE,
        8,
    ),
    "digits, sigmoid": (lambda: [Dense(32, "sigmoid"), Dense(10, "softmax")], digits, 0.01, SPARSE, 10),
    "digits, batch normalization": (
        lambda: [Dense(32), fastbp.BatchNormalization(), fastbp.Activation("relu"), Dense(10, "softmax")],
        digits,
        0.003,
        SPARSE,
        5,
    ),
    "digits, four layers": (
        lambda: [*(Dense(32, "relu") for _ in range(4)), Dense(10, "softmax")],
        digits,
        0.003,
        SPARSE,
        8,
    ),
    "digits, cnn": (cnn, lambda: (digits()[0].reshape(-1, 8, 8, 1)[:800], digits()[1][:800]), 0.003, SPARSE, 5),
    "digits, autoencoder": (
        lambda: [Dense(32, "relu"), Dense(8), Dense(32, "relu"), Dense(64, "sigmoid")],
        lambda: (digits()[0], digits()[0]),
        0.003,
        "mse",
        8,
    ),
    "diabetes": (
        lambda: [Dense(16, "relu"), Dense(1)],
        lambda: scaled(load_diabetes, target=True),
        0.003,
        "mse",
        30,
    ),
    "cancer": (
        lambda: [Dense(16, "relu"), Dense(1, "sigmoid")],
        lambda: scaled(load_breast_cancer),
        0.003,
        "binary_crossentropy",
        15,
    ),
    "wine": (lambda: [Dense(16, "relu"), Dense(3, "softmax")], lambda: scaled(load_wine), 0.01, SPARSE, 20),
    "sine": (lambda: [Dense(32, "tanh"), Dense(32, "tanh"), Dense(1)], sine, 0.01, "mse", 60),
    "xor": (lambda: [Dense(4, "tanh"), Dense(1, "sigmoid")], xor, 0.02, "binary_crossentropy", 300),
    "gru": (lambda: [fastbp.GRU(16), Dense(1, "sigmoid")], of_sequences, 0.01, "binary_crossentropy", 8),
    "lstm": (
        lambda: [fastbp.LSTM(16, return_sequences=True), fastbp.LSTM(8), Dense(1, "sigmoid")],
        of_sequences,
        0.01,
        "binary_crossentropy",
        8,
    ),
    "embedding": (
        lambda: [fastbp.Embedding(20, 8), fastbp.Flatten(), Dense(16, "relu"), Dense(2, "softmax")],
        of_categories,
        0.01,
        SPARSE,
        6,
    ),
    "numbers and categories": (branches, of_columns_and_categories, 0.01, "mse", 20),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_network_has_nothing(name):
    """When it is new, and when it has been trained."""
    layers, data, rate, loss, epochs = HEALTHY[name]
    x, y = data()
    order = np.random.default_rng(1).permutation(len(x))
    x, y = x[order], y[order]
    model = compiled(layers(), x.shape[1:], fastbp.Adam(rate), loss)
    assert fastbp.diagnose(model, x, y).checks == []
    history = model.fit(x, y, epochs=epochs, validation_split=0.2 if len(x) > 4 else 0.0, verbose=0)
    diagnosis = fastbp.diagnose(model, x, y, history=history)
    assert diagnosis.checks == [], str(diagnosis)
