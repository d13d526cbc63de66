"""fastbp beside a user's own `parallel=True` functions, under each of Numba's threading layers."""

import importlib
import os

import pytest

from tests.engine.test_threads import run_script

LAYERS = {"omp": "numba.np.ufunc.omppool", "workqueue": "numba.np.ufunc.workqueue"}

# GNU OpenMP ends a forked child at its first parallel function, workqueue a process two of whose Python threads run
# parallel functions at once: neither may happen to somebody who only fits models.
BOTH = """
import os, signal, sys
from concurrent.futures import ThreadPoolExecutor
import numba
import numpy as np
import fastbp
from fastbp.engine import limits, plan
from fastbp.engine import threads
from tests.engine.test_threads import train

for name in ("SLICE_MULTIPLY_ADDS", "CHUNK_BYTES", "ITEM_MULTIPLY_ADDS"):
    setattr(limits, name, 1)
limits.THREAD_MULTIPLY_ADDS = 0
threads.available_cores = lambda: 6
numba.set_num_threads(2)
started = []
run_in_threads = threads._run_in_threads

def noted(function, n):
    started.append(n)
    run_in_threads(function, n)

threads._run_in_threads = noted

@numba.njit(parallel=True)
def row_sums(x):
    out = np.empty(len(x))
    for i in numba.prange(len(x)):
        out[i] = x[i].sum()
    return out

x = np.arange(12_000.0).reshape(-1, 3)

def users_function_works():
    return np.array_equal(row_sums(x), x.sum(1))

assert users_function_works()
assert numba.threading_layer() == os.environ["NUMBA_THREADING_LAYER"], numba.threading_layer()
fastbp.set_num_threads(1)
expected = [train(seed=seed) for seed in range(4)]
assert not started

# Fits in several Python threads, each with threads of its own, while the main one runs the user's function.
fastbp.set_num_threads(2)
with ThreadPoolExecutor(3) as pool:
    fits = [pool.submit(train, seed=seed) for seed in range(4)]
    while not all(fit.done() for fit in fits):
        assert users_function_works()
assert [fit.result() for fit in fits] == expected
assert set(started) == {2}

child = os.fork()
if child == 0:
    signal.alarm(120)
    started.clear()
    same = [train(seed=seed) for seed in range(2)] == expected[:2]
    with ThreadPoolExecutor(2) as pool:
        same = same and list(pool.map(lambda seed: train(seed=seed), range(2))) == expected[:2]
    os._exit(0 if same and set(started) == {2} else 1)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert users_function_works()
assert train(seed=0) == expected[0]
print("same bits")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("layer", LAYERS)
def test_fits_beside_parallel_functions(layer, monkeypatch):
    """In Python threads at once, and in a forked child of a process that did both: no crash, no hang, same bits."""
    try:
        importlib.import_module(LAYERS[layer])
    except ImportError as error:
        pytest.skip(f"Numba's threading layer {layer} is not there: {error}")
    monkeypatch.setenv("NUMBA_THREADING_LAYER", layer)
    # Numba's pool has the threads of this setting, which fastbp obeys too unless it is told a number.
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    assert run_script(BOTH) == "same bits"
