"""The life of a training: epochs counted on, hooks around batches, broken runs that go on, weights in files."""

import csv
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fastbp

RNG = np.random.default_rng(2)
X = RNG.normal(size=(40, 3)).astype("float32")
Y = X.sum(1)


def made(optimizer=None, seed=0, **settings):
    layers = [fastbp.Dense(6, "tanh"), fastbp.BatchNormalization(), fastbp.Dropout(0.2), fastbp.Dense(1)]
    model = fastbp.Sequential(layers, input_shape=(3,), seed=seed)
    model.compile(optimizer or fastbp.Adam(0.02), "mean_squared_error", metrics=["mean_absolute_error"], **settings)
    return model


# Epochs


def test_epochs_are_counted_on_from_fit_to_fit_and_after_load_model(tmp_path):
    model = made()
    callbacks = [fastbp.ModelCheckpoint(tmp_path / "e{epoch:02d}"), fastbp.CSVLogger(tmp_path / "log.csv", append=True)]
    assert model.fit(X, Y, epochs=2, callbacks=callbacks, verbose=0).epoch == [0, 1]
    assert model.fit(X, Y, epochs=1, callbacks=callbacks, verbose=0).epoch == [2]
    loaded = fastbp.load_model(tmp_path / "e03")
    assert loaded.fit(X, Y, epochs=2, callbacks=callbacks, verbose=0).epoch == [3, 4]
    assert sorted(path.name for path in tmp_path.glob("e*")) == ["e01", "e02", "e03", "e04", "e05"]
    with open(tmp_path / "log.csv", newline="") as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [0, 1, 2, 3, 4]
    whole = made()
    whole.fit(X, Y, epochs=5, verbose=0)
    np.testing.assert_array_equal(whole.params, loaded.params)


def test_initial_epoch_as_keras(capsys):
    model = made()
    seen = []
    note = fastbp.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch))
    history = model.fit(X, Y, epochs=5, initial_epoch=3, callbacks=[note], verbose=2)
    assert seen == history.epoch == [3, 4]
    assert [line.split(" - ")[0] for line in capsys.readouterr().out.splitlines()] == ["epoch 4/5", "epoch 5/5"]
    assert model.step == 4
    # The orders of the rows are those of these epochs.
    skipped = made()
    skipped.engine.epoch = 3
    skipped.fit(X, Y, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.params, skipped.params)
    with pytest.warns(UserWarning, match="initial_epoch=5 is not below epochs=5"):
        assert model.fit(X, Y, epochs=5, initial_epoch=5, verbose=0).epoch == []
    for wrong in (-1, 1.5, True, "2"):
        with pytest.raises(ValueError, match="initial_epoch="):
            model.fit(X, Y, initial_epoch=wrong, verbose=0)


@pytest.mark.parametrize("shuffled", [True, False])
def test_steps_per_epoch_cut_the_same_batches_otherwise(shuffled):
    """Three epochs of 4 batches, of which a pass has 5; and 1 epoch of 12, as 3 passes have and 2 batches more."""
    whole, cut, long = made(), made(), made()
    settings = {"batch_size": 8, "shuffle": shuffled, "verbose": 0}
    whole.fit(X, Y, epochs=4, **settings)
    history = cut.fit(X, Y, epochs=5, steps_per_epoch=4, **settings)
    assert (history.epoch, cut.step) == ([0, 1, 2, 3, 4], 20)
    np.testing.assert_array_equal(cut.params, whole.params)
    long.fit(X, Y, epochs=2, steps_per_epoch=10, **settings)
    np.testing.assert_array_equal(long.params, whole.params)
    weighted = made()
    weighted.fit(X, Y, epochs=5, steps_per_epoch=4, sample_weight=np.ones(40), **settings)
    np.testing.assert_array_equal(weighted.params, whole.params)
    with pytest.raises(ValueError, match="steps_per_epoch=0"):
        whole.fit(X, Y, steps_per_epoch=0, verbose=0)


def test_the_figures_of_a_short_epoch_are_those_of_its_rows():
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0)
    model.compile(fastbp.SGD(0.0), "mean_squared_error", metrics=["mean_absolute_error"])
    settings = {"batch_size": 8, "steps_per_epoch": 2, "shuffle": False, "verbose": 0}
    history = model.fit(X, Y, epochs=3, **settings).history
    for epoch, rows in enumerate((slice(0, 16), slice(16, 32))):
        loss, error = model.evaluate(X[rows], Y[rows])
        assert history["loss"][epoch] == pytest.approx(loss, rel=1e-6)
        assert history["mean_absolute_error"][epoch] == pytest.approx(error, rel=1e-6)
    # The last batch of one pass and the first one of the next.
    rows = [*range(32, 40), *range(8)]
    assert history["mean_absolute_error"][2] == pytest.approx(model.evaluate(X[rows], Y[rows])[1], rel=1e-6)


