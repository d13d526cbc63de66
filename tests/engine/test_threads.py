"""The same bits at any number of threads, in a pool of Python threads, in a forked child; who gets how many."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest

import fastbp
from fastbp import Dense, Dropout, PReLU
from fastbp.engine import limits, threads
from fastbp.engine.cores import available_cores
from fastbp.engine.interrupts import InterruptGuard
from fastbp.engine.threads import run_together

WIDE = [
    Dense(70, activation="relu", kernel_regularizer="l1_l2"),
    Dropout(0.3),
    Dense(33, activation="tanh", kernel_constraint=fastbp.MaxNorm(0.8)),
    PReLU(),
    Dense(4, activation="softmax"),
]
OPTIMIZERS = [
    fastbp.Adam(0.01),
    fastbp.SGD(0.1, momentum=0.9, global_clipnorm=0.05),
    fastbp.AdamW(0.01, clipvalue=0.001),
]


def problem(seed=0, rows=500):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, 21)).astype(np.float32), rng.integers(0, 4, rows)


def build(optimizer="adam", seed=1, dtype="float32", layers=WIDE):
    model = fastbp.Sequential(layers, seed=seed, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def train(optimizer="adam", seed=1, dtype="float32", layers=WIDE):
    """Fit, and return everything that the fit made, as bytes."""
    x, y = problem(seed)
    model = build(optimizer, seed, dtype, layers)
    history = model.fit(x, y, epochs=3, batch_size=210, validation_split=0.2, verbose=0).history
    _, grad = model.value_and_grad(x, y, training=True)
    parts = [model.params, model.engine.state, grad, model.predict(x), model.vjp(x, np.ones((len(x), 4)))]
    return b"".join(part.tobytes() for part in parts) + repr(sorted(history.items())).encode()


@pytest.mark.parametrize("partial_bytes", [limits.PARTIAL_BYTES, 0], ids=["sliced", "whole batch"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_at_any_number_of_threads(small_work, run_threads, monkeypatch, partial_bytes, optimizer, dtype):
    monkeypatch.setattr(limits, "PARTIAL_BYTES", partial_bytes)
    results = []
    for n in (1, 2, 3):
        run_threads(n)
        results.append(train(optimizer, dtype=dtype))
        assert set(run_threads.used) == ({n} if n > 1 else set())
    assert results[0] == results[1] == results[2]


JOINED = {
    "dense": [Dense(40, activation="relu"), Dense(5, activation="tanh")],
    "dropout and noise": [Dropout(0.3), Dense(33, activation="relu"), fastbp.GaussianNoise(0.1)],
    "other activations": [Dense(20), fastbp.PReLU(), Dense(20, activation="gelu"), fastbp.Softmax()],
    "normalization": [Dense(24), fastbp.LayerNormalization(), fastbp.GroupNormalization(4)],
    "recurrent": [fastbp.Reshape((3, 7)), fastbp.LSTM(9, return_sequences=True), fastbp.GRU(7)],
    "convolution": [fastbp.Reshape((21, 1)), fastbp.Conv1D(5, 3, activation="relu"), fastbp.Flatten()],
}


@pytest.mark.parametrize("rows", [33, 64, 127, 300])
@pytest.mark.parametrize("layers", JOINED)
def test_slices_that_one_thread_takes_together_have_the_bits_of_single_ones(
    small_work, run_threads, monkeypatch, layers, rows
):
    monkeypatch.setattr(limits, "PARTIAL_BYTES", 0)
    x, y = problem(rows=3 * rows)
    results = []
    for n in (1, 2, 3):
        run_threads(n)
        model = build(layers=[*JOINED[layers], Dense(4, activation="softmax")])
        losses = model.fit(x, y, epochs=2, batch_size=rows, verbose=0).history["loss"]
        with model.engine.runner(rows, model.engine.training_purpose(), 1) as runner:
            layout = runner.plan.layout[0]
        results.append((model.params.tobytes(), losses, layout["joins"], layout["slice_rows"]))
    assert results[0] == results[1] == results[2]
    assert results[0][2:] == (1, 32)


def test_more_threads_than_pieces(run_threads, monkeypatch):
    """Most of the threads find no work at all, and nobody waits for ever."""
    monkeypatch.setattr(limits, "SLICE_MULTIPLY_ADDS", 1)
    monkeypatch.setattr(limits, "THREAD_MULTIPLY_ADDS", 0)
    results = []
    for n in (1, 4):
        run_threads(n)
        model = build(layers=[Dense(4, activation="softmax")])
        x, y = problem(rows=40)
        model.fit(x, y, epochs=20, batch_size=40, verbose=0)
        results.append(model.params.tobytes())
    assert set(run_threads.used) == {4}
    assert results[0] == results[1]


def test_small_steps_start_no_thread(run_threads):
    run_threads(2)
    model = build(layers=[Dense(4, activation="softmax")])
    model.fit(*problem(), batch_size=10, verbose=0)
    assert run_threads.used == []


def test_large_steps_start_threads(run_threads):
    """With the constants as they are."""
    run_threads(2)
    x, y = problem(rows=1024)
    model = build(layers=[Dense(256, activation="relu"), Dense(4, activation="softmax")])
    model.fit(x, y, batch_size=256, verbose=0)
    model.predict(np.tile(x, (10, 1)))
    assert set(run_threads.used) == {2}
    assert len(run_threads.used) >= 2


def test_divergence_ends_all_threads(small_work, run_threads):
    """A loss that is not finite ends every thread at the same step, and the same step is named."""
    messages = []
    for n in (1, 3):
        run_threads(n)
        x, y = problem()
        model = fastbp.Sequential([Dense(40), Dense(1)], seed=0)
        model.compile(fastbp.SGD(1e4), "mean_squared_error")
        with pytest.raises(fastbp.TrainingDiverged) as error:
            model.fit(x, y, epochs=20, batch_size=100, verbose=0)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_models_in_a_thread_pool(small_work, run_threads):
    """Fits of different models at once share the cores, and each has the bits that it has alone."""
    run_threads(1)
    expected = [train(seed=seed) for seed in range(6)]
    run_threads(3)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: train(seed=seed), range(6)))
    assert found == expected
    assert threads._busy == 0


def test_one_model_predicts_in_many_threads(small_work, run_threads):
    run_threads(2)
    x, y = problem()
    model = build()
    model.fit(x, y, verbose=0)
    expected = model.predict(x)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.predict(x), range(40)))
    assert all(np.array_equal(one, expected) for one in found)


FORKED = """
import os, signal
import numpy as np
import fastbp
from fastbp.engine import limits
from fastbp.engine import threads
from tests.engine.test_threads import train

