"""Callbacks: against Keras's rules, on figures given by hand and in real fits."""

import csv
import math

import numpy as np
import pytest

import fastbp

RNG = np.random.default_rng(2)
X = RNG.normal(size=(40, 3)).astype("float32")
Y = X.sum(1)


def linear_model(learning_rate=0.05, **settings):
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0)
    model.compile(fastbp.SGD(learning_rate), "mean_squared_error", metrics=["mean_absolute_error"], **settings)
    return model


class Play:
    """Stands for a model whose validation loss takes given values; the weight is the epoch's number."""

    def __init__(self, name, values):
        self.name, self.values = name, values
        self.model = linear_model(1.0)

    def run(self, callback):
        """Return the epochs run."""
        callback.model, callback.params = self.model, {"epochs": 99, "steps": 1, "metrics": ["loss", self.name]}
        self.model.stop_training = False
        callback.on_train_begin({})
        rates = []
        for epoch, value in enumerate(self.values):
            self.model.params[:] = epoch
            callback.on_epoch_end(epoch, {"loss": 0.0, self.name: value})
            rates.append(self.model.optimizer.learning_rate)
            if self.model.stop_training:
                break
        callback.on_train_end({})
        return epoch + 1, rates


# EarlyStopping


@pytest.mark.parametrize(
    ("values", "settings", "epochs", "best_epoch"),
    [
        ([5, 4, 3, 2, 1], {}, 5, 4),
        ([5, 4, 4, 3], {}, 3, 1),
        ([5, 4, 4, 3], {"patience": 1}, 3, 1),
        ([5, 4, 4, 3, 3, 3], {"patience": 2}, 6, 3),
        ([5, 4.5, 4, 3.5, 0], {"min_delta": 0.6, "patience": 1}, 2, 0),
        ([5, 4.5, 4, 3.5, 3], {"min_delta": 0.6, "patience": 2}, 5, 4),
        ([1, 9, 9, 9, 8, 8, 8], {"start_from_epoch": 1, "patience": 2}, 4, 1),
        ([5, 4, 3, 2, 1], {"baseline": 0, "patience": 3}, 5, 4),
        ([5, 4, 3, 3, 3], {"baseline": 3.5, "patience": 3}, 5, 2),
        ([5, 4.9, 4.9, 3, 3], {"baseline": 3.5, "patience": 3}, 3, 1),
        ([math.nan, math.nan, 3, 4], {"patience": 3}, 4, 2),
        ([math.nan, math.nan, math.nan, 1], {"patience": 2}, 2, 0),
        ([3, 2, math.inf, math.nan], {"patience": 2}, 4, 1),
    ],
)
def test_early_stopping(values, settings, epochs, best_epoch):
    play = Play("val_loss", values)
    stop = fastbp.EarlyStopping(restore_best_weights=True, **settings)
    assert play.run(stop)[0] == epochs
    assert stop.best_epoch == best_epoch
    np.testing.assert_array_equal(play.model.params, best_epoch)
    assert stop.stopped_epoch == (epochs - 1 if epochs < len(values) or play.model.stop_training else 0)


def test_early_stopping_keeps_the_last_weights_unless_told():
    play = Play("val_loss", [3, 2, 4, 5])
    play.run(fastbp.EarlyStopping(patience=2))
    np.testing.assert_array_equal(play.model.params, 3)


@pytest.mark.parametrize(
    ("monitor", "mode", "better"),
    [
        ("val_accuracy", "auto", 1),
        ("val_auc", "auto", 1),
        ("r2_score", "auto", 1),
        ("f1_score", "auto", 1),
        ("loss", "auto", -1),
        ("val_log_loss", "auto", -1),
        ("mean_absolute_error", "auto", -1),
        ("root_mean_squared_error", "auto", -1),
        ("val_accuracy", "min", -1),
        ("mine", "max", 1),
        ("mine", "min", -1),
    ],
)
def test_direction(monitor, mode, better):
    play = Play(monitor, [better * value for value in (1, 2, 3, 4)])
    assert play.run(fastbp.EarlyStopping(monitor, mode=mode))[0] == 4
    play = Play(monitor, [-better * value for value in (1, 2, 3, 4)])
    assert play.run(fastbp.EarlyStopping(monitor, mode=mode))[0] == 2


def test_early_stopping_in_fit_and_used_again():
    model = linear_model()
    stop = fastbp.EarlyStopping(patience=2, restore_best_weights=True)
    for _ in range(2):
        history = model.fit(X, Y, epochs=500, validation_split=0.25, callbacks=[stop], verbose=0)
        losses = history.history["val_loss"]
        # The second training's epochs are counted on.
        first = history.epoch[0]
        assert stop.best == min(losses) == losses[stop.best_epoch - first]
        assert first + len(losses) == stop.stopped_epoch + 1 == stop.best_epoch + 3
        assert model.evaluate(X[30:], Y[30:])[0] == stop.best


