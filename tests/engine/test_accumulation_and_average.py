"""Limits of each parameter's gradient, moving averages of parameters, and gradients added up, against Keras."""

import keras
import numpy as np
import pytest

import fastbp
from fastbp.engine import cut

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")

RNG = np.random.default_rng(5)
X = RNG.normal(size=(44, 5)).astype("float32")
Y = (X[:, :1] - X[:, 1:2] ** 2).astype("float32")
SETTINGS = {
    "clipnorm": {"clipnorm": 0.05},
    "clipnorm never reached": {"clipnorm": 1e6},
    "average": {"use_ema": True, "ema_momentum": 0.8},
    "average that overwrites": {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 4},
    "rounds": {"gradient_accumulation_steps": 3},
    "all": {
        "clipnorm": 0.1,
        "use_ema": True,
        "ema_momentum": 0.7,
        "ema_overwrite_frequency": 2,
        "gradient_accumulation_steps": 3,
        "weight_decay": 0.05,
    },
    "rounds, global norm": {"gradient_accumulation_steps": 2, "global_clipnorm": 0.1},
    "rounds, values": {"gradient_accumulation_steps": 2, "clipvalue": 0.02},
}


def keras_model(optimizer):
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((5,)),
        layers.Dense(7, "tanh", kernel_regularizer=keras.regularizers.L2(0.01)),
        layers.Dense(1, kernel_constraint=keras.constraints.MaxNorm(0.9)),
    ])  # fmt: skip
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=weight.shape) / 3 for weight in model.get_weights()])
    # With an average, compiled steps of this backend fail: the same buffer is given to them twice.
    model.compile(optimizer, "mse", run_eagerly=optimizer.use_ema)
    return model


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_as_keras(name, kind, small_work):
    """Two fits, so that counters and averages go on; the parameters are cut into many items."""
    rate = keras.optimizers.schedules.ExponentialDecay(0.05, 2, 0.8)
    more = {"momentum": 0.5} if kind == "SGD" else {"epsilon": 1e-3}
    theirs = keras_model(getattr(keras.optimizers, kind)(rate, **more, **SETTINGS[name]))
    ours = fastbp.from_keras(theirs)
    for _ in range(2):
        for first in [*range(0, 40, 8)] * 2:
            theirs.train_on_batch(X[first : first + 8], Y[first : first + 8])
        theirs.optimizer.finalize_variable_values(theirs.trainable_variables)
        ours.fit(X[:40], Y[:40], epochs=2, batch_size=8, shuffle=False, verbose=0)
        for found, weight in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(found, weight, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("name", ["all", "average", "rounds", "clipnorm"])
@pytest.mark.parametrize("lazy", [False, True])
def test_tables_as_with_dense_gradients(name, lazy, monkeypatch):
    """An embedding whose gradient is made row by row, beside one whose gradient is dense."""
    ids = RNG.integers(0, 400, (60, 3)).astype("float32")
    ids[:, 0] = np.arange(60) % 7
    y = RNG.normal(size=60)
    models = []
    for rows in (True, False):
        if not rows:
            monkeypatch.setattr(cut, "made_by_rows", lambda param, size: False)
        layers = [fastbp.Embedding(400, 4, lazy=lazy and rows), fastbp.Flatten(), fastbp.Dense(1)]
        model = fastbp.Sequential(layers, input_shape=(3,), seed=0, dtype="float64")
        model.compile(fastbp.SGD(0.1, **SETTINGS[name]), "mean_squared_error")
        model.fit(ids, y, epochs=2, batch_size=16, verbose=0)
        models.append(model)
    one, other = models
    assert one.step == other.step == 8
    if lazy and ("use_ema" in SETTINGS[name] or "weight_decay" in SETTINGS[name]):
        assert np.isfinite(one.params).all()
        # Rows that no batch reads keep their values.
        unread = np.setdiff1d(np.arange(400), ids)
        first = fastbp.Sequential([fastbp.Embedding(400, 4)], input_shape=(3,), seed=0, dtype="float64").params
        np.testing.assert_array_equal(one.views["embedding/embeddings"][unread], first.reshape(400, 4)[unread])
    else:
        np.testing.assert_allclose(one.params, other.params, rtol=1e-9, atol=1e-12)


def test_the_bits_do_not_depend_on_threads_and_a_saved_model_goes_on(small_work, run_threads, tmp_path):
    def model():
        made = fastbp.Sequential([fastbp.Dense(9, "relu"), fastbp.Dense(1)], input_shape=(5,), seed=0)
        made.compile(fastbp.Adam(0.01, **SETTINGS["all"]), "mean_squared_error")
        return made

    results = []
    for threads in (1, 2, 3):
        run_threads(threads)
        one = model()
        one.fit(X, Y, epochs=2, batch_size=10, verbose=0)
        one.fit(X, Y, epochs=1, batch_size=10, verbose=0)
        results.append(one.params.copy())
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    broken = model()
    broken.fit(X, Y, epochs=2, batch_size=10, verbose=0)
    broken.save(tmp_path / "m")
    again = fastbp.load_model(tmp_path / "m")
    again.fit(X, Y, epochs=1, batch_size=10, verbose=0)
    np.testing.assert_array_equal(again.params, results[0])


def test_a_round_is_one_batch_of_all_its_rows():
    whole = fastbp.Sequential([fastbp.Dense(3, "tanh"), fastbp.Dense(1)], input_shape=(5,), seed=0, dtype="float64")
    whole.compile(fastbp.Adam(0.01), "mean_squared_error")
    parts = fastbp.Sequential([fastbp.Dense(3, "tanh"), fastbp.Dense(1)], input_shape=(5,), seed=0, dtype="float64")
    parts.compile(fastbp.Adam(0.01, gradient_accumulation_steps=4), "mean_squared_error")
    whole.fit(X, Y, epochs=3, batch_size=44, shuffle=False, verbose=0)
    parts.fit(X, Y, epochs=3, batch_size=11, shuffle=False, verbose=0)
    np.testing.assert_allclose(whole.params, parts.params, rtol=1e-9)


def test_a_batch_without_weights_belongs_to_its_round():
    weight = np.ones(44)
    weight[11:22] = 0
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(5,), seed=0, dtype="float64")
    model.compile(fastbp.SGD(0.1, gradient_accumulation_steps=2), "mean_squared_error")
    before = model.params.copy()
    model.fit(X[:22], Y[:22], batch_size=11, shuffle=False, sample_weight=weight[:22], verbose=0)
    plain = fastbp.Sequential([fastbp.Dense(1)], input_shape=(5,), seed=0, dtype="float64")
    plain.compile(fastbp.SGD(0.05), "mean_squared_error")
    np.testing.assert_array_equal(before, plain.params)
    plain.fit(X[:11], Y[:11], batch_size=11, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.params, plain.params, rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clipnorm": 0}, "clipnorm=0"),
        ({"clipnorm": 1.0, "clipvalue": 1.0}, "set clipvalue or clipnorm, not both"),
        ({"ema_momentum": 1.5}, "ema_momentum=1.5"),
        ({"use_ema": 1}, "use_ema=1"),
        ({"ema_overwrite_frequency": 3}, "it needs use_ema=True"),
        ({"use_ema": True, "ema_overwrite_frequency": 0}, "ema_overwrite_frequency=0"),
        ({"gradient_accumulation_steps": 1}, "gradient_accumulation_steps=1"),
        ({"gradient_accumulation_steps": 2.5}, "gradient_accumulation_steps=2.5"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        fastbp.Adam(**settings)


def test_kept_numbers_need_a_new_compile():
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(5,), seed=0)
    model.compile("sgd", "mean_squared_error")
    model.optimizer.use_ema = True
    with pytest.raises(ValueError, match="call compile again"):
        model.fit(X, Y, verbose=0)
