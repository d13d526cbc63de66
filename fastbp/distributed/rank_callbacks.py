"""What `fastbp.engine.epochs.fit` asks of many ranks: callbacks in rank 0 alone, and what they decide shared by all."""

from fastbp.callbacks.callbacklist import CallbackList
from fastbp.distributed.epochs import RankEpochs
from fastbp.engine.interrupts import InterruptGuard


class Company:
    """A training of many ranks, as `fastbp.engine.epochs.Alone` is one of one process.

    Parameters
    ----------
    ranks : Ranks
    add : FastSum or OrderedSum
    validation : Table or None
    """

    def __init__(self, ranks, add, validation):
        self.ranks, self._add, self._validation = ranks, add, validation
        self._guard = RankGuard(ranks)

    def n_rows(self, table):
        """Return the rows of all ranks."""
        return table.total

    def restore(self, backup, model, callbacks):
        """Restore, in rank 0, what a backup has; all ranks then have rank 0's model."""
        restored = self.ranks.together(lambda: backup and backup.restore(model, callbacks))
        first = self.ranks.from_first(restored and restored[0])
        share_model(self.ranks, model)
        if restored or first is None:
            return restored
        return first, [None] * len(callbacks)

    def watchers(self, *arguments, rows):
        """Return the callbacks of this rank."""
        return RankWatchers(self.ranks, self._guard, *arguments, rows=rows)

    def epochs(self, *arguments):
        """Return what runs epochs."""
        return RankEpochs(self.ranks, self._add, self._validation, *arguments)

    def guard(self):
        """Return what notes Ctrl-C."""
        return self._guard

    def say(self, text):
        """Print a line, once."""
        if self.ranks.rank == 0:
            print(text)


class RankGuard(InterruptGuard):
    """Notes Ctrl-C in a rank; it is `requested` when all ranks know of it, so that they end at the same step."""

    def __init__(self, ranks):
        super().__init__()
        self._ranks, self.noted = ranks, False

    def agree(self):
        """Tell the other ranks."""
        self.requested = any(self._ranks.exchange(self.noted))

    def _note(self, number, frame):
        self.noted = True


class RankWatchers(CallbackList):
    """Calls the callbacks that this rank has, and shares what they change.

    Before each epoch all ranks take rank 0's weights and the settings of its optimizer, and after it whether to stop.
    """

    def __init__(self, ranks, guard, *arguments, rows):
        super().__init__(*arguments, rows=rows)
        self._ranks, self._guard, self.by_batches = ranks, guard, False

    def begin(self, states=None):
        """Tell that training begins, and the other ranks whether there are hooks around batches."""
        super().begin(states)
        self.by_batches = self._ranks.from_first(bool(self.around_batches))

    def tell(self, hook, *arguments):
        """Call one hook of every callback."""
        super().tell(hook, *arguments)
        if hook == "on_epoch_begin":
            self._share()
            if self.by_batches:
                self.tell_batch("on_train_batch_begin", 0, {})
        elif hook == "on_epoch_end":
            self.model.stop_training = self._ranks.from_first(self.model.stop_training)
            self._guard.agree()

    def _share(self):
        share_settings(self._ranks, self.model)
        share_weights(self._ranks, self.model)

    def tell_batch_over(self, loss, done, n_steps):
        """Tell that a batch is over and the next one begins; return whether it does."""
        before = self.model.stop_training
        self.tell_batch("on_train_batch_end", done - 1, {"loss": loss})
        if self.model.stop_training and not before:
            return False
        if done < n_steps:
            self.tell_batch("on_train_batch_begin", done, {})
        return True

    def heeds(self, error):
        """Is there a callback with which training ends here, without the error?"""
        return self._ranks.from_first(super().heeds(error))


def share_model(ranks, model):
    """Give all ranks rank 0's weights, optimizer with its state, counters and seed."""
    state = ranks.from_first(model.get_state() if ranks.rank == 0 else None)
    ranks.together(lambda: ranks.rank and model._restore_state(*state))


def share_settings(ranks, model):
    """Give all ranks the settings of rank 0's optimizer, which callbacks may have changed."""
    settings = ranks.from_first(vars(model.optimizer))
    if ranks.rank:
        for name, value in settings.items():
            setattr(model.optimizer, name, value)


def share_weights(ranks, model):
    """Give all ranks rank 0's weights, which callbacks may have changed."""
    ranks.exchange(None)
    ranks.copy_first(model.params, model.engine.buffers)
