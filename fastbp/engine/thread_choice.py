"""How many threads a call has: measured where it is unclear.  Results have the same bits at any number.

A second thread halves the work of a step and costs 0.2 us a phase, the transfer of what one core wrote and another
reads (3 us for the 6,000 parameters of 30-64-64-3), and 20 to 50 us a call to wake it.  On a busy machine it waits
for a core.  So calls of one kind take turns: with all threads, with a quarter of them and so on, with one.  The least
number whose median is within 3 % of the best is kept, and looked at again some seconds later.
"""

from time import perf_counter

from fastbp.engine import threads

# A step of more multiply-adds (1 ms) has all threads without being measured.
CLEAR_MULTIPLY_ADDS = 1e8
# Calls of several steps that are measured take about a millisecond, so that waking threads counts little.
TRIAL_MULTIPLY_ADDS, LEAST_STEPS = 1e8, 4
# Each number of threads is tried in TRIALS calls, or in at least FEW_TRIALS that together last ENOUGH_SECONDS.  The
# first call with each number is not counted.
TRIALS, FEW_TRIALS, ENOUGH_SECONDS = 5, 2, 0.1
# After AGAIN_SECONDS a choice is measured again: its 12 calls of a millisecond are 0.25 % of that.  Each time that it
# is confirmed the pause doubles, up to LONGEST_SECONDS: on a busy machine calls with more threads may take ten times
# as long.
AGAIN_SECONDS, LONGEST_SECONDS = 5.0, 80.0
# More threads must bring so much.
GAIN = 1.03


class One:
    """The choice of calls that are too small for threads."""

    is_open = False

    def wanted(self):
        """Return the number of threads of the next call."""
        return 1

    def is_open_soon(self):
        """Will the next call be measured?"""
        return False


class All(One):
    """The choice of calls that are so large that threads pay for sure."""

    def wanted(self):
        """Return the number of threads of the next call."""
        return threads.get_num_threads()


class Choice(One):
    """The choice of calls of one kind, by measurement.

    Attributes
    ----------
    is_open : bool
        Is the next call to be measured?
    chosen : int or None
        The number that is kept, once it is known.
    """

    def __init__(self, clock=perf_counter):
        self._clock, self._limit, self.chosen, self._pause = clock, None, None, AGAIN_SECONDS
        self._begin(1)

    def wanted(self):
        """Return the number of threads of the next call."""
        if self.chosen == 1 and threads.limit() == self._limit and not self.is_open_soon():
            return 1
        most = threads.get_num_threads()
        if most != self._most or (not self.is_open and self.is_open_soon()):
            self._begin(most)
        return self._candidates[self._calls % len(self._candidates)] if self.is_open else (self.chosen or most)

    def is_open_soon(self):
        """Will the next call be measured?"""
        return self.is_open or (self.chosen is not None and self._clock() >= self._again)

    def note(self, n_threads, seconds, n_steps=1):
        """Note how long a call took that had so many threads, and so many steps."""
        if n_threads != self._candidates[self._calls % len(self._candidates)]:
            return  # other calls had the cores
        self._calls += 1
        if self._calls > len(self._candidates):
            self._seconds[n_threads].append(seconds / n_steps)
            self._lasted[n_threads] += seconds
        if self._calls % len(self._candidates) == 0 and all(map(self._is_enough, self._candidates)):
            self._choose()

    def _is_enough(self, n_threads):
        n_trials = len(self._seconds[n_threads])
        return n_trials >= TRIALS or (n_trials >= FEW_TRIALS and self._lasted[n_threads] >= ENOUGH_SECONDS)

    def _begin(self, most):
        self._most, self._limit, self._calls = most, threads.limit(), 0
        self._candidates = _candidates(most)
        self._seconds, self._lasted = {n: [] for n in self._candidates}, dict.fromkeys(self._candidates, 0.0)
        self.is_open, self._again = most > 1, 0.0
        if most == 1:
            self.chosen = None

    def _choose(self):
        # The upper median; to import `statistics` takes 8 ms.
        medians = {n: sorted(seconds)[len(seconds) // 2] for n, seconds in self._seconds.items()}
        least = min(medians.values())
        chosen = min(n for n, seconds in medians.items() if seconds <= GAIN * least)
        self._pause = min(2 * self._pause, LONGEST_SECONDS) if chosen == self.chosen else AGAIN_SECONDS
        self.chosen, self.is_open, self._again = chosen, False, self._clock() + self._pause


def _candidates(most):
    """Return the numbers of threads to try: 64, 16, 4, 1."""
    found = [most]
    while found[-1] > 1:
        found.append(max(found[-1] // 4, 1))
    return found


ONE, ALL = One(), All()


class Choices:
    """The choices of a plan's calls: one for calls of many steps, one for each kind of those of a single step."""

    def __init__(self, plan):
        self._plan, self._single, self.of_many = plan, {}, Choice()

    def of(self, n_steps, rows, *kind):
        """Return the choice of calls of `n_steps` steps of up to `rows` rows, and of some kind."""
        plan = self._plan
        if not plan.threads_pay(rows):
            return ONE
        if plan.step_multiply_adds(rows) > CLEAR_MULTIPLY_ADDS:
            return ALL
        if n_steps > 1:
            return self.of_many
        # Sizes up to twice as large are alike.
        key = (rows.bit_length(), *kind)
        if key not in self._single:
            self._single[key] = Choice()
        return self._single[key]

    def chosen(self):
        """Return the numbers of threads that were chosen so far, a list."""
        return [choice.chosen for choice in (self.of_many, *self._single.values()) if choice.chosen]

    def trial_steps(self):
        """Return how many steps the next call of many may have at most: few where it is measured."""
        rows = self._plan.rows
        if not self.of(2, rows).is_open_soon():
            return 2**62
        return max(int(TRIAL_MULTIPLY_ADDS / self._plan.step_multiply_adds(rows)), LEAST_STEPS)
