"""Additions to joblib's backend for Spark: one copy of a table for each worker, errors of tasks, Ctrl-C.

joblibspark 0.6 sends the table with each task, and replaces the error of a task, or a Ctrl-C, by an error of its own.
The other backends need no additions: joblib's processes map arrays from a file, Dask scatters them, Ray stores them.
"""

from concurrent.futures import BrokenExecutor

import numpy as np


class SparkFailed(BrokenExecutor):
    """Spark could not run a task as often as it may try: its workers were lost."""


def is_spark(backend):
    """Is it joblibspark's?"""
    return type(backend).__name__ == "SparkDistributedBackend"


class PlainCalls:
    """The context that hands tasks to joblib's other backends, without change."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def call(self, function, *arguments):
        """Return the arguments of `joblib.delayed(...)`'s call: a function and its arguments."""
        return function, arguments

    def results(self, parallel, calls):
        """Return what the calls return."""
        return parallel(calls)


class SparkCalls(PlainCalls):
    """The context that hands tasks to Spark: arrays as broadcast variables, errors as results.

    Parameters
    ----------
    backend : joblibspark.backend.SparkDistributedBackend
    least_bytes : int
        Smaller arrays stay as they are.
    """

    def __init__(self, backend, least_bytes):
        # Spark Connect has no such context: the arrays go with the tasks there.
        self._context = getattr(backend, "_spark_context", None)
        self._least_bytes, self._known = least_bytes, {}

    def __exit__(self, *exception):
        for _, sent in self._known.values():
            sent.unpersist()

    def call(self, function, *arguments):
        """Return a function and its arguments, which are small."""
        return _run, (function, *map(self._reference, arguments))

    def results(self, parallel, calls):
        """Return what the calls return, or raise the error of one of them."""
        # What the backend asks of joblib's object where it has to abort.
        parallel._backend_args = {}
        try:
            results = parallel(calls)
        except Exception as error:
            raise SparkFailed("Spark has given up a task: its log says why.") from error
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results

    def _reference(self, argument):
        if self._context is None or not isinstance(argument, np.ndarray) or argument.nbytes < self._least_bytes:
            return argument
        if id(argument) not in self._known:
            # The array is kept, for another one could have its id.
            self._known[id(argument)] = argument, self._context.broadcast(argument)
        return self._known[id(argument)][1]


def _run(function, *arguments):
    """Return in a worker function(*arguments), or the error that it raised."""
    try:
        return function(*map(_read, arguments))
    except Exception as error:
        return error


def _read(argument):
    kind = type(argument)
    return argument.value if kind.__name__ == "Broadcast" and kind.__module__.startswith("pyspark.") else argument