for name in ("SLICE_MULTIPLY_ADDS", "CHUNK_BYTES", "ITEM_MULTIPLY_ADDS"):
    setattr(limits, name, 1)
limits.THREAD_MULTIPLY_ADDS = 0
threads.available_cores = lambda: 4
started = []
run_in_threads = threads._run_in_threads

def noted(function, n):
    started.append(n)
    run_in_threads(function, n)

threads._run_in_threads = noted
fastbp.set_num_threads(1)
expected = train()
assert not started
fastbp.set_num_threads(2)
assert train() == expected and set(started) == {2}
# The parent forks while other fits of its own are under way, as far as the counter can tell.
threads._busy = 3
child = os.fork()
if child == 0:
    signal.alarm(120)
    started.clear()
    same = train() == expected and set(started) == {2}
    os._exit(0 if same else 1)
threads._busy = 0
_, status = os.waitpid(child, 0)
assert status == 0, status
assert train() == expected
print("same bits")
"""


def run_script(code):
    """Run Python code in a process of its own; return what it printed."""
    folders = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    command = [sys.executable, "-c", code]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished.stdout.strip()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_has_the_same_bits():
    """After the parent trained with threads: nothing of them is left to wait for."""
    assert run_script(FORKED) == "same bits"


INTERRUPTED = """
import os, signal, threading, time
import numpy as np
import fastbp
from fastbp.engine import limits
from fastbp.engine import threads

signal.signal(signal.SIGINT, signal.default_int_handler)
limits.SLICE_MULTIPLY_ADDS = 1
limits.THREAD_MULTIPLY_ADDS = 0
threads.available_cores = lambda: 2
x = np.random.default_rng(0).standard_normal((4000, 21))
model = fastbp.Sequential([fastbp.Dense(64, activation="tanh"), fastbp.Dense(1)], seed=0)
model.compile("adam", "mean_squared_error")
model.fit(x, x[:, 0], epochs=1, verbose=0)
timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
timer.start()
started = time.perf_counter()
history = model.fit(x, x[:, 0], epochs=10_000_000, batch_size=512, verbose=0)
assert time.perf_counter() - started < 20
assert np.isfinite(model.params).all() and len(history.epoch) > 0
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_ends_a_threaded_fit_whole():
    assert "Interrupted" in run_script(INTERRUPTED)


def test_set_num_threads_checks():
    for n in (0, -1, 1.5, True, "2"):
        with pytest.raises(ValueError, match="number of threads"):
            fastbp.set_num_threads(n)


