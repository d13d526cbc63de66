"""The callbacks of one training, called together: in their order, each hook of those that define it."""

from collections.abc import Iterable
from functools import cache

from fastbp.callbacks.base import BATCH_ALIASES, BATCH_HOOKS, HOOKS, Callback
from fastbp.settings.naming import nearest
from fastbp.settings.user_warnings import warn


class CallbackList:
    """Those who watch a training.

    Parameters
    ----------
    callbacks : list of Callback
        Called in this order.
    model : object
        Their `model`.
    params : dict
        Their `params`.
    without : tuple of str, optional
        Hooks that this training does not call.
    owner : estimator, optional
        Whose network the model is.
    rows : WeightedRows, optional
        Those of training.
    """

    def __init__(self, callbacks: Iterable[Callback], model, params, without=(), owner=None, rows=None):
        self.callbacks, self.model, self.params = list(callbacks), model, params
        self.owner, self.rows = owner, rows
        for callback in self.callbacks:
            _tell_uncalled(callback, without)
        # By hook: callbacks that define it, so that nobody else is asked.
        self._defining: dict = {}
        for callback in self.callbacks:
            for name in _own_hooks(callback):
                self._defining.setdefault(name, []).append(callback)
        around = {*BATCH_HOOKS, *BATCH_ALIASES} & self._defining.keys()
        self.around_batches = any(BATCH_ALIASES.get(name, name) not in without for name in around)
        self._begun: list = []

    def begin(self, states=None):
        """Tell that training begins; `states` are those of a training that is resumed."""
        for callback in self.callbacks:
            callback.set_params(self.params)
            callback.set_model(self.model)
            callback.owner, callback.training_rows = self.owner, self.rows
            callback.on_train_begin({})
            self._begun.append(callback)
        for callback, state in zip(self.callbacks, states or [None] * len(self.callbacks), strict=True):
            if state is not None:
                callback.set_state(state)

    def end(self, logs=None):
        """Tell those that were told of the begin that training is over."""
        begun, self._begun = self._begun, []
        for callback in begun:
            callback.on_train_end(logs or {})
            callback.owner = callback.training_rows = None

    def tell(self, hook, *arguments):
        """Call one hook of every callback that defines it."""
        for callback in self._defining.get(hook, ()):
            getattr(callback, hook)(*arguments)

    def tell_batch(self, hook, batch, logs):
        """Call a hook around batches, by whichever of its names a callback has it."""
        for name in (hook, hook.replace("_train", "")):
            self.tell(name, batch, logs)

    def heeds(self, error):
        """Is there a callback with which training ends here, without the error?"""
        answers = [callback.on_divergence(error) for callback in self.callbacks]
        return any(answers)

    def __iter__(self):
        return iter(self.callbacks)


@cache
def _hooks_of(cls):
    """Return the hooks that a class defines: what begins with "on_" and is not the base's."""
    names = sorted(name for name in dir(cls) if name.startswith("on_"))
    return tuple(n for n in names if callable(getattr(cls, n)) and getattr(cls, n) is not getattr(Callback, n, None))


def _own_hooks(callback):
    """Return the hooks that a callback defines, in its class or in itself."""
    own = [name for name, value in vars(callback).items() if name.startswith("on_") and callable(value)]
    return [*_hooks_of(type(callback)), *own]


def _tell_uncalled(callback, without):
    """Warn of a hook that a callback defines and nobody calls."""
    for name in _own_hooks(callback):
        known = name in HOOKS or name in BATCH_ALIASES
        if known and BATCH_ALIASES.get(name, name) in without:
            warn(f"{type(callback).__name__}.{name} is not called in this training.")
        elif not known:
            hint = nearest(name, HOOKS)
            warn(f"{type(callback).__name__}.{name} is never called: fastbp calls {', '.join(HOOKS)}.{hint}")
