"""A picture of a network: its layers as boxes, its data as lines, in SVG written here."""

import html
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
    boxes, lines = _boxes(network), []
    columns = max(len(row) for row in boxes)
    width = 2 * MARGIN + columns * WIDTH + (columns - 1) * GAP_X
    height = 2 * MARGIN + len(boxes) * HEIGHT + (len(boxes) - 1) * GAP_Y
    places, drawn = {}, []
    for level, row in enumerate(boxes):
        y = MARGIN + level * (HEIGHT + GAP_Y)
        left = (width - len(row) * WIDTH - (len(row) - 1) * GAP_X) / 2
        for i, (number, box) in enumerate(row):
            x = left + i * (WIDTH + GAP_X)
            places[number] = x + WIDTH / 2, y
            drawn.append(_box(x, y, *box))
            lines += [_line(places[source], places[number]) for source in _sources(network, number)]
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    content = f"<style>{STYLE}</style>{''.join(lines)}{''.join(drawn)}"
    return Diagram(f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{content}</svg>')


def _shown(layer):
    """Has a layer a box?  A fork is where lines part."""
    return hasattr(layer.spec, "name")


def _sources(network, number):
    """Return the numbers of the boxes that a layer's inputs come from; -1 is the input."""
    if number < 0:
        return []
    found = []
    for source in network.layers[number].sources:
        one = source.layer
        while one >= 0 and not _shown(network.layers[one]):
            one = network.layers[one].sources[0].layer
        found.append(one)
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
    """Return the line from the bottom of one box to the top of another."""
    (x0, y0), (x1, y1) = above, below
    y0, half = y0 + HEIGHT, (y1 - y0 - HEIGHT) / 2
    return f'<path d="M{x0:g} {y0:g}C{x0:g} {y0 + half:g} {x1:g} {y1 - half:g} {x1:g} {y1:g}"/>'
