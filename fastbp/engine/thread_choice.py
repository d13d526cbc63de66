"""How many threads a call has: measured where it is unclear.  Results have the same bits at any number.

A second thread halves the work of a step and costs 0.2 us a phase, the transfer of what one core wrote and another
reads (3 us for the 6,000 parameters of 30-64-64-3), and 20 to 50 us a call to wake it.  On a busy machine it waits
for a core.  So calls of one kind take turns: with all threads, with a quarter of them and so on, with one.  The least
number whose median is within 3 % of the best is kept, and looked at again soon, then later and later.

A trial sees some milliseconds.  In a process that has just called a BLAS, whose threads go on looking for work for
0.1 s, they say that a second thread brings nothing.  So the first look is soon.  And while several threads are
chosen, all calls are watched: where they take longer than with fewer threads, these are chosen at once.

A core that has rested works slowly at first: after 0.3 s without a call, two threads take 592 us for 4-32-16-4 in the
first 0.06 s, then 300, one thread 430.  So a choice that there is already is kept meanwhile.
"""

from time import perf_counter

from fastbp.engine import threads

# A step of more multiply-adds (1 ms) has all threads without being measured.
CLEAR_MULTIPLY_ADDS = 1e8
# Calls of several steps that are measured take about a millisecond, so that waking threads counts little.
TRIAL_MULTIPLY_ADDS, LEAST_STEPS = 1e8, 4
# In a turn each number of threads has CALLS calls in a row, of which the last counts: the others touch new memory,
# and fetch what the calls with another number left in other caches.  A trial has TURNS turns, or fewer that together
# last ENOUGH_SECONDS.
CALLS, TURNS, ENOUGH_SECONDS = 2, 3, 0.1
# A choice is measured again after AGAIN_SECONDS.  Each time that it is confirmed the pause doubles, up to
# LONGEST_SECONDS.  A pause is at least PATIENCE times as long as what the trial lost with numbers that are not chosen.
AGAIN_SECONDS, LONGEST_SECONDS, PATIENCE = 0.05, 5.0, 100.0
# Where REST_SECONDS pass between the beginnings of two calls, cores have rested: a call lasts 0.2 s at most.  They are
# warm again after WARM_SECONDS of calls.
REST_SECONDS, WARM_SECONDS = 0.25, 0.1
# Calls with the chosen number are judged together once they have taken so long: one that the system interrupts for
# 4 ms is no reason to change.
WATCH_SECONDS = 0.02
# More threads must bring so much.
GAIN = 1.03


class One:
    """The choice of calls that are too small for threads."""

    # Is the next call to be measured?
    is_open = False
    # Does it want to know how long the next call takes?
    listens = False

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
    chosen : int or None
        The number that is kept, once it is known.
    """

    def __init__(self, clock=perf_counter):
        self._clock, self.chosen = clock, None
        # Seconds to the next trial where this one confirms the choice, and where a choice is given up.
        self._pause = self._setback = AGAIN_SECONDS
        # When the number of threads was asked for, and when it was asked for the first time after a rest.
        self._asked = self._woke = clock()
        self._begin(1)

    @property
    def listens(self):
        """Does it want to know how long the next call takes?  It measures, or watches several threads."""
        return self.is_open or (self.chosen or 1) > 1

    def wanted(self):
        """Return the number of threads of the next call."""
        now = self._clock()
        if now - self._asked > REST_SECONDS:
            self._woke = now
        self._asked = now
        # `get_num_threads` asks the system: 5 us.
        if self.chosen and self._is_within(threads.limits()) and not self._is_measured(now):
            return self.chosen
        most = threads.get_num_threads()
        if most != self._most or (not self.is_open and self._is_measured(now)):
            self._begin(most)
        return self._due() if self.is_open else (self.chosen or most)

    def is_open_soon(self):
        """Will the next call be measured?"""
        return self._is_measured(self._clock())

    def note(self, n_threads, seconds, work=1):
        """Note how long a call took that had so many threads, and so much work."""
        if n_threads != (self._due() if self.is_open else self.chosen):
            return  # other calls had the cores
        if not self.is_open:
            self._watch(seconds, work)
            return
        self._calls, self._lasted = self._calls + 1, self._lasted + seconds
        self._spent[n_threads] += work
        if self._calls % CALLS == 0:
            self._costs[n_threads].append(seconds / work)
        turns, rest = divmod(self._calls, CALLS * len(self._candidates))
        if rest == 0 and (turns == TURNS or self._lasted >= ENOUGH_SECONDS):
            self._choose()

    def _is_measured(self, now):
        """Is a call measured that begins now?  Cores that have rested are left to warm up, but not for ever."""
        if self.is_open or self.chosen is None:
            return self.is_open
        return now >= self._again and (now - self._woke >= WARM_SECONDS or now - self._again >= LONGEST_SECONDS)

    def _is_within(self, limits):
        """Are the limits those of the last trial, or such that one thread is within them, too?"""
        return limits == self._limits or (self.chosen == 1 and limits[0] == self._limits[0])

    def _due(self):
        return self._candidates[self._calls // CALLS % len(self._candidates)]

    def _begin(self, most):
        """Begin a trial, if there is anything to try."""
        self._most, self._limits, self._calls, self._lasted = most, threads.limits(), 0, 0.0
        self._candidates = _candidates(most)
        self._costs, self._spent = {n: [] for n in self._candidates}, dict.fromkeys(self._candidates, 0)
        self.is_open = most > 1
        self._again = 0.0
        if most == 1:
            self.chosen = None

    def _choose(self):
        """End a trial."""
        # To import `statistics` takes 8 ms.
        medians = {n: sorted(costs)[len(costs) // 2] for n, costs in self._costs.items()}
        least = min(medians.values())
        chosen = min(n for n, cost in medians.items() if cost <= GAIN * least)
        if chosen == self.chosen:
            self._pause = min(2 * self._pause, LONGEST_SECONDS)
            self._setback = AGAIN_SECONDS if chosen > 1 else self._setback
        else:
            self._pause = AGAIN_SECONDS
        lost = sum(work * max(medians[n] - medians[chosen], 0.0) for n, work in self._spent.items())
        self._medians = medians
        self._keep(chosen, max(self._pause, PATIENCE * lost))

    def _watch(self, seconds, work):
        """Give the choice up where calls with fewer threads took less."""
        if self._asked - self._woke < WARM_SECONDS:
            return
        self._seconds, self._work = self._seconds + seconds, self._work + work
        if self._seconds < WATCH_SECONDS:
            return
        cost, self._seconds, self._work = self._seconds / self._work, 0.0, 0
        fewer = min((n for n in self._medians if n < self.chosen), key=self._medians.get)
        if cost > self._medians[fewer]:
            self._keep(fewer, self._setback)
            self._setback = min(2 * self._setback, LONGEST_SECONDS)

    def _keep(self, chosen, pause):
        self.chosen, self.is_open, self._again = chosen, False, self._clock() + pause
        self._seconds, self._work = 0.0, 0


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
