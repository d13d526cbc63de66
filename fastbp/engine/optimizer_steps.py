"""What an optimizer gives to the next steps, made once and ahead where steps come one by one.

A `train_on_batch` took 65 us: 13 for the step, and 10 to compute numbers that had not changed.  So what depends on an
optimizer's settings is kept until a setting of any optimizer is assigned (`Optimizer.changes` counts assignments).
"""

from dataclasses import is_dataclass

import numpy as np

from fastbp.compiler.jit import compiled_address
from fastbp.compiler.signatures import signature
from fastbp.layers.base import float_type_of
from fastbp.optimizers.base import Optimizer

# Steps that come one by one get their coefficients so many at a time.
AHEAD = 32
# So do those of whole epochs where the learning rate is a number.  Adam's take 17 us for 313 steps, 49 us for these.
EPOCHS_AHEAD = 4096


class Rule:
    """An optimizer's settings as compiled code reads them, as they are now.

    Attributes
    ----------
    settings : tuple
        `UPDATE_SETTINGS` of the job but for the number of coefficients.
    record : array of one record
    """

    def __init__(self, optimizer, dtype):
        self._optimizer, self._kernel, self._seen = optimizer, optimizer.kernel, Optimizer.changes[0]
        limits = (optimizer.weight_decay, optimizer.clipvalue, optimizer.clipnorm, optimizer.global_clipnorm)
        kept = optimizer.gradient_accumulation_steps is not None, optimizer.use_ema
        self.settings = (*(limit or 0.0 for limit in limits), *kept)
        takes = signature("record f8[:] f8 f[:] f[:] f[:] i8 i8", f=float_type_of(dtype), record=optimizer.dtype)
        self.record = optimizer.record(compiled_address(optimizer.kernel, takes))

    def holds(self, optimizer):
        """Is it still that of the optimizer?"""
        # By the kernel, too: a class may be given another one.
        same = optimizer is self._optimizer and optimizer.kernel is self._kernel
        return same and self._seen == Optimizer.changes[0]


class Coefficients:
    """The coefficients of an optimizer's steps, and the kind of its state."""

    def __init__(self, optimizer):
        self._optimizer, self._seen = optimizer, -1
        self._kind, self._first, self._ahead, self._is_fixed, self._is_constant = None, 0, None, False, False

    def __getstate__(self):
        """Keep nothing but the optimizer: how many assignments there were is another process's."""
        return {"_optimizer": self._optimizer}

    def __setstate__(self, state):
        self.__init__(state["_optimizer"])

    def state_kind(self):
        """Return what the layout of the state depends on; a state serves other settings where this is equal."""
        if self._seen != Optimizer.changes[0]:
            self._forget()
        return self._kind

    def of_steps(self, first, n):
        """Return what the kernel reads of steps (n,), counted from `first`: (n, C) float64."""
        if self._seen != Optimizer.changes[0]:
            self._forget()
        if not (self._is_constant if n > 1 else self._is_fixed):
            return self._optimizer.all_coefficients(first + np.arange(n))
        place = first - self._first
        if self._ahead is None or not 0 <= place <= len(self._ahead) - n:
            # After a change of settings those of one call are made first, and more from the next call on: settings
            # that change at every call do not cost coefficients that nobody uses.
            many = n if self._ahead is None else max(n, EPOCHS_AHEAD if n > 1 else AHEAD)
            self._ahead, self._first, place = self._optimizer.all_coefficients(first + np.arange(many)), first, 0
        return self._ahead[place : place + n]

    def _forget(self):
        optimizer = self._optimizer
        self._seen, self._ahead = Optimizer.changes[0], None
        self._kind = optimizer.state_kind(), optimizer.kept_slots()
        # A schedule of a user's may have settings that are assigned to, which nothing counts.
        rate = optimizer.learning_rate
        self._is_constant = not callable(rate)
        self._is_fixed = self._is_constant or (is_dataclass(rate) and rate.__dataclass_params__.frozen)
