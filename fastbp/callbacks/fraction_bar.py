"""The progress of work whose share that is done is known: a bar on a terminal, ten lines in a log."""

import sys
from contextlib import contextmanager

from fastbp.callbacks.screen import compiling_shown, screen_for, seconds_text
from fastbp.compiler.compiling import working_time

# Lines of a log; and its seconds before the first.
LINES, FIRST_LINE_SECONDS = 10, 2.0


class ShareBar:
    """Shows the share of some work that is done, in a context: call it with the share, 0 to 1.

    Parameters
    ----------
    what : str
        In front of the figures.
    bar : bool, default True
        A bar where the stream is a terminal or a notebook; else lines alone.
    stream : file, optional
        By default standard output.
    """

    def __init__(self, what, bar=True, stream=None, clock=working_time):
        self._what, self._screen, self._clock = what, screen_for(stream), clock
        self._bar, self._told, self._share = bar and self._screen.live, 0, 0.0

    def __enter__(self):
        self._started, self._notice = self._clock(), compiling_shown(self._screen, self._bar)
        self._notice.__enter__()
        return self

    def __call__(self, share):
        self._share = share
        if self._bar:
            self._screen.running(self._text(share), share)
            return
        tenth = int(share * LINES + 1e-9)
        if tenth > self._told and (self._clock() - self._started >= FIRST_LINE_SECONDS or share >= 1.0):
            self._told = tenth
            self._screen.line(self._text(share))

    def __exit__(self, kind, error, trace):
        self._notice.__exit__(None, None, None)
        if self._bar and kind is None:
            self._screen.line(self._text(self._share))
        self._screen.close()

    def _text(self, share):
        spent = self._clock() - self._started
        text = f"{self._what} - {share:4.0%} - {seconds_text(spent)}"
        return text if share in (0.0, 1.0) else f"{text} - {seconds_text(spent / share * (1 - share))} left"


@contextmanager
def progress_bar(verbose):
    """Context of what shows progress on stderr: a function that takes the share done, or None where not verbose."""
    if verbose in (0, False):
        yield None
        return
    with ShareBar("training", bar=verbose != 2, stream=sys.stderr) as bar:
        yield bar
