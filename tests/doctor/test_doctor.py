"""The doctor: each finding on a network built to be ill, none on healthy ones; nothing is changed by an examination."""

import copy
import functools
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

import fastbp
from fastbp import Dense
from fastbp.doctor.check_registry import CHECKS

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


def test_a_model_that_is_not_built_stays_so():
    x, y = table()
    model = fastbp.Sequential([Dense(8, "relu"), Dense(1, "relu")], seed=0)
    model.compile("adam", "mse")
    assert "target_range" in fastbp.diagnose(model, x, y).checks
    assert model.engine is None


def test_the_end_of_a_schedule_is_no_illness():
    x, y = scaled(load_diabetes, target=True)
    model = compiled([Dense(16, "relu"), Dense(1)], (10,), fastbp.Adam(fastbp.CosineDecay(0.003, 10 * 14)))
    model.fit(x, y, epochs=10, verbose=0)
    assert model.optimizer.learning_rates(np.array([model.step + 1]))[0] == 0
    assert fastbp.diagnose(model, x, y).checks == []
    model.compile(fastbp.Adam(fastbp.CosineDecay(0.003, 2 * 14)), fastbp.Huber())  # whose baseline is not known
    model.fit(x, y, epochs=3, verbose=0)
    assert fastbp.diagnose(model, x, y).checks == []


def test_what_is_found_is_sorted_and_told():
    x, y = table()
    x[:, 3] = 7
    model = compiled([Dense(8, "relu", trainable=False), Dense(1, "relu")], (4,))
    frame = pd.DataFrame(x, columns=["age", "<b>", "size", "off"])
    diagnosis = fastbp.diagnose(model, frame, y)
    assert diagnosis.checks == ["target_range", "frozen_layers", "constant_inputs"]
    assert [one.severity for one in diagnosis] == ["serious", "warning", "note"]
    assert "The same in all rows: 'off'." in diagnosis["constant_inputs"][0].text
    text = str(diagnosis)
    assert text.startswith("3 findings: 1 serious, 1 warning, 1 note (200 rows).\n\nserious: target_range in 'dense_1'")
    assert repr(diagnosis) == text
    page = diagnosis._repr_html_()
    assert page.count("<tr>") == 4
    assert "frozen_layers" in page
    assert list(diagnosis.to_frame()["check"]) == diagnosis.checks
    assert not fastbp.doctor.Diagnosis([])
    assert str(fastbp.doctor.Diagnosis([], "5 rows")) == "Nothing found (5 rows)."
    assert "<table>" not in fastbp.doctor.Diagnosis([])._repr_html_()


def test_names_of_columns_are_escaped():
    x, y = table()
    x[:, 1] = 7
    frame = pd.DataFrame(x, columns=["age", "<b>", "size", "off"])
    page = fastbp.diagnose(compiled([Dense(1)], (4,)), frame, y)._repr_html_()
    assert "&lt;b&gt;" in page
    assert "'<b>'" not in page


def test_a_finding_needs_one_edit():
    """A function under the decorator is a check."""
    from fastbp.doctor.check_registry import check, found

    try:

        @check("rows")
        def thirteen_units(patient):
            for name in patient.layers:
                if getattr(patient.spec(name), "units", 0) == 13:
                    yield found("thirteen_units", "note", name, 13, text="13 units.", normal="12.", remedy="12.")

        assert fastbp.diagnose(compiled([Dense(13), Dense(1)], (4,)), *table())["thirteen_units"][0].layer == "dense"
    finally:
        CHECKS.pop("thirteen_units", None)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": "net"}, TypeError, "diagnose takes a Sequential, not str"),
        ({"batch_size": 0}, ValueError, "batch_size=0: it is a whole number of at least 1"),
        ({"history": [1, 2]}, TypeError, "history is what fit returned"),
        ({"validation_data": 3}, ValueError, "validation_data is a tuple"),
        ({"x": np.ones((200, 5))}, ValueError, "x has 5 columns; the model takes 4"),
        ({"y": np.ones(3)}, ValueError, "200"),
    ],
)
def test_what_diagnose_refuses(arguments, error, message):
    x, y = table()
    given = {"model": compiled([Dense(1)], (4,)), "x": x, "y": y} | arguments
    with pytest.raises(error, match=message):
        fastbp.diagnose(given.pop("model"), given.pop("x"), given.pop("y"), **given)


