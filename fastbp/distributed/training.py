"""fit: `Sequential.fit` by many processes.  Each process has some of the rows."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from fastbp.callbacks.history import History
from fastbp.distributed.agreement import check_arguments, check_same, told_of
from fastbp.distributed.rank_callbacks import Company, share_settings, share_weights
from fastbp.distributed.ranks import ranks_of
from fastbp.distributed.rows import class_weighted, ready_rows, sliced, split, validation_rows
from fastbp.distributed.sums import FastSum, OrderedSum
from fastbp.engine.cores import available_cores
from fastbp.engine.epochs import fit as run_epochs
from fastbp.engine.threads import limit_threads
from fastbp.models.arguments import checked_callbacks, checked_counts, checked_course
from fastbp.models.sequential import Sequential


def fit(
    model: Sequential,
    x: ArrayLike,
    y: ArrayLike,
    *,
    slices: int | None = None,
    reproducible: bool = False,
    timeout: float = 300.0,
    comm: Any = None,
    **settings: Any,
) -> History:
    """Train a model by all processes (ranks) of an MPI job. Each rank gives its own rows.

    The program is started by ``mpiexec -n 4 python train.py``, or by a cluster's ``srun``. Every rank makes the same
    model and calls `fit` with the same settings; afterwards every rank has the same model and the same history. Run by
    plain Python the program is one rank, and this is `Sequential.fit`.

    Parameters
    ----------
    model : Sequential
        Compiled. Rank 0's weights, optimizer state and seed are taken by all.
    x : array-like (n, d), or (n, ...) for an input shape with more axes
        The rank's rows. Ranks may have different numbers of rows, and none at all (arrays of length 0).
    y : array-like (n,), (n, t), or of the outputs' shape
    slices : int, optional
        A multiple of the number of ranks, and by default just that. A slice is a part of the rows that computes
        gradients on its own; whatever a training depends on is told by the slices: 8 slices give the same training on
        1, 2, 4 and 8 ranks that have the same rows between them.
    reproducible : bool, default False
        Add the gradients of the slices in their order. Trainings with the same slices then have the same bits, not
        only the same figures to rounding, whatever the number of ranks.
    timeout : float, default 300
        Seconds. Where a rank is gone, the others end after so long, with a line that says so.
    comm : mpi4py communicator, optional
        Default ``MPI.COMM_WORLD``.
    **settings
        Those of `Sequential.fit`: `epochs`, `batch_size`, `validation_split`, `validation_data`, `sample_weight`,
        `class_weight`, `shuffle`, `callbacks`, `verbose`, `initial_epoch`, `steps_per_epoch`. `batch_size` is that of
        all ranks together; `sample_weight` and `validation_data` are of the rank's rows.

    Returns
    -------
    History
        The same in all ranks.

    Raises
    ------
    ImportError
        Without mpi4py, or without an MPI library.
    ValueError
        In all ranks, where one of them has unsuitable data, where settings or models differ between ranks, and for
        stateful layers, whose batches cannot be cut.
    RankFailed
        Where another rank has raised an error, in a callback for example.
    TrainingDiverged
        As in `Sequential.fit`.

    Notes
    -----
    A step's gradient is added up by an all-reduce of the flat gradient, in place; every rank then makes the same
    update. Each batch has every slice's share of its rows, drawn from the slice's own order: with `shuffle`, batches
    are others than those of one process, with one slice the same. Dropout masks are keyed by a row's place in
    the batch of all ranks. `BatchNormalization` takes the statistics of a slice's share of the batch
    (https://arxiv.org/abs/1705.08741); its moving statistics move by the mean over the slices.

    Callbacks run in rank 0 alone, `BackupAndRestore` included: a training that was broken off goes on with any number
    of ranks. Before each epoch all ranks take rank 0's weights and optimizer settings. Metrics are computed in rank 0,
    of all rows at once; without metrics no outputs are sent. An error or a Ctrl-C that ends training leaves the model
    as the last whole epoch, or stretch of steps, left it.

    Each rank uses its share of its machine's cores.

    References
    ----------
    Goyal et al. (2017), Accurate, Large Minibatch SGD: https://arxiv.org/abs/1706.02677

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    >>> model.compile("sgd", "mean_squared_error")
    >>> fastbp.distributed.fit(model, np.eye(4), np.ones(4), epochs=3, verbose=0)
    <History of 3 epochs: loss 2.73 -> 2.48>
    """
    with ranks_of(comm, timeout) as ranks:
        ranks.together(check_arguments, model, settings, _fit.__kwdefaults__)
        k = ranks.together(_slices_per_rank, slices, ranks.size)
        if ranks.size == k == 1:
            return model.fit(x, y, **settings)
        with limit_threads(max(int(available_cores() / ranks.neighbours()), 1)):
            return _fit(ranks, k, bool(reproducible), model, x, y, **settings)


def _slices_per_rank(slices, size):
    if slices is None:
        return 1
    checked_counts(slices=slices)
    if slices % size:
        raise ValueError(f"slices={slices}: it is a multiple of the number of ranks, {size}.")
    return int(slices) // size


def _fit(
    ranks,
    k,
    reproducible,
    model,
    x,
    y,
    *,
    epochs=1,
    batch_size=32,
    validation_split=0.0,
    validation_data=None,
    sample_weight=None,
    class_weight=None,
    shuffle=True,
    callbacks=None,
    verbose="auto",
    initial_epoch=None,
    steps_per_epoch=None,
):
    def course_and_callbacks():
        model._check_compiled("fit")
        if validation_data is not None and validation_split:
            raise ValueError("give validation_data or validation_split, not both.")
        course = checked_course(epochs, batch_size, shuffle, verbose, initial_epoch, steps_per_epoch)
        return course, checked_callbacks(callbacks)

    course, callbacks = ranks.together(course_and_callbacks)
    same = course._replace(verbose=0)._asdict() | {
        "slices": k * ranks.size,
        "reproducible": reproducible,
        "validation_split": validation_split,
        "class_weight": class_weight,
    }
    check_same(ranks, same)
    rows = ready_rows(model, ranks, x, y, sample_weight)
    check_same(ranks, told_of(model))
    train, validation = sliced(ranks, rows, k), None
    if validation_split:
        train, validation = split(ranks, train, validation_split)
    elif (others := validation_rows(model, ranks, validation_data)) is not None:
        validation = sliced(ranks, others, k)
    if class_weight is not None:
        train = class_weighted(model, ranks, train, class_weight)
    ranks.together(_check_run, model, train, validation)
    model.tell_changes(every=True)
    if ranks.rank:
        course, callbacks = course._replace(verbose=0), []
    company = Company(ranks, (OrderedSum if reproducible else FastSum)(ranks), validation)
    history = model.engine.alone(run_epochs, model, train, validation, course, callbacks, company)
    share_settings(ranks, model)
    share_weights(ranks, model)
    history.history, history.epoch = ranks.from_first((history.history, history.epoch))
    return history


def _check_run(model, train, validation):
    """Raise ValueError where the model cannot be trained so."""
    engine = model.engine
    if engine.network.batch_size is not None:
        raise ValueError("a stateful layer keeps the states of a whole batch, which ranks share: it trains with fit.")
    for name, table in (("x", train), ("validation", validation)):
        if table is not None and not table.total:
            raise ValueError(f"{name} has no rows, all ranks taken together.")
        for rows in table.slices if table is not None else ():
            if len(rows.x):
                engine.check_metrics(rows)
