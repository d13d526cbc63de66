"""Where progress is shown: a terminal, whose last line is written anew; a notebook; or a log, where lines only follow.

A log gets no carriage return and no line that is cut: standard output that is a file, a pipe or a CI's console.
"""

import html
import shutil
import sys
import time
from contextlib import nullcontext

from fastbp.compiler.compiling import MESSAGE, listening

# Columns of a log.
LOG_WIDTH = 80
# Seconds between two states of a line.
LINE_SECONDS, NOTEBOOK_SECONDS = 0.1, 0.25
BAR_WIDTH = 20


def screen_for(stream=None):
    """Return the screen of a stream, by default of standard output."""
    stream = sys.stdout if stream is None else stream
    if stream in (sys.stdout, sys.stderr) and (display := _notebook_display()) is not None:
        return Notebook(stream, display)
    is_terminal = getattr(stream, "isatty", lambda: False)()
    return Terminal(stream) if is_terminal else Log(stream)


class Log:
    """Lines that follow each other."""

    live = False

    def __init__(self, stream):
        self.stream = stream

    @property
    def width(self):
        """Columns that a line may take."""
        return LOG_WIDTH

    def line(self, text):
        """Write a line that stays."""
        print(text, file=self.stream, flush=True)

    def running(self, text, share, bar=True):
        """Show the line of what is running; a log does not."""

    def close(self):
        """Leave the screen so that others can write."""


class Terminal(Log):
    """A terminal, on which the line of what is running is written anew by a carriage return."""

    live = True

    def __init__(self, stream, clock=time.monotonic):
        super().__init__(stream)
        self._clock, self._shown, self._then = clock, 0, -LINE_SECONDS

    @property
    def width(self):
        """Columns that a line may take: one less than there are, for the last one breaks the line on some terminals."""
        return max(shutil.get_terminal_size((LOG_WIDTH, 24)).columns - 1, 1)

    def line(self, text):
        self._write(text)
        self.stream.write("\n")
        self.stream.flush()
        self._shown = 0

    def running(self, text, share, bar=True):
        """Show a line of text, with a bar for the share (0 to 1) that is done where there is room for one."""
        now = self._clock()
        if now - self._then < LINE_SECONDS:
            return
        self._then = now
        if bar and len(text) + BAR_WIDTH + 1 <= self.width:
            text = f"{self._bar(share)} {text}"
        self._write(text)
        self.stream.flush()

    def _bar(self, share):
        """Return the bar, in characters that the stream can encode."""
        done = min(int(share * BAR_WIDTH), BAR_WIDTH)
        text = "━" * done + "─" * (BAR_WIDTH - done)
        try:
            text.encode(getattr(self.stream, "encoding", None) or "ascii")
        except (UnicodeEncodeError, LookupError):
            text = "=" * done + "-" * (BAR_WIDTH - done)
        return text

    def _write(self, text):
        text = text[: self.width]
        self.stream.write(f"\r{text}{' ' * (self._shown - len(text))}" if self._shown else text)
        self._shown = len(text)

    def close(self):
        if self._shown:
            self.stream.write("\n")
            self.stream.flush()
            self._shown = 0


class Notebook(Log):
    """A notebook's cell: lines, and above them a bar of what is running, in HTML and as text."""

    live = True

    def __init__(self, stream, display, clock=time.monotonic):
        super().__init__(stream)
        self._display, self._clock, self._handle, self._then = display, clock, None, -NOTEBOOK_SECONDS

    def running(self, text, share, bar=True):
        now = self._clock()
        if now - self._then < NOTEBOOK_SECONDS:
            return
        self._then = now
        self._show(text, f"<progress value='{share:.3f}' max='1'></progress> <code>{html.escape(text)}</code>")

    def close(self):
        if self._handle is not None:
            self._show("", "")
            self._handle = None

    def _show(self, text, content):
        data = {"text/plain": text, "text/html": content}
        if self._handle is None:
            self._handle = self._display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


def _notebook_display():
    """Return IPython's `display` where this process is a notebook's kernel, else None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display


def compiling_shown(screen, live):
    """Return a context in which a screen with a bar says that kernels are compiled; elsewhere the log does."""
    return listening(lambda seconds: screen.running(MESSAGE, 0.0, bar=False)) if live else nullcontext()


def fitted(parts, figures, width):
    """Return " - " joined parts and as many figures as a line of `width` columns holds, of those left out the number.

    Parameters
    ----------
    parts : list of str
        The first one is shown whatever the width is, the others where two figures have room beside them.
    figures : list of str
        The most important first.
    width : int

    Examples
    --------
    >>> fitted(["epoch 1/2"], ["loss: 0.5", "val_loss: 0.25", "accuracy: 0.75"], 40)
    'epoch 1/2 - loss: 0.5 (+2)'
    >>> fitted(["epoch 1/2"], ["loss: 0.5", "val_loss: 0.25"], 40)
    'epoch 1/2 - loss: 0.5 - val_loss: 0.25'
    >>> fitted(["epoch 1/2", "1.2s", "1.2s left"], ["loss: 0.5", "val_loss: 0.25"], 50)
    'epoch 1/2 - 1.2s - loss: 0.5 - val_loss: 0.25'
    """
    # The times go before the losses do.
    parts = list(parts)
    while len(parts) > 1 and len(" - ".join([*parts, *figures[:2]])) + len(" (+9)") > width:
        parts.pop()
    line = " - ".join(parts)
    shown = 0
    for figure in figures:
        room = len(f" (+{len(figures)})") if shown + 1 < len(figures) else 0
        if len(line) + len(" - ") + len(figure) + room > width:
            break
        line, shown = f"{line} - {figure}", shown + 1
    left = len(figures) - shown
    return f"{line} (+{left})" if left and len(f"{line} (+{left})") <= width else line


def seconds_text(seconds):
    """Return a time as text.

    Examples
    --------
    >>> [seconds_text(s) for s in (0.0004, 0.034, 1.26, 75, 3700, 200_000)]
    ['0ms', '34ms', '1.3s', '1:15', '1:01:40', '2d7h']
    """
    if seconds < 1:
        return f"{seconds * 1e3:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 59.5:
        return f"{seconds:.0f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    if whole < 86400:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"