# Hooks


class Batches(fastbp.Callback):
    def __init__(self):
        self.calls, self.losses = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(("begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(("end", batch))
        self.losses.append(logs["loss"])


def test_hooks_around_batches():
    model, plain, note = made(), made(), Batches()
    history = model.fit(X, Y, epochs=2, batch_size=16, callbacks=[note], verbose=0)
    plain.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    np.testing.assert_array_equal(model.params, plain.params)
    assert note.calls == [(when, batch) for batch in range(3) for when in ("begin", "end")] * 2
    assert [note.losses[2], note.losses[5]] == history.history["loss"]


def test_keras_s_older_names_and_lambda_callbacks():
    calls = []

    class Old(fastbp.Callback):
        def on_batch_end(self, batch, logs=None):
            calls.append(batch)

    lambdas = fastbp.LambdaCallback(on_train_batch_begin=lambda batch, logs: calls.append(f"begin {batch}"))
    made().fit(X, Y, batch_size=20, callbacks=[Old(), lambdas], verbose=0)
    assert calls == ["begin 0", 0, "begin 1", 1]


def test_a_batch_may_end_training():
    class Stop(fastbp.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    model = made()
    history = model.fit(X, Y, epochs=5, batch_size=8, validation_data=(X, Y), callbacks=[Stop()], verbose=0)
    assert (history.epoch, model.step, len(history.history["val_loss"])) == ([0], 2, 1)


def test_hooks_of_validation_and_of_keras_s_setters():
    calls = []

    class Note(fastbp.Callback):
        def set_params(self, params):
            super().set_params(params)
            calls.append(params["steps"])

        def on_test_begin(self, logs=None):
            calls.append("test begins")

        def on_test_end(self, logs=None):
            calls.append(sorted(logs))

    made().fit(X, Y, validation_data=(X, Y), callbacks=[Note()], verbose=0)
    assert calls == [2, "test begins", ["loss", "mean_absolute_error"]]


def test_a_hook_that_is_never_called_is_told():
    class Wrong(fastbp.Callback):
        def on_epoch_ends(self, epoch, logs=None):
            raise AssertionError

    class Predicts(fastbp.Callback):
        def on_predict_batch_end(self, batch, logs=None):
            raise AssertionError

    with pytest.warns(UserWarning, match=r"Wrong.on_epoch_ends is never called.*Did you mean 'on_epoch_end'\?"):
        made().fit(X, Y, callbacks=[Wrong()], verbose=0)
    with pytest.warns(UserWarning, match=r"Predicts.on_predict_batch_end is never called"):
        made().fit(X, Y, callbacks=[Predicts()], verbose=0)
    one = fastbp.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    with pytest.warns(UserWarning, match=r"LambdaCallback.on_train_batch_end is not called in this training"):
        fastbp.MLPRegressor(hidden_layer_sizes=4, solver="lbfgs", callbacks=[one], max_iter=300, tol=0.1).fit(X, Y)


def test_estimators_call_hooks_around_batches_with_the_same_bits():
    note, more = Batches(), {"max_iter": 3, "random_state": 0, "batch_size": 16, "n_iter_no_change": 10}
    with pytest.warns(match="Maximum iterations"):
        one = fastbp.MLPRegressor(hidden_layer_sizes=4, callbacks=[note], **more).fit(X, Y)
    with pytest.warns(match="Maximum iterations"):
        other = fastbp.MLPRegressor(hidden_layer_sizes=4, **more).fit(X, Y)
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])
    assert note.calls == [(when, batch) for batch in range(3) for when in ("begin", "end")] * 3
    assert note.losses[2] == pytest.approx(one.loss_curve_[0])


def test_warm_estimators_count_epochs_on(tmp_path):
    seen = []
    note = fastbp.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    mlp = fastbp.MLPRegressor(hidden_layer_sizes=4, callbacks=[note], max_iter=2, warm_start=True, random_state=0)
    for _ in range(2):
        with pytest.warns(match="Maximum iterations"):
            mlp.fit(X, Y)
    assert seen == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="BackupAndRestore keeps a training"):
        mlp.set_params(callbacks=[fastbp.BackupAndRestore(tmp_path)]).fit(X, Y)


