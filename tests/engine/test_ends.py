"""Ends of a run: whatever is raised, and wherever, leaves a model whole; Ctrl-C is heard in calls of any length."""

import signal

import numba
import numpy as np
import pytest

import fastbp
from fastbp import BatchNormalization, Dense, Dropout, Embedding, Flatten
from fastbp.engine import interruptible_steps as stretches
from fastbp.engine import interrupts, runner
from fastbp.engine.helper_threads import open_counters, run_share
from fastbp.engine.interrupts import InterruptGuard
from fastbp.solvers.levenberg import levenberg_marquardt
from tests.engine.test_threads import run_script

X = np.random.default_rng(0).standard_normal((400, 5)).astype(np.float32)
Y = X[:, :1] * 0.5


@numba.njit
def refuse_big(y_true, y_pred, dout):
    if y_true[0] > 100:
        raise ValueError("too big")
    dout[0] = 2 * (y_pred[0] - y_true[0])
    return (y_pred[0] - y_true[0]) ** 2


def small_model(loss="mean_squared_error", optimizer="adam"):
    layers = [Dense(8, activation="tanh"), BatchNormalization(), Dropout(0.1), Dense(1)]
    model = fastbp.Sequential(layers, input_shape=(5,), seed=0)
    model.compile(optimizer, loss)
    return model


def state_of(model):
    engine = model.engine
    return [engine.params.copy(), engine.state.copy(), engine.buffers.copy(), engine.step]


def assert_same_state(model, expected):
    for found, array in zip(state_of(model), expected, strict=True):
        np.testing.assert_array_equal(found, array)


# Exceptions of the loss


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_loss_that_raises_leaves_the_whole_updates_of_before(n_threads, small_work, run_threads):
    """At batch 10 of the second epoch: 10 + 9 updates are made, in parameters, state, statistics and `step`."""
    run_threads(n_threads)
    model, other = (small_model(fastbp.CustomLoss(refuse_big)) for _ in range(2))
    model.fit(X, Y, batch_size=40, shuffle=False, verbose=0)
    bad = Y.copy()
    bad[9 * 40 + 3] = 1000
    with pytest.raises(ValueError, match="too big"):
        model.fit(X, bad, epochs=3, batch_size=40, shuffle=False, verbose=0)
    assert model.step == 19
    for i in range(19):
        rows = slice(i % 10 * 40, i % 10 * 40 + 40)
        other.train_on_batch(X[rows], Y[rows])
    assert_same_state(model, state_of(other))


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    "act",
    [
        lambda model, y: model.train_on_batch(X, y),
        lambda model, y: model.value_and_grad(X, y, training=True),
        lambda model, y: model.evaluate(X, y),
        lambda model, y: model.fit(X, y, batch_size=400, verbose=0),
    ],
    ids=["train_on_batch", "value_and_grad", "evaluate", "fit"],
)
def test_a_call_that_raises_changes_nothing(act, n_threads, small_work, run_threads):
    run_threads(n_threads)
    model = small_model(fastbp.CustomLoss(refuse_big))
    model.train_on_batch(X, Y)
    before, bad = state_of(model), Y.copy()
    bad[399] = 1000
    with pytest.raises(ValueError, match="too big"):
        act(model, bad)
    assert_same_state(model, before)


def test_a_callback_that_raises_leaves_the_updates_so_far(monkeypatch):
    monkeypatch.setattr(stretches, "FIRST_STRETCH_MULTIPLY_ADDS", 1)
    monkeypatch.setattr(stretches, "STRETCH_SECONDS", 0.0)

    class Stop(fastbp.Callback):
        def on_stretch_end(self, step, logs=None):
            if step == 3:
                raise RuntimeError("enough")

    model, other = small_model(), small_model()
    with pytest.raises(RuntimeError, match="enough"):
        model.fit(X, Y, batch_size=40, shuffle=False, callbacks=[Stop()], verbose=0)
    assert model.step == 3
    for start in (0, 40, 80):
        other.train_on_batch(X[start : start + 40], Y[start : start + 40])
    assert_same_state(model, state_of(other))


def test_lbfgs_that_is_ended_leaves_the_last_iteration(monkeypatch):
    """Not one of the places that a line search looked at."""
    calls, run = [], runner.Runner.run

    def run_some(self, *arguments, **more):
        calls.append(1)
        if len(calls) == 9:
            raise RuntimeError("time is up")
        return run(self, *arguments, **more)

    seen = []
    kept = fastbp.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(mlp.model_.params.copy()))
    mlp = fastbp.MLPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", random_state=0, callbacks=[kept])
    monkeypatch.setattr(runner.Runner, "run", run_some)
    with pytest.raises(RuntimeError, match="time is up"):
        mlp.fit(X, Y.ravel())
    np.testing.assert_array_equal(mlp.model_.params, seen[-1])