def test_a_model_that_is_not_compiled():
    with pytest.raises(ValueError, match="diagnose needs a compiled model"):
        fastbp.diagnose(fastbp.Sequential([Dense(1)], input_shape=(4,)), *table())
    with pytest.raises(ValueError, match="learning_rate_range needs a compiled model"):
        fastbp.doctor.learning_rate_range(fastbp.Sequential([Dense(1)], input_shape=(4,)), *table())


def test_weights_and_masks_count_in_the_baseline():
    """Against the loss of a model that can say nothing but a constant, which `evaluate` gives."""
    from fastbp.doctor.baseline import constant_loss

    rng = np.random.default_rng(0)
    y, weight = rng.integers(0, 3, 60), rng.random(60).astype("float32")
    model = compiled([Dense(3, "softmax", kernel_initializer="zeros")], (2,), loss=SPARSE)
    p = np.bincount(y, weight) / weight.sum()
    model.views["dense/bias"][:] = np.log(p)
    x = np.zeros((60, 2))
    expected = model.evaluate(x, y, sample_weight=weight)
    assert constant_loss(model.engine.loss, model._rows(x, y, weight)) == pytest.approx(expected, rel=1e-5)
    layers = [fastbp.Masking(), fastbp.SimpleRNN(1, return_sequences=True), Dense(1, kernel_initializer="zeros")]
    steps, targets = normal(20, 5, 2), normal(20, 5, 1, seed=1)
    steps[:, 3:] = 0
    model = compiled(layers, (5, 2))
    model.views["dense/bias"][:] = targets[:, :3].mean()
    expected = model.evaluate(steps, targets)
    assert constant_loss(model.engine.loss, model._rows(steps, targets)) == pytest.approx(expected, rel=1e-5)
    model = compiled([Dense(1, kernel_initializer="zeros")], (2,), loss="mae")
    model.views["dense/bias"][:] = np.median(targets[:, 0])
    expected = model.evaluate(steps[:, 0], targets[:, 0])
    assert constant_loss(model.engine.loss, model._rows(steps[:, 0], targets[:, 0])) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("stateful", [False, True])
def test_sequences_and_own_losses_can_be_examined(stateful):
    x = normal(48, 6, 2)
    extra = {"stateful": True, "batch_size": 16} if stateful else {}
    model = compiled([fastbp.GRU(4, **extra), Dense(1)], (6, 2), loss=fastbp.Huber())
    before = bits_of(model)
    assert fastbp.diagnose(model, x, x[:, -1, 0]).checks == []
    fastbp.doctor.learning_rate_range(model, x, x[:, -1, 0], steps=20)
    assert bits_of(model) == before


def test_the_callback_tells_at_the_end_and_leaves_the_bits(capsys):
    x, y = table()
    models = [compiled([Dense(8, "relu"), fastbp.Dropout(0.5), Dense(1, "relu")], (4,)) for _ in range(2)]
    doctor = fastbp.Doctor()
    models[0].fit(x, y, epochs=3, verbose=0)
    models[1].fit(x, y, epochs=3, verbose=0, callbacks=[doctor])
    assert bits_of(models[0]) == bits_of(models[1])
    assert doctor.diagnosis.checks == ["target_range"]
    told = capsys.readouterr().out
    assert told.startswith("After the first epoch:\nserious: target_range in 'dense_1'")
    assert told.endswith(f"{doctor.diagnosis}\n")
    assert doctor.training_rows is None
    models[1].fit(x, y, epochs=2, verbose=0, callbacks=[doctor])
    assert doctor.diagnosis.looked_at == "200 rows, 2 epochs"


def test_a_quiet_callback_and_a_healthy_run(capsys):
    x, y = load_iris(return_X_y=True)
    doctor = fastbp.Doctor(verbose=0)
    model = compiled([Dense(8, "tanh"), Dense(3, "softmax")], (4,), fastbp.Adam(0.02), SPARSE)
    model.fit(scale(x), y, epochs=3, verbose=0, callbacks=[doctor])
    assert doctor.diagnosis.checks == []
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match=r"Doctor\(verbose=2\)"):
        fastbp.Doctor(verbose=2)


