"""Processes that measure on request: each has its library, its threads and its cores to itself.

A worker is made by `<section>.make(name, case, threads)`: an object with `about`, a dict that is sent at the start,
and `answer(**request)`, which returns a dict; "memory", the process's largest resident set so far in bytes, is added.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

COMPARE = Path(__file__).parents[1] / "compare.py"
# Threads of a peer that has just ended its turn go on polling for work, some for 0.2 s; nobody's turn begins then.
PAUSE_SECONDS = 0.3


# fastbp whose kernels are all compiled, for this very CPU; in every process, or taken from the user's cache.
COMPILED = "compiled"
SETTINGS = {COMPILED: {"FASTBP_KERNELS": "jit"}}

_pythons = {}


def use_pythons(pythons):
    """Run the workers of these peers by Pythons of their own, {peer: path}."""
    _pythons.update(pythons)


def python_of(name):
    """Return the Python that runs a peer: its own, or that of the peer it is a variant of (jax-steps: jax's)."""
    return _pythons.get(name) or _pythons.get(name.partition("-")[0], sys.executable)


class Worker:
    """A process that waits for requests.

    Attributes
    ----------
    about : dict
        What the process told of itself at the start.
    """

    def __init__(self, section, name, case, threads):
        limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
        self._command = [python_of(name), str(COMPARE), "--worker", section, name, case, str(threads)]
        environment = {**os.environ, **limits, **SETTINGS.get(name, {})}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(self._command, text=True, env=environment, **pipes)
        self.about = self._read()

    def ask(self, **request):
        """Have the process answer, when the others have come to rest."""
        time.sleep(PAUSE_SECONDS)
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self):
        """End the process."""
        self._process.stdin.close()
        self._process.wait()

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self._command[3:])} failed")
        return json.loads(line)


@contextmanager
def workers(section, names, case, threads):
    """Run one worker for each name; the value is {name: Worker}."""
    running = {}
    try:
        for name in names:
            running[name] = Worker(section, name, case, threads)
        yield running
    finally:
        for worker in running.values():
            worker.close()


def serve(section, name, case, threads):
    """Be a worker: on as many cores as threads, answer requests until there are no more."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    from benchmarks.shared.memory import peak_memory

    measured = import_module(f"comparison.{section}").make(name, case, threads)
    print(json.dumps(measured.about), flush=True)
    for line in sys.stdin:
        answer = measured.answer(**json.loads(line))
        print(json.dumps(answer | {"memory": peak_memory()}), flush=True)


def medians(turns, key, names):
    """Return the median of turns[i][name][key] for each name."""
    return [statistics.median(turn[name][key] for turn in turns) for name in names]


def ratios(turns, key, names):
    """Return, for each name but the first, the median of its share of the first's in the same turn."""
    first, *others = names
    return [statistics.median(turn[name][key] / turn[first][key] for turn in turns) for name in others]


def best(shares):
    """Return the least of some ratios, that to the strongest peer, or None where there is no peer."""
    return min(shares, default=None)


def threads_text(threads):
    """Return "1 thread" or "2 threads"."""
    return f"{threads} thread{'s' if threads > 1 else ''}"
