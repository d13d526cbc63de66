"""Addition to joblib's processes (loky): a worker that dies while it writes its result counts as lost, as any other.

The workers write into one pipe.  A worker that is killed then, as by the system where memory runs out, leaves a part of
a message.  loky's thread reads: it waits for the rest, and no longer looks which workers are alive.  Nor does the pipe
end, because loky holds it open for new workers.  So the call would never return (joblib 1.4 to 1.6).
"""

import threading
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from operator import attrgetter

from fastbp.engine.threads import start_thread

# loky notices a death within milliseconds.  What it has not seen twice, so many seconds apart, it will not see.
SECONDS = 2.0
# Private parts of an executor.
PARTS = attrgetter("_flags", "_flags.shutdown_lock", "_result_queue._writer", "_flags.broken")


@contextmanager
def deaths_noticed(backend):
    """Context for a call of joblib's `backend`: if a worker of loky dies, the call fails with a `BrokenExecutor`.

    A thread looks every 2 seconds, and ends with the context.  It touches loky only where that has missed a death.  It
    needs parts of loky that are private: where joblib has none of that name, nothing is done.  Nor is anything done for
    other backends.  The call still waits if a process that the user has forked meanwhile holds the pipe open too.
    """
    from joblib._parallel_backends import LokyBackend

    if not isinstance(backend, LokyBackend):
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_look, args=(over,), name="fastbp-watch", daemon=True)
    try:
        start_thread(thread)
        yield
    finally:
        over.set()
        if thread.is_alive():
            thread.join()


def _look(over):
    dead = set()
    while not over.wait(SECONDS):
        executor = _executor()
        before, dead = dead, _dead_workers(executor)
        # A worker that ends by itself, idle or to free memory, has 0.
        if any(worker.exitcode for worker in before & dead):
            _break(executor)


def _executor():
    """Return the executor that all calls of loky share, or None."""
    try:
        from joblib.externals.loky import reusable_executor
    except ImportError:
        return None
    return getattr(reusable_executor, "_executor", None)


def _dead_workers(executor):
    """Return the processes that have ended and that loky takes for workers still.

    Their exit codes are not asked for: that would free their numbers, and loky kills processes by number.
    """
    workers = list((getattr(executor, "_processes", None) or {}).values())
    ended = wait([worker.sentinel for worker in workers], timeout=0)
    return {worker for worker in workers if worker.sentinel in ended}


def _break(executor):
    """End the pipe of results.  loky's thread then reads an error, and does by itself what it does for a lost worker.

    It fails the tasks, ends all workers, and ends itself.  The next call gets a new executor.
    """
    try:
        from joblib.externals.loky.backend.utils import kill_process_tree

        flags, lock, writer, _ = PARTS(executor)
    except (ImportError, AttributeError):
        return
    # loky's thread needs this lock before it closes the pipe too: the second of two at once could close another file.
    with lock:
        if flags.broken is not None:  # it has noticed the death meanwhile
            return
        # A task that comes now would start a worker, which would need the pipe.
        flags.shutdown, flags.broken = True, BrokenProcessPool("a worker died while it wrote its result")
        for worker in list(executor._processes.values()):
            if worker.exitcode is None:
                kill_process_tree(worker)
        writer.close()
