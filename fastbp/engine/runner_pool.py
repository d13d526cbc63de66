"""Runners that an engine keeps for the next call: by how batches are cut, so that sizes that change cost nothing."""

from fastbp.engine.cut import Cutter
from fastbp.engine.runner import Runner

# Kinds of runners kept for the next call.
MOST_RUNNERS = 8
# For so many sizes of batches the kind of fitting runners is remembered.
MOST_SIZES = 1024


class Loan:
    """The context of a lent runner (`contextlib.contextmanager` takes three times as long: 1.3 us)."""

    def __init__(self, runner, free):
        self._runner, self.free = runner, free

    def __enter__(self):
        return self._runner

    def __exit__(self, kind, error, trace):
        if error is None:
            self.free.append(self._runner)


class Runners(dict):
    """The free runners of an engine: {(cut, purpose, ...): list}.

    Batches of 33 to 64 rows have one runner, as a rule: a new one takes 1 to 3 ms, a step of a small network 20 us.
    """

    def __init__(self):
        super().__init__()
        self._of_sizes, self._cutters = {}, {}

    def lend(self, engine, rows, purpose, n_targets, loss):
        """Lend a runner, as a context; two threads that ask at once get two."""
        key = (rows, purpose, n_targets, type(loss))
        free = self._of_sizes.get(key)
        if free is None:
            free = self._like(engine, *key)
        try:
            runner = free.pop()
        except IndexError:
            loss = loss if n_targets else None
            made = engine.network, rows, engine.dtype, purpose, loss, n_targets, engine.buffers
            runner = Runner(*made, roomy=True)
        return Loan(runner, free)

    def _like(self, engine, rows, purpose, *more):
        """Return the list of the runners for batches of `rows` rows, which those of other sizes may share."""
        if purpose not in self._cutters:
            self._cutters[purpose] = Cutter(engine.network, engine.dtype, purpose)
        key = (self._cutters[purpose].cut(rows), purpose, *more)
        if len(self._of_sizes) >= MOST_SIZES:
            self._of_sizes = {}
        if key not in self:
            # A model that meets batches of ever new kinds must not collect workspaces for all of them.
            for old in list(self)[: -MOST_RUNNERS + 1]:
                self.pop(old, None)
                self._of_sizes = {}
        free = self._of_sizes[(rows, purpose, *more)] = self.setdefault(key, [])
        return free