# What callbacks do


def test_learning_rate_scheduler():
    model = made(fastbp.SGD(0.1))
    schedule = fastbp.LearningRateScheduler(lambda epoch, rate: rate * 0.5 if epoch else rate)
    rates = model.fit(X, Y, epochs=3, callbacks=[schedule], verbose=0).history["learning_rate"]
    assert rates == [0.1, 0.05, 0.025]
    alone = fastbp.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))
    assert model.fit(X, Y, epochs=1, callbacks=[alone], verbose=0).history["learning_rate"] == [0.01 / 4]
    answers = iter([-1.0, "0.1", math.nan, None, True])
    for _ in range(5):
        with pytest.raises(ValueError, match="no learning rate"):
            model.fit(X, Y, callbacks=[fastbp.LearningRateScheduler(lambda epoch, rate: next(answers))], verbose=0)
    with pytest.raises(TypeError, match="it is a function"):
        fastbp.LearningRateScheduler(0.1)
    with pytest.raises(ValueError, match="needs a constant learning rate"):
        made(fastbp.SGD(fastbp.ExponentialDecay(0.1, 2, 0.5))).fit(X, Y, callbacks=[alone], verbose=0)


def test_terminate_on_nan(capsys):
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0)
    model.compile(fastbp.SGD(1e20), "mean_squared_error")
    stop = fastbp.TerminateOnNaN()
    history = model.fit(X, Y, epochs=9, callbacks=[stop], verbose=0)
    assert len(history.epoch) == stop.error.epoch - 1
    assert np.isfinite(model.params).all()
    assert "Training ended: training diverged in epoch" in capsys.readouterr().out
    with pytest.raises(fastbp.TrainingDiverged):
        model.fit(X, Y, epochs=9, verbose=0)


def test_a_checkpoint_does_not_replace_a_better_one_of_before(tmp_path):
    path = tmp_path / "best"
    best = fastbp.ModelCheckpoint(path, save_best_only=True, monitor="loss")
    good = made()
    good.fit(X, Y, epochs=30, callbacks=[best], verbose=0)
    content = path.read_bytes()
    again = fastbp.ModelCheckpoint(path, save_best_only=True, monitor="loss")
    with pytest.warns(UserWarning, match=r"holds a model with loss .*: only a better one will replace it"):
        made().fit(X, Y, epochs=1, callbacks=[again], verbose=0)
    assert path.read_bytes() == content
    told = fastbp.ModelCheckpoint(path, save_best_only=True, monitor="loss", initial_value_threshold=np.inf)
    made().fit(X, Y, epochs=1, callbacks=[told], verbose=0)
    assert path.read_bytes() != content
    assert fastbp.load_model(path).engine.epoch == 1
    made().save(path)
    foreign = fastbp.ModelCheckpoint(path, save_best_only=True, monitor="loss")
    with pytest.warns(UserWarning, match="does not tell its loss: the first epoch of this training will replace it"):
        made().fit(X, Y, epochs=1, callbacks=[foreign], verbose=0)
    with pytest.raises(ValueError, match="it is for save_best_only=True"):
        fastbp.ModelCheckpoint(path, initial_value_threshold=1.0)


@pytest.mark.parametrize(("threshold", "saved"), [(1e9, True), (1e-9, False)])
def test_initial_value_threshold(tmp_path, threshold, saved):
    path = tmp_path / "m"
    best = fastbp.ModelCheckpoint(path, save_best_only=True, monitor="loss", initial_value_threshold=threshold)
    made().fit(X, Y, epochs=2, callbacks=[best], verbose=0)
    assert path.exists() is saved


def test_a_checkpoint_in_an_estimator_is_the_estimator(tmp_path):
    labels = np.where(Y > 0, "yes", "no")
    for settings in ({}, {"save_best_only": True, "monitor": "loss"}):
        path = tmp_path / f"m{len(settings)}"
        mlp = fastbp.MLPClassifier(
            hidden_layer_sizes=4, max_iter=3, random_state=0, callbacks=[fastbp.ModelCheckpoint(path, **settings)]
        )
        with pytest.warns(match="Maximum iterations"):
            mlp.fit(X, labels)
        loaded = fastbp.load_model(path)
        assert isinstance(loaded, fastbp.MLPClassifier)
        np.testing.assert_array_equal(loaded.predict(X), mlp.predict(X))
    weights = tmp_path / "w"
    mlp.set_params(callbacks=[fastbp.ModelCheckpoint(weights, save_weights_only=True)])
    with pytest.warns(match="Maximum iterations"):
        mlp.fit(X, labels)
    np.testing.assert_array_equal(load_file(weights)["dense/kernel"], mlp.coefs_[0])


