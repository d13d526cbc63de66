"""The callbacks of one training, called together: in their order, each hook of those that define it."""

from collections.abc import Iterable

from fastbp.callbacks.base import BATCH_ALIASES, BATCH_HOOKS, HOOKS, Callback
from fastbp.settings.naming import nearest
from fastbp.settings.warned import warn


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
    """

    def __init__(self, callbacks: Iterable[Callback], model, params, without=(), owner=None):
        self.callbacks, self.model, self.params, self.owner = list(callbacks), model, params, owner
        for callback in self.callbacks:
            _tell_uncalled(callback, without)
        self.around_batches = [
            (callback, name)
            for callback in self.callbacks
            for name in (*BATCH_HOOKS, *BATCH_ALIASES)
            if _overrides(callback, name) and BATCH_ALIASES.get(name, name) not in without
        ]
        self._begun = []

    def begin(self, states=None):
        """Tell that training begins; `states` are those of a training that is resumed."""
        for callback in self.callbacks:
            callback.set_params(self.params)
            callback.set_model(self.model)
            callback.owner = self.owner
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
            callback.owner = None

    def tell(self, hook, *arguments):
        """Call one hook of every callback."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    def tell_batch(self, hook, batch, logs):
        """Call a hook around batches, by whichever of its names a callback has it."""
        for callback, name in self.around_batches:
            if BATCH_ALIASES.get(name, name) == hook:
                getattr(callback, name)(batch, logs)

    def heeds(self, error):
        """Is there a callback with which training ends here, without the error?"""
        answers = [callback.on_divergence(error) for callback in self.callbacks]
        return any(answers)

    def __iter__(self):
        return iter(self.callbacks)


def _overrides(callback, name):
    """Does a callback have a hook of its own, in its class or in itself?"""
    return name in vars(callback) or getattr(type(callback), name, None) is not getattr(Callback, name, None)


def _tell_uncalled(callback, without):
    """Warn of a hook that a callback defines and nobody calls."""
    names = [name for name in {*dir(type(callback)), *vars(callback)} if name.startswith("on_")]
    for name in sorted(names):
        if not callable(getattr(callback, name)) or not _overrides(callback, name):
            continue
        known = name in HOOKS or name in BATCH_ALIASES
        if known and BATCH_ALIASES.get(name, name) in without:
            warn(f"{type(callback).__name__}.{name} is not called in this training.")
        elif not known:
            hint = nearest(name, HOOKS)
            warn(f"{type(callback).__name__}.{name} is never called: fastbp calls {', '.join(HOOKS)}.{hint}")
