"""What runs are handed to: TensorBoard's files read back by tensorboard, trials pruned by optuna; tabular callbacks."""

import csv
import threading

import numpy as np
import optuna
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import fastbp
from fastbp.interop.optuna import PruningCallback

optuna.logging.set_verbosity(optuna.logging.ERROR)
RNG = np.random.default_rng(2)
X = RNG.normal(size=(60, 3)).astype("float32")
Y = X.sum(1)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])


def made(rate=0.02):
    model = fastbp.Sequential([fastbp.Dense(6, "tanh"), fastbp.BatchNormalization(), fastbp.Dense(1)], seed=0)
    model.compile(fastbp.Adam(rate), "mean_squared_error", metrics=["mae"])
    return model


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    events.Reload()
    return events


def test_tensorboard_reads_what_was_written(tmp_path):
    board = fastbp.TensorBoard(tmp_path, histogram_freq=2, update_freq=2, write_steps_per_second=True)
    model = made()
    halve = fastbp.LearningRateScheduler(lambda epoch, rate: rate / 2)
    settings = {"validation_split": 0.2, "batch_size": 8, "verbose": 0}
    history = model.fit(X, Y, epochs=4, callbacks=[halve, board], **settings).history
    train, validation = read(tmp_path / "train"), read(tmp_path / "validation")
    for events, start, names in ((train, "", ["loss", "mae", "learning_rate"]), (validation, "val_", ["loss", "mae"])):
        for name in names:
            scalars = events.Scalars(f"epoch_{name}")
            assert [scalar.step for scalar in scalars] == [0, 1, 2, 3]
            assert [scalar.value for scalar in scalars] == pytest.approx(history[start + name], rel=1e-6)
    assert [scalar.step for scalar in train.Scalars("batch_loss")] == [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]
    assert len(train.Scalars("epoch_steps_per_second")) == 4
    kernel = train.Histograms("dense/kernel/histogram")
    assert [histogram.step for histogram in kernel] == [1, 3]
    values = model.views["dense/kernel"].astype(float)
    last = kernel[-1].histogram_value
    assert (last.min, last.max, last.num) == pytest.approx((values.min(), values.max(), values.size))
    assert (last.sum, last.sum_squares) == pytest.approx((values.sum(), (values**2).sum()))
    assert sum(last.bucket) == values.size
    gradient = train.Histograms("dense/kernel/gradient")[-1].histogram_value
    placed = model.engine.network.params[0]
    assert gradient.sum == pytest.approx(model.grads[placed.start : placed.stop].astype(float).sum(), abs=1e-9)
    assert train.Histograms("batchnormalization/moving_mean/histogram")
    text = train.Tensors("model")[0].tensor_proto.string_val[0].decode()
    assert "dense_1" in text
    assert "params" in text
    # A second training goes on with the epochs' numbers.
    model.fit(X, Y, epochs=1, callbacks=[fastbp.TensorBoard(tmp_path)], **settings)
    assert [scalar.step for scalar in read(tmp_path / "train").Scalars("epoch_loss")] == [0, 1, 2, 3, 4]


def test_tensorboard_in_estimators_and_tables(tmp_path):
    callbacks = [fastbp.TensorBoard(tmp_path / "mlp", histogram_freq=1)]
    mlp = fastbp.MLPRegressor(hidden_layer_sizes=4, max_iter=2, random_state=0, callbacks=callbacks)
    with pytest.warns(match="Maximum iterations"):
        mlp.fit(X, Y)
    losses = [scalar.value for scalar in read(tmp_path / "mlp" / "train").Scalars("epoch_loss")]
    assert losses == pytest.approx(mlp.loss_curve_)
    fastbp.TabularRegressor("fast", callbacks=[fastbp.TensorBoard(tmp_path / "t")], random_state=0).fit(FRAME, Y)
    scalars = read(tmp_path / "t" / "network_0" / "validation").Scalars("epoch_rmse")
    assert len(scalars) > 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"histogram_freq": -1}, "histogram_freq=-1"), ({"update_freq": "batch"}, "update_freq='batch'")],
)
def test_wrong_settings_of_tensorboard(settings, message):
    with pytest.raises(ValueError, match=message):
        fastbp.TensorBoard(**settings)


