"""The networks of a fit to a table of Dask that a folder of this machine keeps."""

from fastbp.tabular.checkpoint import Checkpoint, digest, made_of
from fastbp.tabular.folds import ALL_ALIKE


class KeptNetworks:
    """A `Checkpoint`, or nothing, of a fit whose table is known by its partitions' digests.

    Parameters
    ----------
    path : str, path or None
    """

    def __init__(self, path):
        self._checkpoint = None if path is None else Checkpoint(path)

    @property
    def wanted(self):
        """Is there a folder?"""
        return self._checkpoint is not None

    def seed(self, drawn, chosen):
        """Return the seed of the fit: see `Checkpoint.seed`."""
        return drawn if self._checkpoint is None else self._checkpoint.seed(drawn, chosen)

    def begin(self, seed, digests, valid, recipe, objective, sample_rows):
        """Hold the folder for a fit, or make sure that it belongs to this one."""
        if self._checkpoint is None:
            return
        facts = made_of(valid, None, recipe, objective, ALL_ALIKE)
        facts = {name: facts[name] for name in ("preset", "settings")}
        # Of the table there are digests of whole partitions: X, y and weights together.
        facts["X, y or sample_weight"] = digest(*digests)
        facts["eval_set or class_weight"] = digest(*valid)
        facts["sample_rows"] = str(sample_rows)
        self._checkpoint.begin(seed, facts)

    def plan(self, make):
        """Return the fit's `Plan`: that of when it began, or what `make` returns."""
        return make() if self._checkpoint is None else self._checkpoint.plan(make)

    def network(self, number):
        """Return a finished network and what was `Learned`, or None."""
        return None if self._checkpoint is None else self._checkpoint.network(number)

    def keep(self, number, network, learned):
        """Write a finished network."""
        if self._checkpoint is not None:
            self._checkpoint.keep(number, network, learned)
