"""What a model took of its settings when it was compiled (or built), and what was changed since and waits."""

import copy
from dataclasses import is_dataclass

from fastbp.engine.layer_ownership import changes, copies, same, walk
from fastbp.engine.network import said
from fastbp.layers.base import Layer
from fastbp.optimizers.base import Optimizer
from fastbp.settings.user_warnings import warn


class Taken:
    """The layers that a model took, and the optimizer and the loss that `compile` was given, if it was called.

    Parameters
    ----------
    layers : list of layers
        Those of the model.
    optimizer, loss : optimizer and loss object, optional
    """

    def __init__(self, layers, optimizer=None, loss=None):
        self.layers, self._places = copies(layers), list(walk(layers))
        self.given_optimizer, self.given_loss = optimizer, loss
        self.optimizer, self.loss = copy.deepcopy(optimizer), _copied(loss)
        # What the given one was: the copy may change.
        self._optimizer_then = copy.deepcopy(optimizer)
        self._seen = _counts()

    def __setstate__(self, state):
        self.__dict__ |= state
        self._seen = ()  # of another process

    def check_same_layers(self, layers, built):
        """Raise ValueError where these are other layers than those that were taken."""
        now = list(walk(layers))
        if len(now) != len(self._places) or any(a is not b for a, b in zip(now, self._places, strict=True)):
            fix = "make a new model of copy.deepcopy(model.layers)" if built else "call compile again"
            raise ValueError(f"layers were added, removed or exchanged after the model took them: {fix}.")

    def tell_changes(self, layers, engine, every=False):
        """Warn of settings that were changed and wait for `compile`: once, or (`every`) each time."""
        seen = _counts()
        if seen == self._seen and not every:
            return
        self._seen = seen
        self.check_same_layers(layers, engine is not None)
        network = engine and engine.network
        if waiting := changes(layers, self.layers):
            warn(
                f"{said(network, waiting)}. This waits for compile: the model goes on with what it took before. Call "
                "compile(...), which keeps the weights."
            )
        if self.optimizer is not None and (other := self._optimizer_changes()):
            warn(
                f"{', '.join(other)} of the optimizer that compile was given was changed after it. The model has a "
                f"copy of its own: set model.optimizer.{other[0]}, or call compile again."
            )
        if not same(self.given_loss, self.loss):
            warn("the loss was changed. This waits for compile: call compile(...), which keeps the weights.")

    def _optimizer_changes(self):
        """Return the names of what was changed in the given optimizer, and is not so in the model's own."""
        given, then, ours = map(vars, (self.given_optimizer, self._optimizer_then, self.optimizer))
        return [name for name in then if not same(given[name], then[name]) and not same(given[name], ours[name])]


def _counts():
    """Return how many assignments to layers and to optimizers there were."""
    return Layer.changes[0], Optimizer.changes[0]


def _copied(loss):
    """Return a loss that only the model has; those of fastbp never change."""
    frozen = loss is None or (is_dataclass(loss) and type(loss).__dataclass_params__.frozen)
    return loss if frozen else copy.copy(loss)
