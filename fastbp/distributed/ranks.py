"""The ranks of a training: what they tell each other, and how they end where one is gone.

There is no protocol of our own: all ranks make the same collective calls of MPI in the same order.  Two things
could keep ranks waiting for ever.  An error that one of them raises is told with the next `exchange`, which all of them
make, and raised by all.  A rank that is gone tells nothing: a thread of each rank looks at how long a call of MPI has
lasted, and ends the process.
"""

import os
import sys
import threading
import time
from typing import NamedTuple

import numpy as np

from fastbp.settings.validation import is_number


class RankFailed(RuntimeError):
    """Another rank of the training has raised an error, which the message tells.

    Examples
    --------
    >>> import fastbp
    >>> raise fastbp.distributed.RankFailed("rank 1 of 2 failed: ValueError: x is empty.")
    Traceback (most recent call last):
    ...
    fastbp.distributed.ranks.RankFailed: rank 1 of 2 failed: ValueError: x is empty.
    """


class _Failure(NamedTuple):
    """What a rank tells of its error."""

    text: str


def world():
    """Return MPI's communicator of all processes, or raise ImportError, with what to do, where mpi4py is missing."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the second: mpi4py finds no MPI library
        raise ImportError(
            f'fastbp.distributed needs mpi4py and an MPI library ({error}): pip install "fastbp[mpi]" mpich, or the '
            "cluster's own MPI."
        ) from None
    return MPI.COMM_WORLD


def ranks_of(comm, timeout):
    """Return the `Ranks` of a communicator (None: of all processes)."""
    if not is_number(timeout) or not timeout > 0:
        raise ValueError(f"timeout={timeout!r}: it is a number of seconds above 0.")
    if comm is not None and not hasattr(comm, "Get_rank"):
        raise TypeError(f"comm={comm!r}: it is a communicator of mpi4py, such as MPI.COMM_WORLD.")
    return Ranks(world() if comm is None else comm, float(timeout))


class Ranks:
    """The processes of a training; a context.

    Parameters
    ----------
    comm : mpi4py communicator
    timeout : float
        Seconds that a rank waits for the others.

    Attributes
    ----------
    rank, size : int
    """

    def __init__(self, comm, timeout):
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self._watch = Watch(timeout, f"rank {self.rank} of {self.size}")
        self._told = False
        # Messages of the user's program do not mix with ours.
        self._comm = self._watch.call(comm.Dup)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            self._tell(error)
        self._watch.stop()
        if error is None:
            self._comm.Free()

    def exchange(self, value, error=None):
        """Return the values of all ranks; where one of them has an error, it is raised by all."""
        if error is not None:
            self._tell(error)
            raise error
        values = self._watch.call(self._comm.allgather, value)
        for failure in (value for value in values if isinstance(value, _Failure)):
            self._told = True
            raise RankFailed(failure.text)
        return values

    def from_first(self, value):
        """Return rank 0's value."""
        return self.exchange(value if self.rank == 0 else None)[0]

    def together(self, function, *arguments):
        """Return function(*arguments); where it raises in one rank, all ranks raise."""
        value, error = None, None
        try:
            value = function(*arguments)
        except Exception as raised:
            error = raised
        self.exchange(None, error)
        return value

    def copy_first(self, *arrays):
        """Overwrite arrays with those of rank 0."""
        for array in arrays:
            if array.size:
                self.copy_from(0, array)

    def add(self, array):
        """Overwrite an array (n,) with the sum of all ranks' arrays."""
        from mpi4py import MPI

        self._watch.call(self._comm.Allreduce, MPI.IN_PLACE, array)

    def deal(self, parts, received):
        """Send parts[r] of (size, ...) to rank r; received (size, ...) is overwritten with what all ranks sent here."""
        self._watch.call(self._comm.Alltoall, parts, received)

    def collect(self, part, whole):
        """Overwrite whole (size * n,) with the parts (n,) of all ranks."""
        self._watch.call(self._comm.Allgather, part, whole)

    def send(self, array, rank):
        """Begin to send an array to a rank; return what `wait_for` waits for."""
        return self._watch.call(self._comm.Isend, array, rank)

    def wait_for(self, sent):
        """Return when all that was sent has left its arrays."""
        for request in sent:
            self._watch.call(request.Wait)

    def receive(self, array, rank):
        """Overwrite an array with what a rank sends."""
        self._watch.call(self._comm.Recv, array, rank)

    def copy_from(self, rank, array):
        """Overwrite all ranks' arrays with that of one rank."""
        self._watch.call(self._comm.Bcast, array, rank)

    def gather(self, array):
        """Return, in rank 0, the rows of all ranks' arrays (n, ...) in the ranks' order; None in the others."""
        from mpi4py import MPI

        array = np.ascontiguousarray(array)
        sizes = self.exchange(array.size)
        whole = np.empty(sum(sizes) if self.rank == 0 else 0, array.dtype)
        kind = MPI._typedict[array.dtype.char]
        into = [whole, sizes, None, kind] if self.rank == 0 else None
        self._watch.call(self._comm.Gatherv, [array, kind], into, 0)
        return whole.reshape(-1, *array.shape[1:]) if self.rank == 0 else None

    def neighbours(self):
        """Return the ranks on this machine: how many use each of the cores that this one may use."""
        from mpi4py import MPI

        here = self._comm.Split_type(MPI.COMM_TYPE_SHARED)
        try:
            cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
            everyone = here.allgather(sorted(cores))
        finally:
            here.Free()
        return sum(map(len, everyone)) / len({core for cores in everyone for core in cores})

    def _tell(self, error):
        """Have the others raise what this rank raises, at their next `exchange`; once."""
        if not self._told:
            self._told = True
            text = f"rank {self.rank} of {self.size} failed: {type(error).__name__}: {error}"
            self._watch.call(self._comm.allgather, _Failure(text))


class Watch:
    """Ends the process where a call lasts too long: MPI's calls come back only when all ranks make them.

    Parameters
    ----------
    seconds : float
    name : str
        Of this rank, for the message.
    """

    def __init__(self, seconds, name):
        self._seconds, self._name = seconds, name
        self._since, self._over = None, threading.Event()
        self._thread = threading.Thread(target=self._look, name="fastbp-watch", daemon=True)
        self._thread.start()

    def call(self, function, *arguments):
        """Return function(*arguments), a call of MPI."""
        self._since = time.monotonic()
        try:
            return function(*arguments)
        except Exception as error:
            if type(error).__module__.startswith("mpi4py"):
                self._end(f"MPI has lost another rank ({error})")
            raise
        finally:
            self._since = None

    def stop(self):
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _look(self):
        while not self._over.wait(min(1.0, self._seconds / 4)):
            since = self._since
            if since is not None and time.monotonic() - since > self._seconds:
                self._end(f"the other ranks have not answered for {self._seconds:g} seconds: one has died or hangs")

    def _end(self, reason):
        # Without MPI's and Python's ends, which would wait for the others.
        sys.stderr.write(
            f"fastbp.distributed: {self._name} ends: {reason}. Start the program again: with "
            "fastbp.BackupAndRestore it goes on from the last whole epoch.\n"
        )
        sys.stderr.flush()
        os._exit(1)
