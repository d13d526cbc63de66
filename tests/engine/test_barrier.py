"""Phases: the order in which threads see what others wrote, and how they wait.

On x86 every load acquires and every read-modify-write is in order, so a mistake would be seen on other CPUs only: what
LLVM makes of the two operations for AArch64 is read instead.
"""

import re
import sys
import threading

import numpy as np
import pytest
from llvmlite import ir
from numba import types

from fastbp.compiler.jit import kernel, unkept_kernel
from fastbp.engine import barrier
from fastbp.engine.barrier import finish, take, wait
from fastbp.engine.helper_threads import open_counters
from tests.compiler.test_fpmode import assembly

AARCH64 = "aarch64-unknown-linux-gnu"
I64 = ir.IntType(64)


@kernel
def share_out(counters, done, pieces, n_threads):
    """Do the pieces of one phase as one of the threads; return after all are done."""
    taken = 0
    while True:
        piece = take(counters, 0, taken, n_threads)
        if piece >= pieces:
            break
        taken += 1
        done[piece] += 1
        finish(counters, 0, n_threads)
    wait(counters, 0, pieces, n_threads)


@kernel
def wait_for(counters, pieces):
    """Wait as one of two threads."""
    wait(counters, 0, pieces, 2)


@pytest.mark.parametrize("features", ["", "+lse"], ids=["armv8.0", "armv8.1"])
def test_a_count_is_added_in_order_on_aarch64(features):
    """Acquire and release: a piece's results are written before it counts as done, read after it was counted."""

    def emit(builder, place, result):
        builder.store(barrier.add_in_order(builder, place, I64(1)), result)

    code = assembly(AARCH64, emit, I64.as_pointer(), I64.as_pointer(), features=features)
    instructions = set(re.findall(r"^\s*(ld\w*|st\w*xr|bl)\s", code, re.M)) - {"ldr", "ldp"}
    # Relaxed, they would be ldxr with stxr, and ldadd.
    assert instructions == ({"ldaddal"} if features else {"ldaxr", "stlxr"})


def test_a_count_is_read_in_order_on_aarch64():
    """Acquire: nothing that stands after the loop is read before the count."""

    def emit(builder, place, result):
        builder.store(barrier.load_in_order(builder, place), result)

    code = assembly(AARCH64, emit, I64.as_pointer(), I64.as_pointer())
    assert re.findall(r"^\s*(ld\w*)\s", code, re.M) == ["ldar"]


def test_phases_use_these_operations():
    """Every access of other threads' counts: two additions (take, finish), one load (wait)."""
    function = unkept_kernel(share_out.py_func).dispatcher
    function.compile(types.void(types.int64[::1], types.float64[::1], types.int64, types.int64))
    code = "".join(function.inspect_llvm().values())
    orders = set(re.findall(r"(atomicrmw|load atomic|store atomic|cmpxchg|fence)\b.*?(\w+)(?:, align|$)", code, re.M))
    assert orders == {("atomicrmw", "acq_rel"), ("load atomic", "acquire")}


@pytest.mark.parametrize(
    ("triple", "instruction"),
    [(AARCH64, r"\byield\b|hint\s+#0?x?1\b"), ("x86_64-unknown-linux-gnu", r"\bpause\b"), ("riscv64-linux-gnu", None)],
)
def test_who_polls_says_so(triple, instruction):
    code = assembly(triple, lambda builder: barrier.emit_pause(builder, triple))
    body = code[code.index("entry:") :]
    assert bool(instruction and re.search(instruction, body)) == (instruction is not None)


def test_each_piece_is_done_once():
    done, counters = np.zeros(1000), open_counters(1)
    others = [threading.Thread(target=share_out, args=(counters, done, 1000, 3)) for _ in range(2)]
    for other in others:
        other.start()
    share_out(counters, done, 1000, 3)
    assert done.tolist() == [1] * 1000
    for other in others:
        other.join()


def switches_of_own_accord(seconds):
    """Return how often a thread that waits for so long leaves its core without being driven off."""
    import resource

    counters = open_counters(1)
    timer = threading.Timer(seconds, lambda: counters.__setitem__(1, 1))
    timer.start()
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    wait_for(counters, 1)
    switches = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before
    timer.join()
    return switches


@pytest.mark.skipif(sys.platform != "linux", reason="counts a thread's switches")
def test_who_waits_long_sleeps():
    """The thread leaves its core of its own accord: to poll, or to offer the core, would not count as that.

    On a busy machine it may have no core for most of a short wait: then it waits for longer.
    """
    wait_for(open_counters(1), 0)
    assert any(switches_of_own_accord(0.3 * 2**trial) >= 5 for trial in range(6))