def test_best_weights_come_back_when_the_epochs_run_out():
    model = linear_model(0.3)
    stop = fastbp.EarlyStopping("loss", patience=10, restore_best_weights=True)
    worsen = fastbp.LambdaCallback(on_epoch_begin=lambda epoch, logs: model.params.__imul__(1 + 99 * (epoch == 2)))
    model.fit(X, Y, epochs=3, batch_size=40, callbacks=[stop, worsen], verbose=0)
    assert stop.stopped_epoch == 0
    assert stop.best_epoch == 1


# ReduceLROnPlateau


@pytest.mark.parametrize(
    ("values", "settings", "rates"),
    [
        ([3, 2, 1, 0], {"patience": 1}, [1, 1, 1, 1]),
        ([3, 3, 3, 3], {"patience": 1}, [1, 0.1, 0.01, 0.001]),
        ([3, 3, 3, 3, 3], {"patience": 2}, [1, 1, 0.1, 0.1, 0.01]),
        ([3, 3, 3, 3, 3, 3], {"patience": 1, "cooldown": 2}, [1, 0.1, 0.1, 0.01, 0.01, 0.001]),
        ([3, 3, 3, 3], {"patience": 1, "min_lr": 0.05}, [1, 0.1, 0.05, 0.05]),
        ([3, 3, 3], {"patience": 1, "factor": 0.5}, [1, 0.5, 0.25]),
        ([3, 2.5, 2, 1], {"patience": 1, "min_delta": 0.6}, [1, 0.1, 0.1, 0.1]),
        ([3, math.nan, 2, 2], {"patience": 1}, [1, 0.1, 0.1, 0.01]),
    ],
)
def test_reduce_lr_on_plateau(values, settings, rates):
    np.testing.assert_allclose(Play("val_loss", values).run(fastbp.ReduceLROnPlateau(**settings))[1], rates)


def test_a_reduced_rate_is_used_reported_and_saved(tmp_path):
    model = linear_model(0.1)
    cut = fastbp.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9)
    history = model.fit(X, Y, epochs=4, callbacks=[cut], verbose=0).history
    # The first epoch is better than none.
    np.testing.assert_allclose(history["learning_rate"], [0.1, 0.1, 0.05, 0.025])
    assert math.isclose(model.optimizer.learning_rate, 0.0125)
    model.save(tmp_path / "m")
    assert fastbp.load_model(tmp_path / "m").optimizer.learning_rate == model.optimizer.learning_rate


def test_reduce_lr_refuses_a_schedule():
    model = linear_model(fastbp.ExponentialDecay(0.1, 10, 0.5))
    before = model.params.copy()
    with pytest.raises(ValueError, match="needs a constant learning rate"):
        model.fit(X, Y, callbacks=[fastbp.ReduceLROnPlateau("loss")], verbose=0)
    np.testing.assert_array_equal(model.params, before)


# ModelCheckpoint


def test_checkpoints_of_every_epoch_continue_like_the_training(tmp_path):
    model = linear_model()
    model.fit(X, Y, epochs=3, callbacks=[fastbp.ModelCheckpoint(tmp_path / "{epoch:02d}.fastbp")], verbose=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01.fastbp", "02.fastbp", "03.fastbp"]
    resumed = fastbp.load_model(tmp_path / "01.fastbp")
    resumed.fit(X, Y, epochs=2, verbose=0)
    np.testing.assert_array_equal(resumed.params, model.params)


def test_checkpoints_of_the_best_epochs(tmp_path):
    play = Play("val_loss", [3, 4, 2, math.nan, 2, 1.5])
    play.run(fastbp.ModelCheckpoint(tmp_path / "{epoch}-{val_loss:.1f}", save_best_only=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-3.0", "3-2.0", "6-1.5"]
    assert (fastbp.load_model(tmp_path / "3-2.0").params == 2).all()


def test_the_best_is_remembered_from_fit_to_fit(tmp_path):
    play = Play("val_loss", [3, 2])
    checkpoint = fastbp.ModelCheckpoint(str(tmp_path / "{epoch}"), save_best_only=True)
    play.run(checkpoint)
    play.values = [2.5, 2.4, 1]
    play.run(checkpoint)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "3"]
    assert (fastbp.load_model(tmp_path / "1").params == 0).all()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("{epoch}-{val_loss}", ValueError, "'val_loss'. Known: epoch, loss"),
        ("{}", ValueError, "ModelCheckpoint"),
        ("{loss:d}", ValueError, "ModelCheckpoint"),
        ("missing/m", FileNotFoundError, "there is no folder"),
    ],
)
def test_paths_of_checkpoints_are_checked_before_training(tmp_path, name, error, message):
    model = linear_model()
    with pytest.raises(error, match=message):
        model.fit(X, Y, callbacks=[fastbp.ModelCheckpoint(tmp_path / name)], verbose=0)
    assert model.step == 0


