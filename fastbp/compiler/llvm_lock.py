"""The lock of all that links or compiles kernels, which LLVM does one at a time.

A process that forks waits for it, perhaps for seconds: its child would find LLVM locked by a thread that it has not.
Numba's own lock comes after it, also at a fork: the other order would have two threads wait for each other.
"""

import os
import sys
import threading

llvm_lock = threading.RLock()
# Numba's lock while a process forks: other threads of the user's may compile functions that are not fastbp's.
_held: list = []


def _hold():
    """Before `os.fork`: wait until no thread compiles."""
    llvm_lock.acquire()
    # It is None where Numba is not imported, and where another thread has only begun to import it.
    numba_lock = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
    if numba_lock is not None:
        numba_lock.acquire()
        _held.append(numba_lock)


def _free():
    """After `os.fork`, in parent and child."""
    if _held:
        _held.pop().release()
    llvm_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_free, after_in_child=_free)