def test_the_callback_examines_what_diverged():
    x, y = table()
    doctor = fastbp.Doctor(verbose=0)
    model = compiled([Dense(1)], (4,), fastbp.SGD(1e6))
    with pytest.raises(fastbp.TrainingDiverged):
        model.fit(x, y, epochs=50, callbacks=[doctor], verbose=0)
    assert {"diverging", "large_updates"} <= set(doctor.diagnosis.checks)


def test_the_callback_follows_the_curves_of_an_estimator():
    x, y = table()
    doctor = fastbp.Doctor(verbose=0)
    settings = {"solver": "sgd", "learning_rate_init": 1e-5, "max_iter": 8, "momentum": 0, "tol": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fastbp.MLPRegressor(hidden_layer_sizes=(8,), callbacks=[doctor], random_state=0, **settings).fit(x, y)
    assert doctor.diagnosis.checks == ["slow_loss"]
    assert doctor.diagnosis.looked_at == "8 epochs"


@pytest.mark.parametrize("optimizer", [fastbp.Adam, fastbp.SGD])
@pytest.mark.parametrize("name", ["iris", "digits as they are", "diabetes", "gru"])
def test_the_suggested_rate_learns(name, optimizer):
    """At least half as much as the rate that was chosen by hand, for Adam, and better than a hundredth of itself."""
    layers, data, rate, loss, epochs = HEALTHY[name]
    x, y = data()
    order = np.random.default_rng(1).permutation(len(x))
    x, y = x[order], y[order]
    model = compiled(layers(), x.shape[1:], optimizer(), loss)
    before = bits_of(model)
    found = fastbp.doctor.learning_rate_range(model, x, y)
    assert bits_of(model) == before
    assert found.suggestion <= found.largest / 3

    def loss_at(rate):
        model = compiled(layers(), x.shape[1:], optimizer(rate), loss)
        model.fit(x, y, epochs=min(epochs, 15), verbose=0)
        return model.evaluate(x, y)

    reached = loss_at(found.suggestion)
    assert reached < loss_at(found.suggestion / 100)
    if optimizer is fastbp.Adam:
        assert reached < 2 * loss_at(rate)


def test_a_range_test_that_finds_nothing():
    x, y = table()
    model = compiled([Dense(1)], (4,))
    model.trainable = False
    model.compile("adam", "mse")
    found = fastbp.doctor.learning_rate_range(model, x, y, steps=20)
    assert found.suggestion is None
    assert "the loss never falls" in repr(found)
    assert len(found.rates) == len(found.losses) == 20


def test_a_range_test_with_a_schedule_and_accumulation():
    x, y = table()
    rate = fastbp.CosineDecay(0.01, 100)
    model = compiled([Dense(8, "relu"), Dense(1)], (4,), fastbp.Adam(rate, gradient_accumulation_steps=4))
    before = bits_of(model)
    plain = compiled([Dense(8, "relu"), Dense(1)], (4,))
    found = [fastbp.doctor.learning_rate_range(one, x, y) for one in (model, plain)]
    assert np.array_equal(found[0].losses, found[1].losses)
    assert bits_of(model) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lowest": 0}, "lowest=0, highest=10.0: rates are 0 < lowest < highest"),
        ({"lowest": 1, "highest": 0.1}, "lowest=1, highest=0.1"),
        ({"highest": np.inf}, "highest=inf"),
        ({"steps": 5}, "steps=5: a test takes 10 at least"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_what_the_range_test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        fastbp.doctor.learning_rate_range(compiled([Dense(1)], (4,)), *table(), **arguments)


def test_the_picture_of_the_range_test():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    x, y = table()
    found = fastbp.doctor.learning_rate_range(compiled([Dense(8, "relu"), Dense(1)], (4,)), x, y)
    ax = found.plot()
    assert ax.get_xscale() == "log"
    assert np.array_equal(ax.lines[0].get_ydata(), found.losses)
    assert ax.lines[1].get_xdata()[0] == found.suggestion
    assert found.plot(ax) is ax


def test_a_copy_is_examined_and_not_the_model():
    """Also where metrics of one's own would fail."""
    x, y = table()
    model = fastbp.Sequential([Dense(1)], input_shape=(4,), seed=0)

    def broken(y_true, y_pred):
        raise RuntimeError("not here")

    model.compile("adam", "mse", metrics=[broken])
    twin = copy.deepcopy(model)
    fastbp.diagnose(model, x, y)
    assert bits_of(model) == bits_of(twin)