def test_csv_with_new_columns_keeps_all(tmp_path):
    path = tmp_path / "log.csv"
    model = made()
    model.fit(X, Y, epochs=2, callbacks=[fastbp.CSVLogger(path)], verbose=0)
    history = model.fit(
        X, Y, epochs=1, validation_data=(X, Y), callbacks=[fastbp.CSVLogger(path, append=True)], verbose=0
    )
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["val_loss"] for row in rows] == ["", "", str(history.history["val_loss"][0])]
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    # Fewer figures than before: empty places.
    model.fit(X, Y, epochs=1, callbacks=[fastbp.CSVLogger(path, append=True)], verbose=0)
    with open(path, newline="") as file:
        assert list(csv.DictReader(file))[3]["val_loss"] == ""
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="has no column 'epoch' but a, b"):
        model.fit(X, Y, callbacks=[fastbp.CSVLogger(path, append=True)], verbose=0)
    assert path.read_text() == "a,b\n1,2\n"


# Broken runs

CALLBACKS = """
def callbacks(folder):
    return [
        fastbp.EarlyStopping("loss", patience=30, restore_best_weights=True),
        fastbp.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=100.0),  # whatever the seed
        fastbp.CSVLogger(folder / "log.csv"),
        fastbp.BackupAndRestore(folder / "backup"),
    ]
"""
exec(CALLBACKS)
SCRIPT = f"""
import os, signal, sys
from pathlib import Path
import numpy as np
import fastbp
{CALLBACKS}
folder, kill = Path(sys.argv[1]), sys.argv[2]
rng = np.random.default_rng(2)
x = rng.normal(size=(40, 3)).astype("float32")
layers = [fastbp.Dense(6, "tanh"), fastbp.BatchNormalization(), fastbp.Dropout(0.2), fastbp.Dense(1)]
model = fastbp.Sequential(layers, input_shape=(3,))
model.compile(fastbp.Adam(0.02), "mean_squared_error", metrics=["mean_absolute_error"])

class Kill(fastbp.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if kill != "never" and self.model.step == int(kill):
            os.kill(os.getpid(), signal.SIGKILL)

history = model.fit(x, x.sum(1), epochs=8, batch_size=8, callbacks=[Kill(), *callbacks(folder)], verbose=0)
np.savez(folder / "end.npz", params=model.params, moving=model.engine.buffers, loss=history.history["loss"],
         rates=history.history["learning_rate"], epoch=history.epoch, seed=model.seed)
"""


def test_a_killed_run_goes_on_and_gives_the_same_bits(tmp_path):
    (tmp_path / "s.py").write_text(SCRIPT)

    def run(kill):
        command = [sys.executable, str(tmp_path / "s.py"), str(tmp_path), kill]
        return subprocess.run(command, env=os.environ, check=False).returncode

    # The seed of the first process is drawn, and the later ones go on with it.
    assert run("7") == -signal.SIGKILL
    assert run("25") == -signal.SIGKILL
    assert (tmp_path / "backup" / "backup.fastbp").exists()
    assert run("never") == 0
    assert not (tmp_path / "backup").exists()
    found = np.load(tmp_path / "end.npz")
    model = made(seed=int(found["seed"]))
    unbroken = tmp_path / "unbroken"
    unbroken.mkdir()
    history = model.fit(X, Y, epochs=8, batch_size=8, callbacks=callbacks(unbroken), verbose=0)  # noqa: F821
    np.testing.assert_array_equal(found["params"], model.params)
    np.testing.assert_array_equal(found["moving"], model.engine.buffers)
    np.testing.assert_array_equal(found["loss"], history.history["loss"])
    np.testing.assert_array_equal(found["rates"], history.history["learning_rate"])
    assert found["rates"][-1] < 0.02
    assert found["epoch"].tolist() == list(range(8))
    assert (tmp_path / "log.csv").read_text() == (unbroken / "log.csv").read_text()


