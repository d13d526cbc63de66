"""An epoch is cut into stretches: compiled calls that are short enough for Ctrl-C, progress bars and time limits."""

import time

# Seconds of one compiled call: Ctrl-C and the progress bar wait no longer than that.
STRETCH_SECONDS = 0.2
# The first call has so many multiply-adds (about 20 ms): nothing has been measured before it.
FIRST_STRETCH_MULTIPLY_ADDS = 5e8


class Stretches:
    """Runs steps of one runner on one `Data`, in compiled calls of STRETCH_SECONDS each.

    Parameters
    ----------
    engine : Engine
    runner : Runner
    data : Data
    """

    def __init__(self, engine, runner, data):
        self.engine, self.runner, self.data = engine, runner, data
        plan = runner.plan
        step_multiply_adds = plan.step_multiply_adds(plan.rows)
        # The number of the step after the current call, or after the last one.
        self.end = 0
        # The number of steps in each call, if it is not to be measured.
        self.fixed = None
        self.length = max(int(FIRST_STRETCH_MULTIPLY_ADDS / step_multiply_adds), 1)

    def run(self, steps, update):
        """Run an epoch's steps; yield (steps done, losses of the last call) after each call.

        A caller that leaves the loop early has made the steps so far, and no others.  The engine's `step` counts them.
        """
        engine, done = self.engine, 0
        while done < len(steps):
            part = slice(done, done + (self.fixed or min(self.length, self.runner.choices.trial_steps())))
            stretch = steps[part]
            self.end = done + len(stretch)
            started = time.perf_counter()
            part_update = update._replace(coefficients=update.coefficients[part])
            losses = engine.run(self.runner, stretch, self.data, backward=True, update=part_update)
            seconds = max(time.perf_counter() - started, 1e-6)
            # The next call has at most ten times as many steps: this one may have been too short to be measured well.
            if self.fixed is None:
                self.length = max(1, min(int(len(stretch) * STRETCH_SECONDS / seconds), 10 * self.length))
            done += len(stretch)
            yield done, losses
