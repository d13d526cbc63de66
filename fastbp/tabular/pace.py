"""Pace: how much of a training fits into a time limit, by what has been measured so far."""

import time
from threading import Lock

from fastbp.interrupts import InterruptGuard

# A network is begun if so much of the expected time is left: the last one of a training is cut short by the clock.
ENOUGH = 0.95


class Pace:
    """The clock of a training whose networks are trained one after the other, several at once.

    Parameters
    ----------
    deadline : float or None
        The value of `time.perf_counter` at which training ends.
    """

    def __init__(self, deadline):
        self._deadline, self._interrupted, self.guard = deadline, False, InterruptGuard()
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

    def stop(self):
        """Is it time to end what is being done?"""
        return self.interrupted or self.left() <= 0

    def left(self):
        """Return the seconds left."""
        return float("inf") if self._deadline is None else self._deadline - time.perf_counter()

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