def test_backups_of_another_training_are_refused(tmp_path):
    def broken(model):
        def fail(epoch, logs):
            if epoch == 2:
                raise RuntimeError("broken off")

        backup = fastbp.BackupAndRestore(tmp_path)
        with pytest.raises(RuntimeError, match="broken off"):
            model.fit(X, Y, epochs=9, callbacks=[fastbp.LambdaCallback(on_epoch_begin=fail), backup], verbose=0)

    broken(made())
    other = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0)
    other.compile(fastbp.Adam(0.02), "mean_squared_error")
    before = other.params.copy()
    callbacks = [fastbp.LambdaCallback(), fastbp.BackupAndRestore(tmp_path)]
    with pytest.raises(ValueError, match="is not the backup of this training: the layers"):
        other.fit(X, Y, callbacks=callbacks, verbose=0)
    np.testing.assert_array_equal(other.params, before)
    with pytest.raises(ValueError, match="with other callbacks"):
        made().fit(X, Y, callbacks=[fastbp.BackupAndRestore(tmp_path)], verbose=0)
    with pytest.raises(ValueError, match="is not the backup of this training: its optimizer"):
        made(fastbp.SGD(0.1)).fit(X, Y, callbacks=callbacks, verbose=0)
    with pytest.raises(ValueError, match="two BackupAndRestore"):
        made().fit(X, Y, callbacks=[fastbp.BackupAndRestore(tmp_path)] * 2, verbose=0)
    history = made().fit(X, Y, epochs=4, callbacks=callbacks, verbose=0)
    assert history.epoch == [0, 1, 2, 3]
    assert not any(tmp_path.iterdir())


# Weights in files


def test_weights_in_files(tmp_path):
    path, model, other = tmp_path / "w.safetensors", made(), made(seed=1)
    model.fit(X, Y, verbose=0)
    model.save_weights(path)
    assert load_file(path).keys() == model.views.keys()
    step = other.step
    other.load_weights(path)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    assert other.step == step
    # Of a model's file, and of another library's.
    model.save(tmp_path / "m")
    other = made(seed=1)
    other.load_weights(tmp_path / "m")
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    save_file({name: view.astype("float64") for name, view in model.views.items()}, tmp_path / "foreign")
    other = made(seed=1)
    other.load_weights(tmp_path / "foreign")
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    with pytest.raises(fastbp.ModelFileError, match="load_weights"):
        fastbp.load_model(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t | {"dense_1/kernel": np.zeros((5, 1), "float32")}, r"'dense_1/kernel' has shape \(5, 1\)"),
        (lambda t: {name: t[name] for name in t if name != "dense/bias"}, "has no weight 'dense/bias'"),
        (lambda t: t | {"dense_2/kernel": np.zeros(1, "float32")}, "has the weight 'dense_2/kernel', which the model"),
        (lambda t: t | {"dense/bias": np.full(6, np.nan, "float32")}, "'dense/bias'.* not finite"),
        (lambda t: t | {"dense/bias": np.full(6, 1e300)}, "'dense/bias'.* not finite in float32"),
        (lambda t: t | {"dense/bias": np.ones(6, bool)}, "'dense/bias'.* holds bool"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_wrong_weights_change_nothing(tmp_path, change, message):
    model = made()
    before = model.params.copy()
    save_file(change({name: view + 1 for name, view in model.views.items()}), tmp_path / "w")
    with pytest.raises(ValueError, match=message):
        model.load_weights(tmp_path / "w")
    np.testing.assert_array_equal(model.params, before)


def test_files_that_hold_no_weights(tmp_path):
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(fastbp.ModelFileError, match="is not a whole safetensors file"):
        made().load_weights(tmp_path / "text")
    with pytest.raises(FileNotFoundError, match="there is no file of weights"):
        made().load_weights(tmp_path / "missing")


def test_verbose_everywhere(capsys):
    model = made()
    model.fit(X, Y, verbose=0)
    assert model.predict(X, verbose=0).shape == (40, 1)
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(model.predict(X, verbose="auto"), model.predict(X))
    assert capsys.readouterr().out.startswith("predicting - 100%")
    many = np.tile(X, (4000, 1))
    np.testing.assert_array_equal(model.predict(many, verbose=2), model.predict(many))
    capsys.readouterr()
    for verbose in (1, 2, "auto"):
        model.evaluate(X, Y, verbose=verbose)
        assert capsys.readouterr().out.startswith("loss: ")
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="verbose=3"):
            call(X, Y, verbose=3)
    with pytest.raises(ValueError, match="verbose='yes'"):
        model.predict(X, verbose="yes")
