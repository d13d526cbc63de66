"""Pace: how much of a training fits into a time limit, by what has been measured so far."""

import time
from threading import Lock
from typing import NamedTuple

from fastbp.compiler.compiling import working_time
from fastbp.engine.interrupts import InterruptGuard

# A network is begun if so much of the expected time is left: the last one of a training is cut short by the clock.
ENOUGH = 0.95
# The clock is looked at after groups of steps that take no longer than this part of what is left.
GROUP_SHARE = 0.01


class Costs(NamedTuple):
    """What a trial found out about one network, in seconds: building it, a step, choosing an epoch by its rows."""

    building: float
    step: float
    validation: float


class Plan(NamedTuple):
    """How long each network trains: epochs, steps of each, and the most steps before the clock is looked at."""

    epochs: int
    n_steps: int
    most_group: int


class Pace:
    """The clock of a training whose networks are trained one after the other, several at once.

    Parameters
    ----------
    deadline : float or None
        What `clock` says when everything has to be done.
    clock : callable, default working_time
        Of seconds: what is compiled on the way takes none.
    """

    def __init__(self, deadline, clock=working_time):
        self._deadline, self._clock = deadline, clock
        self._interrupted, self.guard = False, InterruptGuard()
        self._durations, self._lock = [], Lock()

    def interrupt(self):
        """Have everybody stop."""
        self._interrupted = True

    @property
    def interrupted(self):
        return self._interrupted or self.guard.requested

    @property
    def limited(self):
        return self._deadline is not None

    def reserve(self, seconds):
        """Keep seconds for what follows the networks' steps: they end so much earlier."""
        if self.limited:
            with self._lock:
                self._deadline -= seconds

    def stop(self):
        """Is it time to end what is being done?"""
        return self.interrupted or self.left() <= 0

    def left(self):
        """Return the seconds left."""
        return float("inf") if self._deadline is None else self._deadline - self._clock()

    def note(self, seconds):
        """Take notice of how long a network took."""
        with self._lock:
            self._durations.append(seconds)

    def another(self):
        """Is there time for one more network?"""
        if self.interrupted:
            return False
        with self._lock:
            expected = sum(self._durations) / len(self._durations) if self._durations else 0.0
        return self.left() > ENOUGH * expected


def pace_of_a_worker(deadline):
    """Return the `Pace` of a task that has to end at `deadline` (None: when it is done).

    The deadline is by the clock on the wall, which machines share.  From here on what the worker compiles takes none of
    its time, as in threads.
    """
    return Pace(None if deadline is None else working_time() + deadline - time.time())


def planned(whole, left, costs, rounds, validations, enough_epochs):
    """Return the `Plan` for networks that train in so many rounds, the first of them built.

    Parameters
    ----------
    whole : Plan
        Without a limit.
    left : float
        Seconds.
    costs : Costs
    rounds : int
    validations : float
        For each epoch.
    enough_epochs : int
        So many there are before there are fewer networks.

    Examples
    --------
    >>> whole, costs = Plan(100, 50, 16), Costs(building=0.0, step=0.02, validation=0.0)
    >>> [planned(whole, seconds, costs, 5, 0.1, 24).epochs for seconds in (900.0, 200.0, 100.0, 10.0)]
    [100, 40, 24, 10]
    >>> planned(whole, 0.5, costs, 5, 0.1, 24)
    Plan(epochs=1, n_steps=25, most_group=1)
    """
    epoch = whole.n_steps * costs.step + validations * costs.validation
    alone, together = left / epoch, (left / rounds - costs.building) / epoch
    possible = min(alone, max(together, enough_epochs))
    if possible >= whole.epochs:
        return whole
    group = max(min(int(GROUP_SHARE * left / costs.step), whole.most_group), 1)
    if possible >= 1:
        return Plan(int(possible), whole.n_steps, group)
    return Plan(1, max(int(possible * whole.n_steps), 1), group)