def test_a_tabular_fit_that_fails_late_leaves_the_estimator_as_it_was(monkeypatch):
    model = fastbp.TabularRegressor("fast", random_state=0).fit(X[:100], Y[:100, 0])
    before, expected = dict(vars(model)), model.predict(X)

    def fail(*arguments):
        raise RuntimeError("no")

    monkeypatch.setattr(type(model), "_score", fail)
    with pytest.raises(RuntimeError, match="no"):
        model.fit(X[100:200, :3], Y[100:200, 0])
    assert vars(model) == before
    np.testing.assert_array_equal(model.predict(X), expected)


# Long calls


def images():
    """Long calls of all shapes: gradients in slices, in turns (sums over the batch), of tables; clipped, limited."""
    x, y = np.tile(X, (3, 1)), np.tile(Y, (3, 1))
    wide = np.random.default_rng(1).integers(0, 3000, (1200, 4))
    limited = Dense(9, kernel_constraint=fastbp.MaxNorm(0.5), kernel_regularizer="l2")
    return {
        "slices": ([Dense(8, activation="tanh"), Dense(1)], "adam", x, y),
        "turns": ([Dense(8, activation="tanh"), BatchNormalization(), Dense(1)], "adam", x, y),
        "clipped": ([limited, Dense(1)], fastbp.SGD(0.1, momentum=0.5, global_clipnorm=0.01), x, y),
        "items": ([Dense(300, activation="relu"), Dense(300), Dense(1)], "adam", x, y),
        "table": ([Embedding(3000, 4), Flatten(), Dense(1)], "adam", wide, y),
        "lazy table": ([Embedding(3000, 4, lazy=True), Flatten(), Dense(1)], "sgd", wide, y),
        "clipped table": ([Embedding(3000, 4), Flatten(), Dense(1)], fastbp.Adam(global_clipnorm=0.01), wide, y),
    }


def do_all(kind):
    """Return everything that long calls make, and how often they pause."""
    layers, optimizer, x, y = images()[kind]
    model = fastbp.Sequential(layers, input_shape=x.shape[1:], seed=0)
    model.compile(optimizer, "mean_squared_error")
    weight = np.linspace(0.5, 1.5, len(x))
    found = [model.evaluate(x, y, sample_weight=weight), model.predict(x), *model.value_and_grad(x, y, training=True)]
    found += [model.train_on_batch(x, y), model.train_on_batch(x, y)]
    if "table" not in kind:
        found.append(model.vjp(x, np.ones_like(y)))
    history = model.fit(x, y, epochs=3, batch_size=len(x), validation_data=(x, y), verbose=0)
    return [*found, *history.history["loss"], *history.history["val_loss"], *state_of(model)]


@pytest.fixture
def pauses(monkeypatch):
    """Have every call of one step pause after each piece; return a list that grows by one each time."""
    times, again = [], runner.paused_counters

    def counted(counters):
        times.append(1)
        return again(counters)

    monkeypatch.setattr(runner, "LONG_MULTIPLY_ADDS", -1)
    monkeypatch.setattr(runner, "CALL_SECONDS", 1e-9)
    monkeypatch.setattr(runner, "paused_counters", counted)
    return times


@pytest.mark.parametrize("kind", list(images()))
def test_pauses_change_no_bit(kind, small_work, run_threads, request):
    run_threads(1)
    expected = do_all(kind)
    times = request.getfixturevalue("pauses")
    for n in (1, 2):
        run_threads(n)
        times.clear()
        for found, value in zip(do_all(kind), expected, strict=True):
            np.testing.assert_array_equal(found, value)
        assert len(times) > 20


ACTS = {
    "predict": lambda model: model.predict(np.tile(X, (9, 1))),
    "evaluate": lambda model: model.evaluate(np.tile(X, (9, 1)), np.tile(Y, (9, 1))),
    "value_and_grad": lambda model: model.value_and_grad(X, Y, training=True),
    "vjp": lambda model: model.vjp(X, np.ones_like(Y), training=True),
    "train_on_batch": lambda model: model.train_on_batch(X, Y),
}


