"""One network of a bag: it is made, trained on its rows, and freed of all that only training needs."""

from typing import Any, NamedTuple

import numpy as np

from fastbp.engine.layer_ownership import copies
from fastbp.models.sequential import Sequential
from fastbp.tabular.network_training import Learner, learn
from fastbp.tabular.networks import table_network

# Initial values are adapted to so many rows.
ADAPTING_ROWS = 2000


class Widths(NamedTuple):
    """The sizes of the groups of columns in encoded rows, which a network must know."""

    n_numeric: int
    n_plain: int
    n_codes: int
    cardinalities: tuple

    @classmethod
    def of(cls, encoder):
        """Return the widths of an encoder's rows."""
        return cls(encoder.n_numeric, encoder.n_plain, encoder.n_codes, tuple(encoder.cardinalities))


class Given(NamedTuple):
    """Settings that all networks of a bag share."""

    widths: Widths
    recipe: Any
    objective: Any
    seed: int


def new_network(given, part, rows, number):
    """Return network `number` of a bag, its initial values adapted to some of its rows (m,) of a `Part`."""
    seed = int(np.random.SeedSequence([given.seed, number]).generate_state(1)[0])
    sample = np.random.default_rng(seed).permutation(rows)[:ADAPTING_ROWS]
    hidden = given.recipe.hidden[number % len(given.recipe.hidden)]
    return table_network(given.widths, part.x[sample], given.objective, given.recipe, hidden, seed)


def train_network(network, given, part, rows, valid, plan, stop, tell, observer=None):
    """Train a new network.

    Parameters
    ----------
    network : Sequential
        Of `new_network`.
    given : Given
    part : Part
    rows : (m,) int64
        Rows of `part` to train on.
    valid : Part
        Rows to choose the epoch by.
    plan : Plan
    stop, tell, observer
        As of `learn`.

    Returns
    -------
    network : Sequential
    learned : Learned
    """
    learner = Learner(network, part, rows, given.objective, given.recipe, plan)
    learned = learn(learner, valid, stop, tell, observer)
    return without_training(network), learned._replace(curve=tuple(learner.curve))


def without_training(network):
    """Return a network with the same parameters, but no optimizer, state and buffers: a third of the memory."""
    engine = network.engine
    bare = Sequential(copies(engine.layers), input_shape=engine.network.input_shape, seed=network.seed)
    bare.params[:] = network.params
    return bare
