"""fit: epochs, validation, weights, histories, continuing, Ctrl-C and divergence."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fastbp

RNG = np.random.default_rng(1)
X = RNG.normal(size=(90, 4)).astype("float32")
LABELS = (X[:, 0] + 0.3 * RNG.normal(size=90) > 0).astype(int)
TARGET = X.sum(1)


def classifier(optimizer="adam", dropout=0.3, metrics=("accuracy",)):
    layers = [fastbp.Dense(6, activation="relu"), fastbp.Dropout(dropout), fastbp.Dense(2, activation="softmax")]
    model = fastbp.Sequential(layers, seed=3)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=list(metrics))
    return model


def fit(model, x=X, y=LABELS, **settings):
    return model.fit(x, y, **{"batch_size": 20, "verbose": 0, **settings})


# Histories


def test_history_of_every_epoch():
    model = classifier()
    history = fit(model, epochs=3, validation_split=0.2)
    assert list(history.history) == ["loss", "accuracy", "learning_rate", "val_loss", "val_accuracy"]
    assert all(len(values) == 3 for values in history.history.values())
    assert all(type(value) is float for values in history.history.values() for value in values)
    assert history.epoch == [0, 1, 2]
    assert history.params == {"epochs": 3, "steps": 4, "metrics": list(history.history)}
    assert history.model is model
    assert history.history["learning_rate"] == [0.001] * 3


def test_loss_and_metrics_of_training_are_those_of_the_outputs_it_saw():
    trained, stepped = classifier("sgd", dropout=0.0), classifier("sgd", dropout=0.0)
    stepped.build((4,))
    history = fit(trained, epochs=2, shuffle=False).history
    for epoch in range(2):
        outputs, losses = [], []
        for start in range(0, 90, 20):
            batch = slice(start, start + 20)
            outputs.append(stepped.predict(X[batch]))
            losses.append(stepped.train_on_batch(X[batch], LABELS[batch])[0] * len(X[batch]))
        assert history["accuracy"][epoch] == (np.concatenate(outputs).argmax(1) == LABELS).mean()
        np.testing.assert_allclose(history["loss"][epoch], sum(losses) / 90, rtol=1e-12)
    np.testing.assert_array_equal(trained.params, stepped.params)


@pytest.mark.parametrize("shuffle", [True, False])
def test_at_rest_training_and_validation_report_what_evaluation_does(shuffle):
    model = classifier(fastbp.SGD(0.0), dropout=0.0, metrics=["accuracy", "auc", "log_loss"])
    history = fit(model, batch_size=32, shuffle=shuffle, validation_data=(X, LABELS)).history
    for name, value in model.evaluate(X, LABELS, return_dict=True).items():
        np.testing.assert_allclose(history[name], value, rtol=1e-6)
        assert history[f"val_{name}"] == [value]


def test_validation_split_takes_the_last_rows():
    split, given = classifier(), classifier()
    weight = np.linspace(0.5, 2, 90)
    histories = [
        fit(split, sample_weight=weight, epochs=2, validation_split=0.25).history,
        fit(
            given,
            X[:67],
            LABELS[:67],
            sample_weight=weight[:67],
            epochs=2,
            validation_data=(X[67:], LABELS[67:], weight[67:]),
        ).history,
    ]
    assert histories[0] == histories[1]
    np.testing.assert_array_equal(split.params, given.params)
    expected = split.evaluate(X[67:], LABELS[67:], sample_weight=weight[67:], return_dict=True)
    assert histories[0]["val_loss"][-1] == expected["loss"]


def test_validation_does_not_change_training():
    models = [classifier() for _ in range(3)]
    fit(models[0], epochs=2)
    fit(models[1], epochs=2, validation_data=(X[:7].tolist(), LABELS[:7]))
    fit(models[2], epochs=2, validation_data=[X[:7], LABELS[:7], np.zeros(7)])
    for model in models[1:]:
        np.testing.assert_array_equal(model.params, models[0].params)


# Weights


def test_weights_multiply_the_loss_and_are_not_normalised():
    model = classifier(fastbp.SGD(0.0), dropout=0.0)
    plain = fit(model, epochs=1).history["loss"][0]
    double = fit(model, sample_weight=np.full(90, 2.0)).history["loss"][0]
    np.testing.assert_allclose(double, 2 * plain, rtol=1e-6)
    half = fit(model, sample_weight=LABELS).history["loss"][0]
    probabilities = model.predict(X)[LABELS == 1, 1].astype("float64")
    np.testing.assert_allclose(half, -np.log(probabilities).sum() / 90, rtol=1e-6)


def test_class_weights_are_the_weights_of_rows_of_training_only():
    by_class, by_row = classifier(), classifier()
    weight = np.linspace(1, 2, 90).astype("float32")
    factor = np.where(LABELS == 1, np.float32(3), np.float32(1))
    first = fit(by_class, sample_weight=weight, class_weight={1: 3.0}, validation_split=0.2).history
    train = slice(0, 72)
    second = fit(
        by_row,
        X[train],
        LABELS[train],
        sample_weight=(weight * factor)[train],
        validation_data=(X[72:], LABELS[72:], weight[72:]),
    ).history
    assert first == second
    np.testing.assert_array_equal(by_class.params, by_row.params)


# Epochs and batches


@pytest.mark.parametrize("optimizer", [fastbp.Nadam(), fastbp.SGD(fastbp.CosineDecay(0.1, 30), momentum=0.9)])
def test_fit_goes_on_where_the_last_fit_stopped(optimizer):
    whole, parts = classifier(optimizer), classifier(pickle.loads(pickle.dumps(optimizer)))
    history = fit(whole, epochs=6).history
    first, second = fit(parts, epochs=3).history, fit(parts, epochs=3).history
    assert {name: first[name] + second[name] for name in first} == history
    np.testing.assert_array_equal(whole.params, parts.params)
    assert whole.step == parts.step == 30


def test_same_seed_same_bits_whatever_the_other_models_do():
    first, second = classifier(), classifier()
    for _ in range(2):
        fit(first)
        fit(classifier())
    fit(second, epochs=2)
    np.testing.assert_array_equal(first.params, second.params)


def test_shuffling_takes_every_row_once_an_epoch_in_ever_new_order():
    # Without training, the loss of a batch of one row is its weight: the last step's gradient tells the last row.
    model = fastbp.Sequential([fastbp.Dense(1, use_bias=False, kernel_initializer="zeros")], input_shape=(1,), seed=0)
    model.compile(fastbp.SGD(0.0), "mean_absolute_error")
    x = np.arange(1, 9, dtype="float32")[:, None]
    last = []
    for _ in range(12):
        history = model.fit(x, -np.ones(8), batch_size=1, sample_weight=x[:, 0], verbose=0).history
        assert history["loss"][0] == x.mean()
        last.append(float(np.sqrt(model.grads[0])))
    assert set(last) <= set(range(1, 9))
    assert len(set(last)) > 2
    model.fit(x, -np.ones(8), batch_size=1, shuffle=False, verbose=0)
    assert model.grads[0] == 8


def test_batches_larger_than_the_data():
    large, exact = classifier(), classifier()
    fit(large, batch_size=10**9, epochs=2)
    fit(exact, batch_size=90, epochs=2)
    np.testing.assert_array_equal(large.params, exact.params)
    assert large.step == 2


def test_stretches_do_not_matter(monkeypatch):
    from fastbp.engine import interruptible_steps as module

    whole, cut = classifier(), classifier()
    fit(whole, epochs=2, batch_size=3)
    monkeypatch.setattr(module, "FIRST_STRETCH_MULTIPLY_ADDS", 1)
    monkeypatch.setattr(module, "STRETCH_SECONDS", 0.0)
    steps = []
    note = fastbp.Callback()
    note.on_stretch_end = lambda step, logs: steps.append(step)
    fit(cut, epochs=2, batch_size=3, callbacks=[note])
    assert steps == [*range(1, 31)] * 2
    np.testing.assert_array_equal(whole.params, cut.params)


def test_progress_in_a_log(capsys):
    fit(classifier(), epochs=2, validation_split=0.2, verbose=1)
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert [line.split(" - ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all("val_loss: " in line and len(line) <= 80 for line in lines)
    fit(classifier(), verbose=0)
    assert capsys.readouterr().out == ""


# Wrong use


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs=0: it is a whole number of at least 1"),
        ({"epochs": 1.5}, ValueError, "epochs=1.5"),
        ({"epochs": True}, ValueError, "epochs=True"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"batch_size": "32"}, ValueError, "batch_size='32'"),
        ({"batch_size": None}, ValueError, "batch_size=None"),
        ({"validation_split": 1.0}, ValueError, "validation_split=1.0: it is a share above 0 and below 1"),
        ({"validation_split": -0.5}, ValueError, "validation_split=-0.5"),
        ({"validation_split": "0.5"}, ValueError, "validation_split='0.5'"),
        ({"validation_split": True}, ValueError, "validation_split=True"),
        ({"validation_split": 0.999}, ValueError, "validation_split=0.999 of 90 rows leaves one part empty"),
        ({"validation_split": 0.5, "validation_data": (X, LABELS)}, ValueError, "not both"),
        ({"validation_data": X}, ValueError, "validation_data is a tuple"),
        ({"validation_data": (X,)}, ValueError, "validation_data is a tuple .*, not 1 parts"),
        ({"validation_data": (X[:, :2], LABELS)}, ValueError, "validation_data: x has 2 columns; the model takes 4"),
        ({"validation_data": (X, LABELS[:5])}, ValueError, "validation_data: x has 90 rows, y has 5"),
        ({"validation_data": (X, LABELS + 5)}, ValueError, "validation_data: y holds class"),
        ({"validation_data": (X * np.nan, LABELS)}, ValueError, r"validation_data: x\[0, 0\] is nan"),
        ({"sample_weight": np.ones(5)}, ValueError, r"sample_weight must have shape \(90,\)"),
        ({"sample_weight": np.ones(5), "validation_split": 0.5}, ValueError, r"must have shape \(90,\)"),
        ({"class_weight": [1, 2]}, TypeError, r"class_weight is a dict"),
        ({"class_weight": {1: -2}}, ValueError, r"class_weight\[1\] is -2"),
        ({"callbacks": fastbp.EarlyStopping()}, TypeError, "callbacks is a list"),
        ({"callbacks": [fastbp.EarlyStopping]}, TypeError, r"EarlyStopping is a class; write EarlyStopping\(\)"),
        ({"callbacks": [print]}, TypeError, "a callback is an object of a class derived from fastbp.Callback"),
        ({"callbacks": [fastbp.EarlyStopping()]}, ValueError, "EarlyStopping monitors 'val_loss', which this training"),
    ],
)
def test_wrong_settings_change_nothing(settings, error, message):
    model = classifier()
    with pytest.raises(error, match=message):
        fit(model, **settings)
    if "callbacks" not in settings:
        assert model.engine is None
    model.build((4,))
    before = pickle.dumps(model.engine)
    with pytest.raises(error, match=message):
        fit(model, **settings)
    assert pickle.dumps(model.engine) == before


def test_one_row_cannot_be_split():
    with pytest.raises(ValueError, match="validation_split=0.5 of 1 row leaves one part empty"):
        fit(classifier(), X[:1], LABELS[:1], validation_split=0.5)


def test_an_error_in_a_callback_ends_those_that_began():
    calls = []

    class Noted(fastbp.Callback):
        def __init__(self, name, fails=None):
            self.name, self.fails = name, fails

        def note(self, hook):
            calls.append((self.name, hook))
            if hook == self.fails:
                raise RuntimeError("mine")

        def on_train_begin(self, logs=None):
            self.note("begin")

        def on_epoch_end(self, epoch, logs=None):
            self.note("epoch")

        def on_train_end(self, logs=None):
            self.note("end")

    model = classifier()
    with pytest.raises(RuntimeError, match="mine"):
        fit(model, callbacks=[Noted("a"), Noted("b", "begin"), Noted("c")])
    assert calls == [("a", "begin"), ("b", "begin"), ("a", "end")]
    calls.clear()
    with pytest.raises(RuntimeError, match="mine"):
        fit(model, epochs=5, callbacks=[Noted("a"), Noted("b", "epoch")])
    assert calls == [("a", "begin"), ("b", "begin"), ("a", "epoch"), ("b", "epoch"), ("a", "end"), ("b", "end")]
    # The epoch itself was whole: training goes on from it.
    other = classifier()
    fit(other, epochs=3)
    fit(model, epochs=2)
    np.testing.assert_array_equal(model.params, other.params)


# Ctrl-C


class Interrupt(fastbp.Callback):
    """Press Ctrl-C in one hook of one epoch."""

    def __init__(self, hook, at):
        setattr(self, hook, lambda where, logs: signal.raise_signal(signal.SIGINT) if where == at else None)


@pytest.mark.parametrize(("hook", "at"), [("on_epoch_end", 1), ("on_epoch_begin", 1)])
def test_interrupting_between_epochs_ends_training_with_the_history_so_far(hook, at, capsys, ctrl_c):
    handler = signal.getsignal(signal.SIGINT)
    model, other = classifier(), classifier()
    history = fit(model, epochs=9, callbacks=[Interrupt(hook, at)], validation_split=0.1)
    # A short epoch that has begun is one compiled call: it ends.
    assert history.epoch == [0, 1]
    assert "Interrupted" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is handler
    assert history.history == fit(other, epochs=2, validation_split=0.1).history
    np.testing.assert_array_equal(model.params, other.params)


def test_interrupting_an_epoch_leaves_it_out_of_the_history_and_the_model_whole(monkeypatch, ctrl_c):
    from fastbp.engine import interruptible_steps as module

    monkeypatch.setattr(module, "FIRST_STRETCH_MULTIPLY_ADDS", 1)
    monkeypatch.setattr(module, "STRETCH_SECONDS", 0.0)
    model, other = classifier(), classifier()
    history = fit(model, epochs=5, shuffle=False, callbacks=[Interrupt("on_stretch_end", 3)])
    assert history.epoch == []
    assert history.history == {}
    assert model.step == 3
    # Three whole updates were made.
    other.build((4,))
    for start in (0, 20, 40):
        other.train_on_batch(X[start : start + 20], LABELS[start : start + 20])
    np.testing.assert_array_equal(model.params, other.params)
    assert len(fit(model, epochs=2).epoch) == 2


def test_fitting_in_another_thread():
    models = [classifier() for _ in range(3)]
    threads = [threading.Thread(target=fit, args=(model,), kwargs={"epochs": 3}) for model in models[1:]]
    for thread in threads:
        thread.start()
    fit(models[0], epochs=3)
    for thread in threads:
        thread.join()
    for model in models[1:]:
        np.testing.assert_array_equal(model.params, models[0].params)


LONG_FIT = """
import signal
import numpy as np, fastbp
signal.signal(signal.SIGINT, signal.default_int_handler)
rng = np.random.default_rng(0)
x = rng.normal(size=(20_000, 32)).astype("float32")
model = fastbp.Sequential([fastbp.Dense(256, activation="relu"), fastbp.Dense(1)], seed=0)
model.compile("sgd", "mean_squared_error")
said = fastbp.LambdaCallback(on_epoch_end=lambda epoch, logs: print("epoch", epoch, flush=True))
history = model.fit(x, x[:, 0], epochs=10**6, batch_size=1024, callbacks=[said], verbose=0)
print("returned", len(history.epoch) > 0, np.isfinite(model.params).all(), len(model.predict(x)), flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_a_signal_from_outside_ends_a_fit_that_uses_threads():
    process = subprocess.Popen([sys.executable, "-c", LONG_FIT], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "epoch 0\n"
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        rest = process.stdout.read()
        assert process.wait(30) == 0
        assert "Interrupted: training stopped" in rest
        assert rest.endswith("returned True True 20000\n")
        assert time.monotonic() - sent < 20
    finally:
        process.kill()
        process.stdout.close()


# Divergence


def regressor(*layers, optimizer="sgd", metrics=()):
    model = fastbp.Sequential(list(layers), input_shape=(X.shape[1],), seed=0)
    model.compile(optimizer=optimizer, loss="mean_squared_error", metrics=list(metrics))
    return model


def test_divergence_keeps_the_weights_of_the_last_good_epoch():
    model, good = (regressor(fastbp.Dense(8, activation="relu"), fastbp.Dense(1)) for _ in range(2))
    ended = []

    def raise_rate(epoch, logs):
        if epoch == 2:
            model.optimizer.learning_rate = 1e12

    callback = fastbp.LambdaCallback(on_epoch_begin=raise_rate, on_train_end=lambda logs: ended.append(True))
    with pytest.raises(
        fastbp.TrainingDiverged, match=r"epoch 3, step \d of 5: the .* is not finite. Try a lower"
    ) as caught:
        fit(model, y=TARGET, epochs=9, callbacks=[callback])
    assert caught.value.epoch == 3
    assert 1 <= caught.value.step <= 5
    assert caught.value.layer in ("dense", "dense_1")
    assert ended == [True]
    fit(good, y=TARGET, epochs=2)
    np.testing.assert_array_equal(model.params, good.params)
    # Training goes on from there.
    model.optimizer.learning_rate = 0.01
    for each in (model, good):
        fit(each, y=TARGET, epochs=2)
    np.testing.assert_array_equal(model.params, good.params)


def test_divergence_names_the_first_layer_whose_output_went_bad():
    model = regressor(fastbp.Dense(3, name="a"), fastbp.Dense(3, name="b"), fastbp.Dense(1, name="c"))
    model.views["b/bias"][1] = 3e38
    model.views["b/kernel"][:] = 3e38
    before = model.params.copy()
    with pytest.raises(fastbp.TrainingDiverged, match="epoch 1, step 1 of 5: the output of layer 'b'") as caught:
        fit(model, y=TARGET)
    assert caught.value.layer == "b"
    np.testing.assert_array_equal(model.params, before)
    assert model.step == model.engine.epoch == 0


@pytest.mark.parametrize("optimizer", ["sgd", "adam", fastbp.SGD(global_clipnorm=1.0)])
def test_a_gradient_that_overflows_under_a_finite_loss(optimizer):
    model = regressor(fastbp.Dense(1, kernel_initializer="zeros", name="only"), optimizer=optimizer)
    before = model.params.copy()
    # loss = 1e20, but d loss / d kernel = 1e30 * 2e10
    x, y = np.full((4, 4), 1e30), np.full(4, 1e10)
    with pytest.raises(fastbp.TrainingDiverged, match="step 1 of 1: the gradient of 'only/kernel'") as caught:
        fit(model, x, y, epochs=3)
    assert (caught.value.epoch, caught.value.layer) == (1, "only")
    np.testing.assert_array_equal(model.params, before)


def test_an_optimizer_whose_state_overflows():
    model = regressor(fastbp.Dense(1, kernel_initializer="zeros", name="only"), optimizer="adam")
    # The gradient, 2e22, is finite; its square is not, and Adam would never move again.
    with pytest.raises(fastbp.TrainingDiverged, match="the optimizer's state of 'only/kernel'"):
        fit(model, np.full((4, 4), 1e12), np.full(4, 1e10))
    assert np.isfinite(model.engine.state).all()


def test_an_update_that_overflows():
    model = regressor(fastbp.Dense(1, name="only"), optimizer=fastbp.SGD(1e38))
    with pytest.raises(fastbp.TrainingDiverged, match="epoch 1, step 1 of 1: the update of 'only/"):
        fit(model, y=TARGET * 1e3, batch_size=90)


def test_a_loss_that_overflows_alone():
    model = regressor(fastbp.Dense(1))
    with pytest.raises(
        fastbp.TrainingDiverged, match=r"the loss of the outputs of layer 'dense' \(as large as"
    ) as caught:
        fit(model, y=TARGET * 1e25, batch_size=90)
    assert caught.value.layer == "dense"


def test_training_on_a_batch_whose_loss_overflows_changes_nothing():
    model = regressor(fastbp.Dense(1), optimizer="adam")
    before = pickle.dumps((model.params, model.engine.state, model.step))
    with pytest.raises(ArithmeticError, match="the loss of this batch is inf: no update was made"):
        model.train_on_batch(X, TARGET * 1e25)
    assert pickle.dumps((model.params, model.engine.state, model.step)) == before


def test_a_validation_loss_that_is_not_finite_is_reported_not_raised():
    model = regressor(fastbp.Dense(1))
    history = fit(model, y=TARGET, epochs=2, validation_data=(X[:3], [1e30, 1e30, 1e30])).history
    assert np.isinf(history["val_loss"]).all()
    assert np.isfinite(history["loss"]).all()


def test_verbose_2_prints_a_line_an_epoch(capsys):
    model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    model.compile(loss="mean_squared_error")
    model.fit(np.eye(4), np.ones(4), epochs=3, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" - ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all("loss: " in line for line in lines)
    with pytest.raises(ValueError, match="verbose='quiet': 0 shows nothing"):
        model.fit(np.eye(4), np.ones(4), verbose="quiet")


def test_a_divergence_can_be_pickled():
    error = pickle.loads(pickle.dumps(fastbp.TrainingDiverged("bad", 3, 7, "dense")))
    assert (str(error), error.epoch, error.step, error.layer) == ("bad", 3, 7, "dense")


def test_a_first_layer_whose_gradient_nobody_needs_is_not_blamed():
    model = fastbp.Sequential([fastbp.Dropout(0.1), fastbp.Dense(4), fastbp.Dense(1)], seed=0)
    model.compile(fastbp.SGD(1e39), "mean_squared_error")
    with pytest.raises(fastbp.TrainingDiverged) as caught:
        model.fit(np.ones((8, 3)), np.ones(8), epochs=5, verbose=0)
    assert caught.value.layer.startswith("dense")