@pytest.mark.parametrize("act", list(ACTS))
@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_ends_a_long_call(act, n_threads, small_work, run_threads, pauses, monkeypatch, ctrl_c):
    run_threads(n_threads)
    model, again = small_model(), runner.paused_counters
    model.train_on_batch(X, Y)
    before = state_of(model)

    def interrupt(counters):
        if len(pauses) == 2:
            signal.raise_signal(signal.SIGINT)
        return again(counters)

    pauses.clear()
    monkeypatch.setattr(runner, "paused_counters", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ACTS[act](model)
    assert len(pauses) == 2
    assert_same_state(model, before)


@pytest.mark.parametrize("where", ["training", "validation"])
def test_ctrl_c_in_a_long_call_of_fit_ends_it_with_the_history_so_far(
    where, small_work, run_threads, pauses, monkeypatch, ctrl_c, capsys
):
    """In the third epoch: during its only step, or after it."""
    run_threads(1)
    model, other, heed = small_model(), small_model(), interrupts.heed_interrupt

    def interrupt():
        if model.step == {"training": 2, "validation": 3}[where]:
            signal.raise_signal(signal.SIGINT)
        heed()

    rows = np.tile(X, (9, 1)), np.tile(Y, (9, 1))
    settings = {"batch_size": 400, "shuffle": False, "verbose": 0}
    with monkeypatch.context() as patch:
        patch.setattr(runner, "heed_interrupt", interrupt)
        history = model.fit(X, Y, epochs=9, validation_data=rows if where == "validation" else None, **settings)
    assert "Interrupted" in capsys.readouterr().out
    assert len(history.epoch) == 2
    assert model.step == {"training": 2, "validation": 3}[where]
    other.fit(X, Y, epochs=model.step, **settings)
    assert_same_state(model, state_of(other))


def test_ctrl_c_ends_levenberg_marquardt_between_its_calls(ctrl_c, monkeypatch):
    import fastbp.solvers.leastsquares as module

    model = fastbp.Sequential([Dense(4, activation="tanh"), Dense(1)], input_shape=(5,), seed=0)
    monkeypatch.setattr(module, "CALL_MULTIPLY_ADDS", 1)
    guard, before = InterruptGuard(), model.params.copy()

    def interrupted():
        signal.raise_signal(signal.SIGINT)
        levenberg_marquardt(model.engine, X, Y)

    with pytest.raises(KeyboardInterrupt):
        guard.run(interrupted)
    np.testing.assert_array_equal(model.params, before)


def test_a_helper_that_comes_too_late_or_too_early_touches_nothing():
    """The address of the driver is 0: whoever called it would end the process."""
    jobs, work = np.zeros(1, runner.JOB), np.zeros((1, 1), np.float32)
    counters = open_counters(1)
    run_share(0, jobs, work, counters, 1, 2)
    assert counters[-1] == 2**41  # not open yet, nobody inside
    counters[-1] = 2**40
    run_share(0, jobs, work, counters, 1, 2)
    assert counters[-1] == 2**40


# Handlers of SIGINT


def interrupting(at):
    return fastbp.LambdaCallback(
        on_epoch_end=lambda epoch, logs: signal.raise_signal(signal.SIGINT) if epoch == at else None
    )


def test_where_sigint_is_ignored_fit_goes_on(ctrl_c, capsys):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert len(small_model().fit(X, Y, epochs=6, callbacks=[interrupting(2)], verbose=0).epoch) == 6
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    mlp = fastbp.MLPRegressor(hidden_layer_sizes=(5,), max_iter=4, callbacks=[interrupting(1)], random_state=0)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        mlp.fit(X, Y.ravel())
    assert capsys.readouterr().out == ""


def test_a_handler_of_the_users_is_called(ctrl_c):
    calls = []

    def handler(number, frame):
        calls.append(number)

    signal.signal(signal.SIGINT, handler)
    assert len(small_model().fit(X, Y, epochs=4, callbacks=[interrupting(2)], verbose=0).epoch) == 4
    assert calls == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_handler_that_python_does_not_know_stays(monkeypatch):
    """`signal.signal` could not put it back."""
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(interrupts, "set_handler", lambda *arguments: pytest.fail("replaced"))
    assert InterruptGuard().run(len, "abc") == 3


def test_a_fit_in_a_callback_and_its_outer_one_both_end(ctrl_c, capsys):
    inner, ended = small_model(), []

    def train_inside(epoch, logs):
        ended.append(len(inner.fit(X, Y, epochs=9, callbacks=[interrupting(1)], verbose=0).epoch))

    outer = small_model()
    history = outer.fit(X, Y, epochs=9, callbacks=[fastbp.LambdaCallback(on_epoch_end=train_inside)], verbose=0)
    assert (ended, len(history.epoch)) == ([2], 1)
    assert capsys.readouterr().out.count("Interrupted") == 2


# Signals at random moments


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="sets alarms")
def test_time_limits_at_random_moments_leave_nothing_behind():
    found = run_script("from tests import alarms; alarms.main(120, seed=0, tables=False)")
    assert found.endswith("nothing was left behind")
    assert int(found.split()[0]) > 30


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="sets alarms")
def test_random_work_leaves_memory_files_and_threads_as_they_are():
    assert "threads" in run_script("from tests import soak; soak.soak(seconds=2.0, seed=1)")
