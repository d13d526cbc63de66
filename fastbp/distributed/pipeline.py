"""PipelineModel: a network whose layers are shared out over the ranks, for parameters that do not fit one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastbp.callbacks.backup import BackupAndRestore
from fastbp.callbacks.checkpoint import ModelCheckpoint
from fastbp.callbacks.history import History
from fastbp.distributed.agreement import check_same, told_layers, told_loss
from fastbp.distributed.ranks import ranks_of
from fastbp.distributed.refusals import refuse_settings
from fastbp.distributed.segments import balanced_starts, checked_starts, segment
from fastbp.distributed.stages import PipelineCompany
from fastbp.engine.cores import available_cores
from fastbp.engine.epochs import fit
from fastbp.engine.threads import limit_threads
from fastbp.engine.user_arrays import as_float_rows, as_table, check_rows, check_same_length, validation_parts
from fastbp.engine.weighted_rows import WeightedRows
from fastbp.losses import LOSSES
from fastbp.losses.pointwise import VectorJacobian
from fastbp.models.arguments import checked_callbacks, checked_counts, checked_course, checked_layers, checked_seed
from fastbp.models.compiling import check_shape
from fastbp.models.sequential import Sequential
from fastbp.optimizers import OPTIMIZERS
from fastbp.registry import describe

if TYPE_CHECKING:
    from fastbp.optimizers.base import Optimizer

# Rows that go through the segments at a time, to predict.
PREDICT_ROWS = 4096


class Whole(NamedTuple):
    """Rows: x (n, ...); in the last rank targets (n, t) and the `WeightedRows` they are of; entries with a loss."""

    x: np.ndarray
    targets: np.ndarray | None
    entries: int
    rows: WeightedRows | None


class PipelineModel:
    """A stack of layers cut into segments, one for each rank of an MPI job: GPipe's schedule (Huang et al., 2019).

    It is for networks whose parameters do not fit one machine. Each rank has the weights, gradients and optimizer
    state of its own segment alone. A batch is cut into micro-batches: these go forward through the segments, one
    behind the other, and their gradients come back. Each rank keeps its micro-batches' inputs, and computes the
    activations between once more on the way back.

    Where the network fits, `fit` is faster: a rank waits while the first micro-batches come to it and the last ones
    go on without it, ``(ranks - 1) / (micro_batches + ranks - 1)`` of the time, and it computes forward twice.

    Parameters
    ----------
    layers : list of layers
        As those of `Sequential`; every rank is given all of them.
    input_shape : tuple of int
        Shape of one row.
    starts : list of int, optional
        The number of the first layer of each rank's segment. By default segments take about the same time.
    seed : int, optional
        Initial weights, orders and masks are those of a `Sequential` with the same seed. None: rank 0 draws one.
    dtype : {"float32", "float64"}
    timeout : float, default 300
        Seconds. Where a rank is gone, the others end after so long.
    comm : mpi4py communicator, optional
        Default ``MPI.COMM_WORLD``.

    Attributes
    ----------
    starts : list of int
    bubble : float
        The share of the last epoch for which this rank waited for another one.

    Raises
    ------
    ImportError
        Without mpi4py, or without an MPI library.
    ValueError
        For fewer layers than ranks, for stateful layers, and where a mask would go from one rank to another.

    Notes
    -----
    The result is that of one process to rounding, dropout included. `BatchNormalization` takes the statistics of each
    micro-batch.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> layers = [fastbp.Dense(8, "relu"), fastbp.Dense(1)]
    >>> pipeline = fastbp.distributed.PipelineModel(layers, (4,), seed=0)
    >>> pipeline.compile("adam", "mean_squared_error")
    >>> history = pipeline.fit(np.eye(4), np.ones(4), epochs=2, batch_size=4, verbose=0)
    >>> [weight.shape for weight in pipeline.get_weights()]
    [(4, 8), (8,), (8, 1), (1,)]
    """

    def __init__(
        self,
        layers: list,
        input_shape: tuple[int, ...],
        *,
        starts: list[int] | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        timeout: float = 300.0,
        comm: Any = None,
    ):
        self._comm, self._timeout = comm, timeout
        self._training, self.bubble, self.stop_training = False, 0.0, False
        with ranks_of(comm, timeout) as ranks:
            self._seed = ranks.from_first(checked_seed(seed))
            layers = ranks.together(checked_layers, layers)
            ranks.together(check_shape, input_shape)
            settings = {"input_shape": input_shape, "starts": starts, "dtype": dtype}
            check_same(ranks, told_layers(layers) | settings)
            ranks.together(self._build, layers, input_shape, starts, dtype, ranks)

    def _build(self, layers, input_shape, starts, dtype, ranks):
        if len(layers) < ranks.size:
            raise ValueError(f"{len(layers)} layers make no {ranks.size} segments, of which each has one: fewer ranks.")
        if any(layer.stateful for layer in layers):
            raise ValueError("a stateful layer keeps the states of a whole batch, and micro-batches are parts of one.")
        if starts is None:
            starts = balanced_starts(layers, input_shape, ranks.size)
        self.starts = checked_starts(starts, layers, ranks.size)
        self.segment = segment(layers, input_shape, self.starts, ranks.rank)
        shape = self.segment.input_shape
        self._model = Sequential(self.segment.layers, input_shape=shape, seed=self._seed, dtype=dtype)
        engine = self.engine = self._model.engine
        engine.params[:] = engine.network.initial_params(self._seed, engine.dtype, self.segment.first_param)
        engine.buffers[:] = engine.network.initial_buffers(self._seed, engine.dtype, self.segment.first_buffer)

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, **settings: Any) -> None:
        """Choose what training minimises, and how; see `Sequential.compile`.

        Parameters
        ----------
        optimizer : str or optimizer object, default "rmsprop"
        loss : str or loss object
        **settings : Any
            None: `metrics` are refused by name.

        Raises
        ------
        TypeError
            For a setting that a pipeline has not.
        ValueError
            Without a loss, for unknown names, and where ranks give different ones.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> pipeline = fastbp.distributed.PipelineModel([fastbp.Dense(8, "relu"), fastbp.Dense(1)], (4,), seed=0)
        >>> pipeline.compile("adam", "mean_squared_error")
        """
        refuse_settings("compile", settings)
        if loss is None:
            raise ValueError('compile needs a loss, for example loss="mean_squared_error".')
        loss, optimizer = LOSSES.resolve(loss), OPTIMIZERS.resolve(optimizer)
        with ranks_of(self._comm, self._timeout) as ranks:
            check_same(ranks, {"the loss": told_loss(loss), "the optimizer": describe(optimizer)})
            last = ranks.rank == ranks.size - 1
            # The other segments are handed a gradient.
            ranks.together(self._model.compile, optimizer, loss if last else VectorJacobian())

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        micro_batches: int | None = None,
        validation_data: tuple | None = None,
        shuffle: bool = True,
        callbacks: list | None = None,
        verbose: int | str = "auto",
        **settings: Any,
    ) -> History:
        """Train for a number of epochs; all ranks call it with the same arguments.

        Parameters
        ----------
        x, y : array-like
            As those of `Sequential.fit`. Only the first rank reads x, and only the last one y; memory maps do.
        epochs : int, default 1
            So many more.
        batch_size : int, default 32
            Rows of a batch, in all ranks together.
        micro_batches : int, optional
            Parts of a batch, by default four for each rank; no more than a batch has rows.
        validation_data : tuple (x, y), optional
            Rows whose loss, `val_loss`, each epoch ends with.
        shuffle : bool, default True
            Draw a new order of the rows for every epoch.
        callbacks : list of Callback, optional
            Run in rank 0. They see the figures, and may end training or set the optimizer's learning rate; the weights
            are not theirs: no rank has all of them, and what would keep or restore them is refused.
        verbose : {"auto", 0, 1, 2}, default "auto"
            As that of `Sequential.fit`, in rank 0.
        **settings : Any
            None: what else `Sequential.fit` has is refused by name.

        Returns
        -------
        History
            The same in all ranks.

        Raises
        ------
        TypeError
            For a setting that a pipeline has not.
        ValueError
            For data and counts as in `Sequential.fit`, callbacks that need all weights, and ranks that differ.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> pipeline = fastbp.distributed.PipelineModel([fastbp.Dense(8, "relu"), fastbp.Dense(1)], (4,), seed=0)
        >>> pipeline.compile("adam", "mean_squared_error")
        >>> history = pipeline.fit(np.eye(4), np.ones(4), epochs=2, batch_size=4, verbose=0)
        >>> history.epoch
        [0, 1]
        """
        with ranks_of(self._comm, self._timeout) as ranks:
            ranks.together(refuse_settings, "fit", settings)
            given = epochs, batch_size, micro_batches, shuffle, callbacks, verbose
            course, n_micro, callbacks = ranks.together(self._course, *given)
            rows = ranks.together(self._whole, x, y)
            validation = ranks.together(self._validation, validation_data)
            n_micro = min(n_micro or 4 * ranks.size, course.batch_size, len(rows.x))
            same = course._replace(verbose=0), n_micro, len(rows.x), validation and len(validation.x)
            if any(other != same for other in ranks.exchange(same)):
                raise ValueError("ranks have different numbers of rows, epochs, batch_size or micro_batches.")
            if ranks.rank:
                course, callbacks = course._replace(verbose=0), []
            company = PipelineCompany(ranks, self, n_micro)
            self._training = True
            try:
                with limit_threads(max(int(available_cores() / ranks.neighbours()), 1)):
                    history = self.engine.alone(fit, self, rows, validation, course, callbacks, company)
            finally:
                self._training = False
            history.history, history.epoch = ranks.from_first((history.history, history.epoch))
            return history

    def _course(self, epochs, batch_size, micro_batches, shuffle, callbacks, verbose):
        """Return the course, the micro-batches and the callbacks, or raise ValueError."""
        self._model._check_compiled("fit")
        course = checked_course(epochs, batch_size, shuffle, verbose, None, None)
        if micro_batches is not None:
            (micro_batches,) = checked_counts(micro_batches=micro_batches)
        callbacks = checked_callbacks(callbacks)
        for callback in callbacks:
            if isinstance(callback, BackupAndRestore | ModelCheckpoint) or getattr(
                callback, "restore_best_weights", False
            ):
                raise ValueError(
                    f"{type(callback).__name__} keeps or restores a model's weights, and no rank of a pipeline has all "
                    "of them: keep what get_weights() returns after fit."
                )
        return course, micro_batches, callbacks

    def _validation(self, validation_data):
        """Return the rows of `validation_data`, or None."""
        if validation_data is None:
            return None
        x, y, weight = validation_parts(validation_data)
        if weight is not None:
            raise ValueError("validation_data=(x, y, sample_weight): a pipeline's rows count the same, give (x, y).")
        return self._whole(x, y)

    def _whole(self, x, y):
        """Return the checked rows of a table."""
        x, targets, entries, rows = self._input(x), None, 1, None
        if self.segment.first_layer == 0:
            check_rows(x)
        check_same_length(len(x), y=as_table(y))
        if not isinstance(self.engine.loss, VectorJacobian):
            network = self.engine.network
            empty = np.zeros((len(x), *network.input_shape), self.engine.dtype)
            rows = self._model._rows(empty, y)
            targets, entries = rows.targets, rows.entries
        return Whole(x, targets, entries, rows)

    def _input(self, x):
        """Return x as an array, in the first rank its checked rows: the others have to know no more than its length."""
        array = np.asarray(x)
        if not array.ndim:
            raise TypeError(f"x is {x!r}: all ranks are given the same rows.")
        if self.segment.first_layer:
            return array
        rows = as_float_rows(x, self.engine.dtype, shape=self.engine.network.input_shape)
        self.engine.network.check_input(rows)
        return rows

    def predict(self, x: ArrayLike) -> np.ndarray:
        """Return the outputs for x, in all ranks; all ranks call it with the same x.

        Parameters
        ----------
        x : array-like (n, d), or (n, ...)

        Returns
        -------
        array (n, k)

        Raises
        ------
        RuntimeError
            Within a callback, which runs in rank 0 alone.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> fastbp.distributed.PipelineModel([fastbp.Dense(1)], (4,), seed=0).predict(np.eye(4)).shape
        (4, 1)
        """
        self._check_idle("predict")
        with ranks_of(self._comm, self._timeout) as ranks:
            last = ranks.size - 1
            x = ranks.together(self._input, x)
            check_same(ranks, {"the number of rows of x": len(x)})
            parts = [np.ascontiguousarray(self._model.predict(part)) for part in self.handed_on(ranks, x)]
            shape = ranks.exchange(self.engine.network.output_shape)[last]
            out = np.concatenate(parts) if parts else np.empty((len(x), *shape), self.engine.dtype)
            ranks.copy_from(last, out)
            return out

    def handed_on(self, ranks: Any, x: np.ndarray) -> Any:
        """Yield this rank's inputs for rows x, some at a time, in the last rank; the others hand them on."""
        for first in range(0, len(x), PREDICT_ROWS):
            part = x[first : first + PREDICT_ROWS]
            if ranks.rank:
                part = np.empty((len(part), *self.engine.network.input_shape), self.engine.dtype)
                ranks.receive(part, ranks.rank - 1)
            if ranks.rank == ranks.size - 1:
                yield part
            else:
                out = np.ascontiguousarray(self._model.predict(part))
                ranks.wait_for([ranks.send(out, ranks.rank + 1)])

    def get_weights(self) -> list[np.ndarray]:
        """Return all segments' weights, in all ranks, as `Sequential.get_weights` does; all ranks call it.

        Returns
        -------
        list of array

        Raises
        ------
        RuntimeError
            Within a callback.

        Examples
        --------
        >>> import fastbp
        >>> [w.shape for w in fastbp.distributed.PipelineModel([fastbp.Dense(1)], (4,), seed=0).get_weights()]
        [(4, 1), (1,)]
        """
        self._check_idle("get_weights")
        with ranks_of(self._comm, self._timeout) as ranks:
            return [weight for weights in ranks.exchange(self._model.get_weights()) for weight in weights]

    @property
    def optimizer(self) -> Optimizer:
        """The rank's own copy of the optimizer of `compile`."""
        return self._model.optimizer

    @property
    def params(self) -> np.ndarray:
        """The parameters of the rank's segment, one flat vector (P,)."""
        return self.engine.params

    def tell_changes(self, every: bool = False) -> None:
        """Warn of settings that were changed and wait for `compile`."""
        self._model.tell_changes(every)

    def _check_idle(self, what):
        if self._training:
            raise RuntimeError(f"{what} is called by all ranks together, not by a callback, which rank 0 alone runs.")
