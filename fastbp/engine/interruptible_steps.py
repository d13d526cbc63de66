"""Stretches: an epoch cut into compiled calls that are short enough for Ctrl-C, progress bars and time limits."""

import time

# Seconds of one compiled call: Ctrl-C and the progress bar wait no longer than that.
STRETCH_SECONDS = 0.2
# The first call, before its time is known, is cut for this many multiply-adds (about 20 ms).
FIRST_STRETCH_MULTIPLY_ADDS = 5e8


class Stretches:
    """Runs steps of one runner on one `Data`, in compiled calls whose lengths follow the clock.

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
        # Where the call that runs, or the last one, ends.
        self.end = 0
        # Steps of each call, where they are not to follow the clock.
        self.fixed = None
        self.length = max(int(FIRST_STRETCH_MULTIPLY_ADDS / step_multiply_adds), 1)

    def run(self, steps, update):
        """Run an epoch's steps; yield (steps done, losses of the last call) after each call.

        Whoever leaves the loop early has the steps so far, and no more, behind him.  The engine's `step` counts them.
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
            # At most tenfold, in case the call was too short to tell (or compiled something).
            if self.fixed is None:
                self.length = max(1, min(int(len(stretch) * STRETCH_SECONDS / seconds), 10 * self.length))
            done += len(stretch)
            yield done, losses
