"""The pace of a training under a time limit: measured times decide how many epochs and networks there are."""

import time
from threading import Lock
from typing import NamedTuple

from fastbp.compiler.compiling import working_time
from fastbp.engine.interrupts import InterruptGuard

# A network is begun if this share of its expected time is left: the clock may cut the last one short.
ENOUGH = 0.95
# The clock is read after each group of steps, and a group takes at most this share of the time that is left.
GROUP_SHARE = 0.01


class Costs(NamedTuple):
    """The seconds that one network takes, measured in a trial: to build it, for a step, for a validation."""

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
        The value of `clock` at which everything has to be done.
    clock : callable, default working_time
        A function that returns seconds, without the time of compiling.
    """

    def __init__(self, deadline, clock=working_time):
        self._deadline, self._clock = deadline, clock
        self._interrupted, self.guard = False, InterruptGuard()
        self._durations, self._lock = [], Lock()

    def interrupt(self):
        """Make all networks stop."""
        self._interrupted = True

    @property
    def interrupted(self):
        return self._interrupted or self.guard.requested

    @property
    def limited(self):
        return self._deadline is not None

    def reserve(self, seconds):
        """Reserve seconds for the work after the networks' steps, which then end so much earlier."""
        if self.limited:
            with self._lock:
                self._deadline -= seconds

    def stop(self):
        """Must training end now?"""
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

    The deadline is a time of the clock on the wall, which machines share.  From here on the time of compiling does not
    count, as in threads.
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
