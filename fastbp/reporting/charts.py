"""Charts as SVG within a page: lines, points and bars, with axes; colours are the page's CSS variables.

A chart is 420 units wide, which is about its width in pixels on a phone and on a screen: letters are 12 units high.
"""

import math
from html import escape

import numpy as np

WIDTH, HEIGHT = 420, 270
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 10, 44
# Colours of series that the page has.
N_COLOURS = 6
MOST_LETTERS = 22


class Chart:
    """Axes, and what is drawn between them.

    Parameters
    ----------
    x, y : (low, high)
        The ranges of the axes.
    x_label, y_label : str
    x_ticks : list of (number, text), optional
        By default round numbers.
    """

    def __init__(self, x, y, x_label, y_label, *, x_ticks=None, height=HEIGHT):
        self.x, self.y, self.height = _widened(x), _widened(y), height
        self.x_label, self.y_label = x_label, y_label
        self.x_ticks = x_ticks if x_ticks is not None else [(tick, shown(tick)) for tick in ticks(*self.x)]
        self.body, self.legend = [], []

    def place(self, x, y):
        """Return the places of numbers in the picture."""
        across = (np.asarray(x, float) - self.x[0]) / (self.x[1] - self.x[0])
        up = (np.asarray(y, float) - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), self.height - BOTTOM - up * (self.height - TOP - BOTTOM)

    def line(self, x, y, colour=0, label=None, *, kind="line"):
        """Draw a line; kind "line", "dash" or "faint"."""
        known = np.isfinite(np.asarray(x, float)) & np.isfinite(np.asarray(y, float))
        places = zip(*self.place(np.asarray(x)[known], np.asarray(y)[known]), strict=True)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        self.body.append(f'<polyline class="{kind} c{colour % N_COLOURS}" points="{points}"/>')
        self._label(label, colour)

    def points(self, x, y, colour=0, label=None, radius=2.2):
        """Draw a dot for each pair of numbers."""
        places = zip(*self.place(x, y), strict=True)
        dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{radius:.1f}"/>' for a, b in places)
        self.body.append(f'<g class="dots c{colour % N_COLOURS}">{dots}</g>')
        self._label(label, colour)

    def columns(self, edges, heights, colour=0):
        """Draw a bar from 0 between each two edges."""
        starts, (floor, *_) = self.place(edges, np.zeros(len(edges)))
        _, tops = self.place(edges[:-1], heights)
        bars = "".join(
            f'<rect x="{start + 0.5:.1f}" y="{min(top, floor):.1f}" width="{max(end - start - 1, 0.5):.1f}" '
            f'height="{abs(floor - top):.1f}"/>'
            for start, end, top in zip(starts[:-1], starts[1:], tops, strict=True)
        )
        self.body.append(f'<g class="bars c{colour % N_COLOURS}">{bars}</g>')

    def svg(self, name):
        """Return the picture, called `name` for those who cannot see it."""
        floor, right = self.height - BOTTOM, WIDTH - RIGHT
        parts = []
        for tick in ticks(*self.y):
            _, (y,) = self.place([self.x[0]], [tick])
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{shown(tick)}</text>')
        for tick, text in self.x_ticks:
            (x,), _ = self.place([tick], [self.y[0]])
            parts.append(f'<text class="tick" x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{escape(text)}</text>')
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{floor}" y2="{floor}"/>')
        middle = (LEFT + right) / 2
        parts.append(f'<text x="{middle}" y="{self.height - 8}" text-anchor="middle">{escape(self.x_label)}</text>')
        half = (TOP + floor) / 2
        turned = f'transform="rotate(-90 12 {half:.1f})"'
        parts.append(f'<text x="12" y="{half:.1f}" text-anchor="middle" {turned}>{escape(self.y_label)}</text>')
        legend = "".join(f'<span><i class="c{colour}"></i>{escape(label)}</span>' for label, colour in self.legend)
        picture = wrapped("".join(parts + self.body), name, self.height)
        return picture + (f'<div class="legend">{legend}</div>' if legend else "")

    def _label(self, label, colour):
        if label is not None and all(label != known for known, _ in self.legend):
            self.legend.append((label, colour % N_COLOURS))


def bars(names, values, label, name, errors=None, signed=False):
    """Return a picture of horizontal bars, the first one on top; signed ones have two colours."""
    pitch, left = 22, 150
    height = pitch * len(names) + 40
    reach = [0.0, *values] if errors is None else [0.0, *(v + e for v, e in zip(values, errors, strict=True))]
    low, high = _widened((min(0.0, *values) if signed else 0.0, max(reach)))

    def place(value):
        return left + (min(max(value, low), high) - low) / (high - low) * (WIDTH - left - 20)

    parts = [
        f'<line class="grid" x1="{place(t):.1f}" x2="{place(t):.1f}" y1="4" y2="{height - 36}"/>'
        f'<text class="tick" x="{place(t):.1f}" y="{height - 22}" text-anchor="middle">{shown(t)}</text>'
        for t in ticks(low, high, 4)
    ]
    for number, (text, value) in enumerate(zip(names, values, strict=True)):
        y, start, end = 4 + pitch * number, min(place(0), place(value)), max(place(0), place(value))
        colour = 1 if signed and value < 0 else 0
        parts.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(short(text))}</text>')
        parts.append(
            f'<g class="bars c{colour}"><rect x="{start:.1f}" y="{y + 3}" width="{max(end - start, 0.5):.1f}" '
            f'height="{pitch - 6}" rx="2"/></g>'
        )
        if errors is not None:
            ends = place(value - errors[number]), place(value + errors[number])
            middle = y + pitch / 2
            parts.append(f'<line class="error" x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{middle}" y2="{middle}"/>')
    parts.append(f'<text x="{(left + WIDTH) / 2}" y="{height - 5}" text-anchor="middle">{escape(label)}</text>')
    return wrapped("".join(parts), name, height)


def wrapped(content, name, height):
    """Return the content as an SVG element that fills its place."""
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(name, quote=True)}">{content}</svg>'


def ticks(low, high, most=6):
    """Return round numbers from low to high.

    Examples
    --------
    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> ticks(-130, 410, 4)
    [0.0, 200.0, 400.0]
    """
    raw = (high - low) / max(most - 1, 1)
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]


def shown(value):
    """Return a number in few letters.

    Examples
    --------
    >>> [shown(value) for value in (0.25, 1500, 2_500_000, 1e-7, 0)]
    ['0.25', '1500', '2.5M', '1e-07', '0']
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size and abs(value) < 1e15:
            return f"{value / (1e3 if letter == 'k' else size):.4g}{letter}"
    return f"{value:.4g}"


def short(text):
    """Return a text of at most `MOST_LETTERS` letters, on one line."""
    text = " ".join(str(text).split())
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"


def _widened(ends):
    """Return (low, high) with some room between them."""
    low, high = (float(end) for end in ends)
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = 0.0, 1.0
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        room = abs(low) * 0.1 or 0.5
        low, high = low - room, high + room
    return low, high
