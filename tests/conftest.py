"""What the tests share: JAX in float64, reproducible property tests, and threads that really run."""

import gc
import os
import signal
import tempfile
from importlib.metadata import version

# Before anything imports JAX: its oracles are in float64, on the CPU, and take longer to compile than to run.
os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The gradient of a network of three layers compiles in 1.2 s of CPU time, without optimization in 0.64, without fused
# loops and in one module in 0.28.  XLA ends the process at a flag that it does not know: only for a JAX that does.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    if version("jax").startswith("0.10.")
    else "--xla_backend_optimization_level=0",
)

# Keras's backend, and where it keeps its settings.
os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("KERAS_HOME", os.path.join(tempfile.gettempdir(), "fastbp-tests-keras"))

# Each of some hundred processes that tests start would parse fastbp's sources anew, 0.12 s of CPU time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest
from hypothesis import HealthCheck, settings

from fastbp.engine import limits, thread_choice, threads

# The same examples on every run; compilation makes the first ones slow.
settings.register_profile(
    "fastbp", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fastbp")


# Nothing that is collected goes away before the end: to look it through again and again took 4 of the 10 s.
gc.disable()


def pytest_collection_finish():
    """Collect garbage from here on, of what the tests make."""
    gc.collect()
    gc.freeze()
    # What JAX and Numba keep grows all the time, and is looked through a tenth as often as by default.
    gc.set_threshold(700, 10, 100)
    gc.enable()


# Tests of many seconds, which use several processes and wait: with nothing left to take over, a worker would idle.
LONG = (
    "tests/tabular/test_joblib_tasks.py",
    "tests/tabular/test_checkpoint.py",
    "tests/compiler/",
    "tests/interop/test_dask.py",
    "tests/test_examples.py",
    "tests/test_wheel.py",
    "tests/callbacks/test_progress.py",
)


def pytest_collection_modifyitems(items):
    """Put the long tests first, each file's in its order: workers take over what is short at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture
def small_work(monkeypatch):
    """Cut small problems as large ones: many slices, chunks of 32 rows, many items, threads for any work."""
    monkeypatch.setattr(limits, "SLICE_MULTIPLY_ADDS", 1)
    monkeypatch.setattr(limits, "CHUNK_BYTES", 1)
    monkeypatch.setattr(limits, "ITEM_MULTIPLY_ADDS", 1)
    monkeypatch.setattr(limits, "THREAD_MULTIPLY_ADDS", 0)


@pytest.fixture
def ctrl_c():
    """Let SIGINT be Python's, as in a shell: a suite that runs in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def run_threads(monkeypatch):
    """Return a function that sets the number of threads, whatever the machine has; its list `used` tells what ran."""
    used = []
    start = threads._run_in_threads

    def noted(function, n_threads):
        used.append(n_threads)
        start(function, n_threads)

    def set_threads(n):
        used.clear()
        threads.set_num_threads(n)

    monkeypatch.setattr(threads, "available_cores", lambda: 4)
    # What is measured would decide for one thread: problems of tests are small.
    monkeypatch.setattr(thread_choice.Choice, "wanted", thread_choice.ALL.wanted)
    monkeypatch.setattr(threads, "_run_in_threads", noted)
    set_threads.used = used
    yield set_threads
    threads.set_num_threads(None)


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def n_threads(request, run_threads):
    """Run the test with one thread and with two (which start where a plan finds that they pay)."""
    run_threads(request.param)
    return request.param


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Return a folder with wine.csv and diabetes.csv and a model trained on each."""
    from fastbp.commands import demo
    from fastbp.commands.main import main

    path = tmp_path_factory.mktemp("cli")
    for name in ("wine", "diabetes"):
        demo.write_dataset(name, path / f"{name}.csv")
        target = demo.TARGETS[name][0]
        out = str(path / f"{name}.fastbp")
        assert main(["train", str(path / f"{name}.csv"), "--target", target, "--out", out, "--preset", "fast"]) == 0
    return path


@pytest.fixture
def csv(tmp_path):
    """Return a function that writes a frame, or text, as a CSV and returns its path."""

    def write(content, name="table.csv"):
        path = tmp_path / name
        if hasattr(content, "to_csv"):
            content.to_csv(path, index=False)
        else:
            path.write_text(content)
        return path

    return write