def test_numbers_of_numpy_are_numbers_of_threads():
    try:
        fastbp.set_num_threads(np.int64(1))
        assert fastbp.get_num_threads() == 1
    finally:
        fastbp.set_num_threads(None)


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("4,2", 4),
        (" 3 ", 3),
        ("3 , 1", 3),
        ("", 8),
        ("0", 8),
        ("-1", 8),
        ("1.0", 8),
        ("\N{SUPERSCRIPT TWO}", 8),
        (",2", 8),
    ],
)
def test_the_environment_is_read_as_openmp_reads_it(monkeypatch, said, number):
    monkeypatch.setattr(threads, "available_cores", lambda: 8)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert fastbp.get_num_threads() == number


def test_number_of_threads(monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: 8)
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert fastbp.get_num_threads() == 8
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert fastbp.get_num_threads() == 3
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    assert fastbp.get_num_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert fastbp.get_num_threads() == 2
    try:
        fastbp.set_num_threads(5)
        assert fastbp.get_num_threads() == 5
        fastbp.set_num_threads(50)
        assert fastbp.get_num_threads() == 8
    finally:
        fastbp.set_num_threads(None)


def test_available_cores_are_at_least_one():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


def test_no_more_threads_than_cores_in_all(monkeypatch):
    """Calls that run at the same time share the cores; each has one thread at least."""
    monkeypatch.setattr(threads, "available_cores", lambda: 4)
    inside, counts = threading.Event(), {}

    def outer(thread, n_threads):
        counts.setdefault("outer", n_threads)
        if thread == 0:
            run_together(lambda i, n: counts.setdefault("inner", n), 4)
            run_together(lambda i, n: counts.setdefault("second", n), 1)
            inside.set()
        assert inside.wait(20)

    run_together(outer, 3)
    assert counts == {"outer": 3, "inner": 1, "second": 1}
    assert threads._busy == 0


def test_an_exception_gives_the_cores_back():
    def fail(thread, n_threads):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        run_together(fail, 1)
    assert threads._busy == 0


def test_what_a_woken_helper_raises_is_raised_by_the_caller(run_threads):
    """Once, and the helper lives on."""
    run_threads(2)
    for _ in range(5):
        both = threading.Barrier(2)

        def fail(thread, n_threads, both=both):
            both.wait(30)
            if thread == 1:
                raise ValueError("of the helper")

        with pytest.raises(ValueError, match="of the helper"):
            run_together(fail, 2)
    done = []
    run_together(lambda thread, n_threads: done.append(thread), 2)
    assert 0 in done
    assert threads._busy == 0


@pytest.mark.skipif(sys.platform == "win32", reason="raises a signal")
def test_interrupt_guards_nest(ctrl_c):
    """The inner guard notes Ctrl-C and hands it on; the handler of before is back afterwards."""
    before = signal.getsignal(signal.SIGINT)
    outer, inner = InterruptGuard(), InterruptGuard()

    def interrupted():
        signal.raise_signal(signal.SIGINT)
        assert inner.requested
        assert not outer.requested

    outer.run(inner.run, interrupted)
    assert outer.requested
    assert signal.getsignal(signal.SIGINT) is before


@numba.njit
def refuse_big(y_true, y_pred, dout):
    if y_true[0] > 100:
        raise ValueError("too big")
    dout[0] = 2 * (y_pred[0] - y_true[0])
    return (y_pred[0] - y_true[0]) ** 2


@pytest.mark.parametrize("bad_row", [0, 500, 999])
def test_a_loss_that_raises_ends_all_threads(bad_row, small_work, run_threads):
    run_threads(2)
    x, y = np.linspace(-1, 1, 1000)[:, None], np.zeros(1000)
    y[bad_row] = 1000
    model = fastbp.Sequential([fastbp.Dense(4), fastbp.Dense(1)], seed=0)
    model.compile(loss=fastbp.CustomLoss(refuse_big))
    with pytest.raises(ValueError, match="too big"):
        model.fit(x, y, batch_size=1000, shuffle=False, verbose=0)
    assert threads._busy == 0
    assert run_threads.used == [2]


def test_helpers_sleep_between_calls_and_keep_nothing_alive(run_threads, monkeypatch):
    """A call wakes the threads of the one before, and they let go of its arrays."""
    monkeypatch.setattr(threads, "_idle", [])
    before, names = threading.active_count(), []
    for _ in range(20):
        both = threading.Barrier(2)

        def work(thread, n_threads, both=both):
            both.wait(20)
            names.append(threading.current_thread().name)

        run_together(work, 2)
        while len(threads._idle) < 1:
            time.sleep(0.001)
    assert threading.active_count() == before + 1
    assert sorted(set(names)) == sorted({threading.current_thread().name, "fastbp-helper"})
    alive = weakref.ref(work)
    del work
    gc.collect()
    assert alive() is None


