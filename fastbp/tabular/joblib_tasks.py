"""The networks of a bag as tasks of joblib's backends: processes of this machine, or Dask, Ray, Spark.

A task trains one network.  It holds no table: the arrays are arguments of their own, and each backend makes one
reference to them for all tasks (joblib a memory map, Dask scattered data, Ray an object of its store).  It holds no
state either: its result depends on its arguments alone.  So if its worker is lost, it runs again on any other one.
"""

import time
import warnings
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from fastbp.compiler.compiling import working_time
from fastbp.engine.threads import get_num_threads, limit_threads, limits_of_environment
from fastbp.models.sequential import Sequential
from fastbp.tabular.backends import register_backends
from fastbp.tabular.joblib_loky import deaths_noticed
from fastbp.tabular.joblib_spark import PlainCalls, SparkCalls, is_spark
from fastbp.tabular.network_training import Part
from fastbp.tabular.onenetwork import Given, new_network, train_network
from fastbp.tabular.time_limit import Plan, pace_of_a_worker

# The sides of a network's cut are bits, because an only row is on both.
TRAINS, VALIDATES = 1, 2
# Arrays of more bytes are mapped from a file, not sent to each process.
MOST_SENT_BYTES = 1000
# All workers may be lost so often in succession, without a new network between.
MOST_LOSSES = 3
# The names of errors for a lost worker, in libraries that may not be installed.
LOST_WORKER = {"RayActorError", "ActorDiedError", "ActorUnavailableError", "WorkerCrashedError", "FutureCancelledError"}
register_backends()


class Workers(NamedTuple):
    """joblib's workers: how many tasks run at once, and the threads of each (None: its share of its machine)."""

    n_jobs: int
    at_once: int
    threads: int | None


class Task(NamedTuple):
    """Network `number` of a bag, and when it has to end, by the clock on the wall (None: when it is done)."""

    number: int
    given: Given
    plan: Plan
    deadline: float | None
    threads: int | None


class Trained(NamedTuple):
    """What a task returns: a network's state, what was `Learned`, its seconds, and whether the clock cut it short."""

    state: Any
    learned: Any
    seconds: float
    cut_short: bool

    def network(self):
        """Return the network."""
        return Sequential.from_state(*self.state)