def test_optuna_prunes_a_trial_that_falls_behind():
    def objective(trial):
        model, rate = made(trial.suggest_categorical("rate", [0.05, 1e-6])), None
        history = model.fit(X, Y, epochs=6, validation_split=0.2, callbacks=[PruningCallback(trial)], verbose=0)
        trial.set_user_attr("epochs", len(history.epoch))
        assert rate is None
        return history.history["val_loss"][-1]

    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=1)
    sampler = optuna.samplers.GridSampler({"rate": [0.05, 1e-6]}, seed=0)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    study.enqueue_trial({"rate": 0.05})
    study.enqueue_trial({"rate": 1e-6})
    study.optimize(objective, n_trials=2)
    good, bad = study.trials
    assert good.state == optuna.trial.TrialState.COMPLETE
    assert sorted(good.intermediate_values) == list(range(6))
    assert bad.state == optuna.trial.TrialState.PRUNED
    assert len(bad.intermediate_values) < 6
    with pytest.raises(ValueError, match="'val_auc', which this training does not report"):
        made().fit(X, Y, callbacks=[PruningCallback(optuna.create_study().ask(), "val_auc")], verbose=0)
    with pytest.raises(TypeError, match="it is the trial that optuna gives"):
        PruningCallback(None)


def test_optuna_prunes_a_tabular_training():
    class Never(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return len(trial.intermediate_values) == 2

    trial = optuna.create_study(pruner=Never()).ask()
    model = fastbp.TabularRegressor("fast", callbacks=[PruningCallback(trial, "val_rmse")], random_state=0)
    with pytest.raises(optuna.TrialPruned, match="val_rmse is"):
        model.fit(FRAME, Y)
    assert not hasattr(model, "ensemble_")


class Note(fastbp.Callback):
    def __init__(self):
        self.calls, self.inside = [], threading.Lock()

    def on_train_begin(self, logs=None):
        self.calls.append("begin")

    def on_train_end(self, logs=None):
        self.calls.append("end")

    def on_epoch_end(self, epoch, logs=None):
        assert self.inside.acquire(blocking=False), "two threads at a time"
        self.calls.append((logs["network"], epoch, self.model, logs))
        self.inside.release()


def test_tabular_estimators_take_callbacks(tmp_path):
    note, labels = Note(), np.where(Y > 0, "yes", "no")
    settings = {"preset": "fast", "random_state": 0, "n_threads": 2}
    plain = fastbp.TabularClassifier(**settings).fit(FRAME, labels)
    log = fastbp.CSVLogger(tmp_path / "log.csv")
    model = fastbp.TabularClassifier(**settings, callbacks=[note, log]).fit(FRAME, labels)
    np.testing.assert_array_equal(model.predict_proba(FRAME), plain.predict_proba(FRAME))
    assert (note.calls[0], note.calls[-1]) == ("begin", "end")
    epochs = note.calls[1:-1]
    networks = {number for number, *_ in epochs}
    assert networks == set(range(len(model.ensemble_.networks)))
    for number in networks:
        mine = [call for call in epochs if call[0] == number]
        assert [epoch for _, epoch, *_ in mine] == list(range(len(mine)))
        assert len({id(network) for _, _, network, _ in mine}) == 1
        scores = [logs["val_log_loss"] for *_, logs in mine]
        best = model.history_[number]
        assert scores[best["best_epoch"] - 1] == best["score"] == np.nanmin(scores)
        assert all(np.isfinite(logs["loss"]) and logs["learning_rate"] >= 0 for *_, logs in mine)
    with open(tmp_path / "log.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(epochs)
    model.save(tmp_path / "m")
    assert fastbp.load_model(tmp_path / "m").callbacks is None


def test_a_callback_may_end_a_network_and_an_error_ends_all():
    class Stop(fastbp.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    history = fastbp.callbacks.History()
    model = fastbp.TabularRegressor("fast", callbacks=[Stop(), history], random_state=0).fit(FRAME, Y)
    assert set(history.epoch) == {0, 1}
    assert len(history.epoch) == 2 * len(model.ensemble_.networks)
    assert np.isfinite(model.predict(FRAME)).all()

    class Fail(fastbp.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        fastbp.TabularRegressor("fast", callbacks=[Fail()], random_state=0).fit(FRAME, Y)


def test_callbacks_of_one_model_are_refused_by_tables():
    for callback in (fastbp.EarlyStopping(), fastbp.ModelCheckpoint("m"), fastbp.ReduceLROnPlateau()):
        with pytest.raises(ValueError, match=f"{type(callback).__name__} follows the epochs of one model"):
            fastbp.TabularRegressor("fast", callbacks=[callback]).fit(FRAME, Y)
    with pytest.raises(TypeError, match="a callback is an object"):
        fastbp.TabularRegressor("fast", callbacks=[print]).fit(FRAME, Y)
