"""A picture of a network: its layers as boxes, its data as lines, in SVG written here."""

import html
from itertools import pairwise
from pathlib import Path

from fastbp.io.files import replace_file

# Of a box, of the gaps between boxes, of a letter, in pixels.
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 230, 46, 24, 26, 12
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b1f24}.s{font-size:11px;fill:#57606a}"
    "rect{fill:#f6f8fa;stroke:#8c959f}path{fill:none;stroke:#8c959f;stroke-width:1.5}.frozen{stroke-dasharray:4 3}"
)


class Diagram:
    """What `model.plot` returns: a notebook shows it, `save` writes it.

    Attributes
    ----------
    svg : str
        The picture, without references to anything outside.
    """

    def __init__(self, svg: str):
        self.svg = svg

    def _repr_svg_(self):
        return self.svg

    def _repr_html_(self):
        return self.svg

    def save(self, path: str | Path) -> None:
        """Write the picture to a file: SVG, or HTML where its name ends in ".html"."""
        content = self.svg
        if str(path).lower().endswith((".html", ".htm")):
            content = f'<!DOCTYPE html><meta charset="utf-8"><title>network</title>\n{content}'
        elif not str(path).lower().endswith(".svg"):
            raise ValueError(f"cannot draw {path}: the name of a picture ends in .svg or .html.")
        replace_file(path, content.encode())


def diagram(network):
    """Return the `Diagram` of a network."""
    rows = _boxes(network)
    lanes = _lanes(network, rows)
    low, high = min(lanes.values()), max(lanes.values())
    side = GAP_X if any(_passes_boxes(network, rows, lanes)) else 0
    width = 2 * (MARGIN + side) + (high - low) * (WIDTH + GAP_X) + WIDTH
    height = 2 * MARGIN + len(rows) * HEIGHT + (len(rows) - 1) * GAP_Y
    places, lines, drawn = {}, [], []
    for level, row in enumerate(rows):
        for number, box in row:
            x = MARGIN + side + (lanes[number] - low) * (WIDTH + GAP_X)
            places[number] = x + WIDTH / 2, MARGIN + level * (HEIGHT + GAP_Y)
            drawn.append(_box(x, places[number][1], *box))
            lines += [_line(places[source], places[number]) for source in _sources(network, number)]
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    content = f"<style>{STYLE}</style>{''.join(lines)}{''.join(drawn)}"
    return Diagram(f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{content}</svg>')


def _lanes(network, rows):
    """Return {number: lane}: below what a box reads, those that read the same side by side, none on another."""
    readers = {}
    for row in rows:
        for number, _ in row:
            if len(sources := _sources(network, number)) == 1:
                readers.setdefault(sources[0], []).append(number)
    lanes = {-1: 0.0}
    for row in rows[1:]:
        for number, _ in row:
            sources = _sources(network, number)
            beside = readers.get(sources[0], [number]) if len(sources) == 1 else [number]
            middle = sum(lanes[source] for source in sources) / len(sources)
            lanes[number] = middle + beside.index(number) - (len(beside) - 1) / 2
        # Boxes that would meet move to the right, and all of them back to the middle.
        order = sorted((number for number, _ in row), key=lanes.get)
        before = sum(lanes[number] for number in order)
        for left, right in pairwise(order):
            lanes[right] = max(lanes[right], lanes[left] + 1)
        moved = (sum(lanes[number] for number in order) - before) / len(order)
        for number in order:
            lanes[number] -= moved
    return lanes


def _passes_boxes(network, rows, lanes):
    """Yield, for each line, whether it goes down its own lane past other boxes."""
    levels = {number: level for level, row in enumerate(rows) for number, _ in row}
    for number in levels:
        for source in _sources(network, number):
            yield levels[number] - levels[source] > 1 and lanes[number] == lanes[source]


def _shown(layer):
    """Has a layer a box?  A fork is where lines part."""
    return hasattr(layer.spec, "name")


def _sources(network, number):
    """Return the numbers of the boxes that a layer's inputs come from; -1 is the input."""
    if number < 0:
        return []
    found = []
    for source in network.layers[number].sources:
        box = source.layer
        while box >= 0 and not _shown(network.layers[box]):
            box = network.layers[box].sources[0].layer
        found.append(box)
    return found


def _boxes(network):
    """Return rows of (number, (name, kind, shape, params, frozen)) from the input down, each below what it reads."""
    levels = {-1: 0}
    shape = ", ".join(map(str, network.input_shape))
    rows = [[(-1, ("input", "", f"(n, {shape})", 0, False))]]
    for number, layer in enumerate(network.layers):
        if not _shown(layer):
            continue
        level = 1 + max(levels[source] for source in _sources(network, number))
        levels[number] = level
        if level == len(rows):
            rows.append([])
        shape = ", ".join(map(str, layer.output_shape))
        frozen = not layer.spec.trainable and layer.n_params > 0
        box = layer.name, _kind(layer.spec), f"(n, {shape})", layer.n_params + layer.n_buffers, frozen
        rows[level].append((number, box))
    return rows


def _kind(spec):
    """Return a layer's kind, with its activation."""
    activation = getattr(spec, "activation", None)
    name = getattr(activation, "name", activation)
    return type(spec).__name__ + (f", {name}" if isinstance(name, str) and name != "linear" else "")


def _box(x, y, name, kind, shape, params, frozen):
    title = f"{name}: {kind}" if kind else name
    below = f"{shape}   {params:,} params{', not trained' if frozen else ''}" if kind else shape
    middle, kept = x + WIDTH / 2, ' class="frozen"' if frozen else ""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6"{kept}/>'
        f'<text x="{middle:g}" y="{y + 19:g}" text-anchor="middle">{html.escape(_short(title, 32))}</text>'
        f'<text class="s" x="{middle:g}" y="{y + 36:g}" text-anchor="middle">{html.escape(_short(below, 40))}</text>'
    )


def _short(text, most):
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _line(above, below):
    """Return the line from the bottom of one box to the top of another; past boxes in between it goes beside them."""
    (x0, y0), (x1, y1) = above, below
    y0 += HEIGHT
    if y1 - y0 <= GAP_Y:
        return f'<path d="{_curve(x0, y0, x1, y1)}"/>'
    beside = x0 if x0 != x1 else x0 + (WIDTH + GAP_X) / 2
    first, last = y0 + (GAP_Y if x0 == x1 else 0), y1 - GAP_Y
    start = _curve(x0, y0, beside, first) if x0 == x1 else f"M{x0:g} {y0:g}"
    return f'<path d="{start}L{beside:g} {last:g}{_curve(beside, last, x1, y1)[len(f"M{beside:g} {last:g}") :]}"/>'


def _curve(x0, y0, x1, y1):
    half = (y1 - y0) / 2
    return f"M{x0:g} {y0:g}C{x0:g} {y0 + half:g} {x1:g} {y1 - half:g} {x1:g} {y1:g}"