# CSVLogger


def test_csv_of_every_epoch(tmp_path):
    path = tmp_path / "log.csv"
    model, lines = linear_model(), []
    count = fastbp.LambdaCallback(on_epoch_end=lambda epoch, logs: lines.append(len(path.read_text().splitlines())))
    settings = {"validation_split": 0.25, "verbose": 0}
    history = model.fit(X, Y, epochs=3, callbacks=[fastbp.CSVLogger(path), count], **settings).history
    assert lines == [2, 3, 4]
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", *history]
    for i, row in enumerate(rows):
        assert int(row["epoch"]) == i
        assert all(float(row[name]) == values[i] for name, values in history.items())
    model.fit(X, Y, epochs=2, callbacks=[fastbp.CSVLogger(path, append=True)], **settings)
    assert len(path.read_text().splitlines()) == 6
    model.fit(X, Y, epochs=2, callbacks=[fastbp.CSVLogger(str(path), separator=";")], **settings)
    assert path.read_text().startswith("epoch;loss;")
    assert len(path.read_text().splitlines()) == 3


def test_csv_in_a_missing_folder_is_refused_before_training(tmp_path):
    model = linear_model()
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        model.fit(X, Y, callbacks=[fastbp.CSVLogger(tmp_path / "missing" / "log.csv")], verbose=0)
    assert model.step == 0


# Callbacks of one's own


def test_order_of_calls():
    calls = []
    model = linear_model()
    note = fastbp.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: calls.append(("epoch begin", epoch)),
        on_epoch_end=lambda epoch, logs: calls.append(("epoch end", epoch, sorted(logs))),
        on_train_begin=lambda logs: calls.append("begin"),
        on_train_end=lambda logs: calls.append("end"),
    )
    model.fit(X, Y, epochs=2, callbacks=[note], verbose=0)
    figures = ["learning_rate", "loss", "mean_absolute_error"]
    assert calls == [
        "begin",
        ("epoch begin", 0),
        ("epoch end", 0, figures),
        ("epoch begin", 1),
        ("epoch end", 1, figures),
        "end",
    ]


def test_stopping_by_hand_and_what_callbacks_know():
    class StopAtTwo(fastbp.Callback):
        def __init__(self, last):
            self.last = last

        def on_train_begin(self, logs=None):
            names = ["loss", "mean_absolute_error", "learning_rate"]
            assert self.params == {"epochs": self.last, "steps": 2, "metrics": names}

        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch % 2 == 1

    model = linear_model()
    for last, epochs in ((9, [0, 1]), (11, [2, 3])):
        assert model.fit(X, Y, epochs=9, callbacks=[StopAtTwo(last)], verbose=0).epoch == epochs


def test_callbacks_may_predict_and_change_weights():
    model = linear_model(0.0)

    def look(epoch, logs):
        assert model.predict(X).shape == (40, 1)
        model.params[:] = epoch

    model.fit(X, Y, epochs=3, callbacks=[fastbp.LambdaCallback(on_epoch_end=look)], verbose=0)
    np.testing.assert_array_equal(model.params, 2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fastbp.EarlyStopping(patience=-1), ValueError, r"EarlyStopping\(patience=-1\)"),
        (lambda: fastbp.EarlyStopping(patience=2.0), ValueError, r"EarlyStopping\(patience=2.0\)"),
        (lambda: fastbp.EarlyStopping(mode="best"), ValueError, r'mode=\'best\'\): it is "auto", "min" or "max"'),
        (
            lambda: fastbp.EarlyStopping("mine"),
            ValueError,
            r"monitor='mine'\): is more of it better\? Say mode=\"max\"",
        ),
        (lambda: fastbp.ReduceLROnPlateau(factor=1.0), ValueError, r"factor=1.0"),
        (lambda: fastbp.ReduceLROnPlateau(cooldown="1"), ValueError, r"cooldown='1'"),
        (lambda: fastbp.LambdaCallback(on_epoch_end=3), TypeError, r"on_epoch_end=3\): it is a function"),
    ],
)
def test_wrong_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("kind", [fastbp.EarlyStopping, fastbp.ReduceLROnPlateau])
def test_unknown_monitors_are_refused_before_training(kind):
    model = linear_model()
    with pytest.raises(ValueError, match=r"'val_loss', which this training does not report.* give validation_data"):
        model.fit(X, Y, callbacks=[kind()], verbose=0)
    with pytest.raises(ValueError, match="Did you mean 'mean_absolute_error'?"):
        model.fit(X, Y, callbacks=[kind("mean_absolut_error")], verbose=0)
    assert model.step == 0