def test_a_helper_that_wakes_too_late_is_not_waited_for():
    share = threads.Share(lambda thread, n: pytest.fail("ran"), 1, 2)
    share.wait()
    share.run()


def test_threads_that_cannot_start_leave_the_work_to_the_others(small_work, run_threads, monkeypatch):
    def fit():
        model = fastbp.Sequential([fastbp.Dense(4, activation="tanh"), fastbp.Dense(1)], input_shape=(1,), seed=0)
        model.compile(loss="mean_squared_error")
        model.fit(np.linspace(-1, 1, 300)[:, None], np.ones(300), batch_size=300, verbose=0)
        return model.params

    expected = fit()
    start, started = threading.Thread.start, []

    def start_one(thread):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threads, "_idle", [])
    monkeypatch.setattr(threading.Thread, "start", start_one)
    run_threads(4)
    np.testing.assert_array_equal(fit(), expected)
    assert len(started) == 1


def test_helpers_end_after_a_while_and_are_never_more_than_cores(run_threads, monkeypatch):
    """Four Python threads at once, of which each wants three: as many helpers as cores, less one."""
    monkeypatch.setattr(threads, "_idle", [])
    monkeypatch.setattr(threads, "IDLE_SECONDS", 0.2)
    alive = []

    def work(thread, n_threads):
        alive.append(sum(getattr(one, "home", None) is threads._idle for one in threading.enumerate()))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: run_together(work, 3), range(200)))
    assert 1 <= max(alive) <= 3
    ends = time.monotonic() + 20
    while any(getattr(one, "home", None) is threads._idle for one in threading.enumerate()):
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert threads._idle == []
    # Others are started when they are needed again.
    run_together(work, 3)


@pytest.mark.skipif(sys.platform == "win32", reason="sets an alarm")
def test_what_a_handler_raises_is_raised_when_all_threads_are_done(run_threads, monkeypatch):
    """Twice: while the caller's part runs, and while it waits for the helper."""
    done, raised = [], []

    def raise_again(number, frame):
        raised.append(None)
        raise TimeoutError(f"alarm {len(raised)}")

    def work(thread, n_threads):
        if thread == 0:
            while not begun.wait(20):
                pass
            signal.raise_signal(signal.SIGALRM)
        else:
            begun.set()
            while len(raised) < 2:
                time.sleep(0.01)
            done.append(thread)

    begun = threading.Event()
    before = signal.signal(signal.SIGALRM, raise_again)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.2)
    try:
        with pytest.raises(TimeoutError, match="alarm"):
            run_together(work, 2)
        assert done == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert threads._busy == 0


def test_a_tabular_fit_without_threads(monkeypatch):
    """The system allows none: this one does all, and Ctrl-C or an error end it as ever."""
    x = np.random.default_rng(0).standard_normal((60, 3))
    expected = fastbp.TabularRegressor("fast", random_state=0).fit(x, x[:, 0]).predict(x)

    def no_more(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("fastbp.tabular.encoding.THREAD_ROWS", 0)
    monkeypatch.setattr(threads, "_idle", [])
    monkeypatch.setattr(threading.Thread, "start", no_more)
    model = fastbp.TabularRegressor("fast", random_state=0).fit(x, x[:, 0])
    np.testing.assert_array_equal(model.predict(x), expected)


def test_tasks_that_fail_drop_the_others():
    made = []

    def work(number):
        made.append(number)
        if number == 1:
            raise ValueError("one")

    with pytest.raises(ValueError, match="one"):
        threads.map_in_threads(work, [(number,) for number in range(1000)], 1)
    assert made[:2] == [0, 1]
    assert threads.map_in_threads(divmod, [(7, 2), (9, 4)], 3) == [(3, 1), (2, 1)]


FORKED_BESIDE_A_COMPILER = """
import os, signal, sys, threading, time
import numpy as np
import fastbp
from numba.core.compiler_lock import global_compiler_lock

model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
compiling, forked = threading.Event(), threading.Event()

def compile_for_a_while():
    with global_compiler_lock:
        compiling.set()
        time.sleep(1.0)
        assert not forked.is_set()

thread = threading.Thread(target=compile_for_a_while)
thread.start()
compiling.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)
    model.compile(loss="mean_squared_error")
    model.fit(np.eye(2), np.ones(2), verbose=0)
    os._exit(0)
forked.set()
assert os.waitpid(child, 0)[1] == 0
thread.join()
with global_compiler_lock:
    print("both go on")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_waits_for_a_thread_that_compiles():
    """The child would have numba's lock, held by a thread that it does not have."""
    assert run_script(FORKED_BESIDE_A_COMPILER) == "both go on"