def find_workers(n_jobs, n_networks):
    """Return the `Workers` of joblib's active backend for so many jobs, or None: threads of this process do the work.

    Threads do the work for None, for joblib's backends of threads, and for a single process of this machine.  Of its
    processes there are no more than networks: joblib starts as many as it is told, 50 for 6 networks.
    """
    if n_jobs is None:
        return None
    from joblib import effective_n_jobs
    from joblib._parallel_backends import LokyBackend, MultiprocessingBackend, SequentialBackend, ThreadingBackend
    from joblib.parallel import get_active_backend

    kind = type(get_active_backend()[0])
    if kind in (SequentialBackend, ThreadingBackend):
        return None
    if kind.__name__ == "RayBackend":
        _begin_ray()
    at_once = effective_n_jobs(n_jobs)
    if kind not in (LokyBackend, MultiprocessingBackend):
        return Workers(n_jobs, at_once, None)
    at_once = min(at_once, n_networks)
    return None if at_once == 1 else Workers(at_once, at_once, max(get_num_threads() // at_once, 1))


def _begin_ray():
    """Start or find Ray: its backend counts jobs by the cluster's cores, and takes for granted that there is one."""
    import ray

    if not ray.is_initialized():
        ray.init()


def worker_threads():
    """Return the threads of a task on a cluster's worker: one, or what its environment says (Ray, Spark, Dask's nanny).

    A worker of Dask has a task for each of its threads.
    """
    return get_num_threads() if limits_of_environment() else 1


def sides(n, rows, valid_rows):
    """Return on which side of a cut each of n rows is, (n,) uint8: an eighth of the rows' numbers.

    Examples
    --------
    >>> sides(4, [0, 3], [1])
    array([1, 2, 0, 1], dtype=uint8)
    """
    side = np.zeros(n, np.uint8)
    side[rows] |= TRAINS
    if valid_rows is not None:
        side[valid_rows] |= VALIDATES
    return side


def run_task(task, x, targets, weight, side, *valid):
    """Train a network in a worker; return what was `Trained`, or None where its time was over before it began.

    Parameters
    ----------
    task : Task
    x, targets, weight
        Of the `Part`.
    side : (n,) uint8
        Of `sides`.
    *valid
        The arrays of the `Part` to choose epochs by, where those are no rows of the first one.
    """
    pace = pace_of_a_worker(task.deadline)
    # The first one is trained whatever the clock says: there must be something to predict with.
    if task.number and pace.stop():
        return None
    part = Part(*map(_plain, (x, targets, weight)))
    rows = np.flatnonzero(side & TRAINS)
    chosen_by = Part(*map(_plain, valid)) if valid else part.rows(np.flatnonzero(side & VALIDATES))
    started = working_time()
    with limit_threads(task.threads or worker_threads()):
        network = new_network(task.given, part, rows, task.number)
        network, learned = train_network(
            network, task.given, part, rows, chosen_by, task.plan, pace.stop, lambda share: None
        )
    if valid:  # the whole ensemble will predict these rows
        learned = learned._replace(outputs=None)
    return Trained(network.get_state(), learned, working_time() - started, pace.stop())


def _plain(array):
    """Return a memory map as an array: the rows that are read stay in the file's pages."""
    return None if array is None else np.asarray(array)


def by_workers(training, plan):
    """Train the networks of a `Training` by a `Plan`; return each with what was learned, or None: no time for it."""
    pace, checkpoint, n = training.pace, training.checkpoint, training.recipe.networks
    results = [training.kept(number) for number in range(n)]
    missing = [number for number in range(n) if results[number] is None]

    def arguments_of(number):
        if number and not pace.another():
            return None
        if number:
            pace.reserve(training.following)
        deadline = time.time() + pace.left() if pace.limited else None
        task = Task(number, training.given, plan, deadline, training.workers.threads)
        side = sides(len(training.part.x), *training.cuts[number])
        return task, *training.part, side, *(training.valid or ())

    def take(number, trained):
        if trained is None:
            return
        pace.note(trained.seconds)
        results[number] = trained.network(), trained.learned
        if not trained.cut_short:
            checkpoint.keep(number, *results[number])
        training.tell(number, 1.0)

    try:
        run_tasks(training.workers, missing, arguments_of, take)
    except KeyboardInterrupt:
        pace.interrupt()
        if not any(results):
            raise
    return results


def run_tasks(workers, numbers, arguments_of, take):
    """Run `run_task` for some networks, in whatever order workers end; a lost worker's tasks run again.

    Parameters
    ----------
    workers : Workers
    numbers : iterable of int
    arguments_of : callable
        Called with a network's number when its task is handed out; returns the arguments of `run_task`, or None where
        there are no more tasks.
    take : callable
        Called here with a network's number and its task's result, as soon as that is there.
    """
    left, losses = list(numbers), 0
    while left:
        n_left = len(left)
        try:
            _run_once(workers, left, arguments_of, take)
            return
        except Exception as error:
            if not _is_loss(error):
                raise
            losses = losses + 1 if len(left) == n_left else 0
            if losses == MOST_LOSSES:
                raise RuntimeError(
                    f"the workers were lost {losses} times, and no network was trained meanwhile: is there too little "
                    "memory? Take fewer of them (n_jobs=)."
                ) from error


def _run_once(workers, left, arguments_of, take):
    """Run the tasks of the numbers that are left, and cross out those that are done."""
    from joblib import Parallel, delayed
    from joblib.parallel import get_active_backend

    backend = get_active_backend()[0]

    def calls(numbers):
        for number in numbers:
            arguments = arguments_of(number)
            if arguments is None:
                return
            function, arguments = tasks.call(_numbered, number, *arguments)
            yield delayed(function)(*arguments)

    # Ray hands out results when all are there: it is given as many tasks at a time as it runs at once.
    in_rounds = not backend.supports_return_generator
    size, return_as = (workers.at_once, "list") if in_rounds else (len(left), "generator_unordered")
    with (
        deaths_noticed(backend),
        SparkCalls(backend, MOST_SENT_BYTES) if is_spark(backend) else PlainCalls() as tasks,
        Parallel(
            workers.n_jobs, return_as=return_as, batch_size=1, max_nbytes=MOST_SENT_BYTES, mmap_mode="r"
        ) as parallel,
    ):
        for numbers in [left[first : first + size] for first in range(0, len(left), size)]:
            results = tasks.results(parallel, calls(numbers))
            with nullcontext() if in_rounds else _closed(results):
                for number, result in results:
                    take(number, result)
                    left.remove(number)


@contextmanager
def _closed(results):
    """Context that ends joblib's generator without its warning of cancelled tasks: `fit` tells of Ctrl-C itself."""
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* been cancelled")
            results.close()


def _numbered(number, *arguments):
    return number, run_task(*arguments)


def _is_loss(error):
    """Is it an error that says a worker was lost?"""
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, BrokenExecutor | CancelledError) or not names.isdisjoint(LOST_WORKER)
