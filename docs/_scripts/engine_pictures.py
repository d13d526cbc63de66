"""The pictures of "How it works": drawn from the plans of real networks, so that their numbers are the engine's."""

import matplotlib.pyplot as plt
import numpy as np

import fastbp
from fastbp.engine.cut import Purpose
from fastbp.engine.plan import Plan

SMALL, SMALL_BATCH = (4, 3, 2), 32
WIDE, WIDE_BATCH = (54, 256, 256, 7), 256
COLOURS = ("#4c9ed9", "#e0904a", "#5fae63", "#b07cc6", "#c9605f", "#8d8d8d")
INK = "#000000"  # what runpages makes light on a dark page
THREADS = 2
# Tiles of float32 with AVX-512: 8 rows of two vectors (fastbp/compiler/vectors.py).
TILE_ROWS, TILE_COLUMNS = 8, 32


def model_of(sizes):
    """Return a compiled network of dense layers."""
    layers = [fastbp.Dense(size, "relu", name=f"dense_{place + 1}") for place, size in enumerate(sizes[1:-1])]
    model = fastbp.Sequential([*layers, fastbp.Dense(sizes[-1], name="output")], input_shape=sizes[:1], seed=0)
    model.compile("adam", "mean_squared_error")
    return model


def plan_of(sizes, batch):
    """Return a network's plan for training with such batches in float32."""
    return Plan(model_of(sizes).engine.network, batch, sizes[-1], "float32", Purpose(training=True))


def buffers():
    """Draw params, grads, the optimizer's state and work of the small network, with every offset."""
    model, plan = model_of(SMALL), plan_of(SMALL, SMALL_BATCH)
    start = model.params.__array_interface__["data"][0]
    parts = [
        (name, (view.__array_interface__["data"][0] - start) // 4, view.size) for name, view in model.views.items()
    ]
    assert parts == [
        ("dense_1/kernel", 0, 12),
        ("dense_1/bias", 12, 3),
        ("output/kernel", 15, 6),
        ("output/bias", 21, 2),
    ]
    size = len(model.params)
    moments = [("Adam's m", 0, size), ("Adam's v", size, size)]
    figure, axes = plt.subplots(3, 1, figsize=(8, 4), num="The flat buffers of a network 4-3-2, with their offsets")
    _strip(axes[0], f"params, and grads: {size} numbers each", parts, size)
    _strip(axes[1], f"optimizer state: {2 * size} numbers", moments, 2 * size)
    _strip(axes[2], f"work: {plan.work_size} numbers, a batch of {SMALL_BATCH} rows", _regions(plan), plan.work_size)
    figure.tight_layout()


def _regions(plan):
    """Return (name, offset, entries) of the regions of a workspace, in order."""
    places = {"x": plan.layout["x"][0], "y": plan.layout["y"][0], "weights": plan.layout["weight"][0]}
    for number, row in enumerate(plan.table, 1):
        places |= {f"out {number}": row["out"], f"dout {number}": row["dout"]}
    order = sorted(places, key=places.get)
    ends = [*(int(places[name]) for name in order[1:]), plan.work_size]
    return [(name, int(places[name]), end - int(places[name])) for name, end in zip(order, ends, strict=True)]


def _strip(axis, title, parts, size):
    for (name, offset, entries), colour in zip(parts, COLOURS * 3, strict=False):
        axis.broken_barh([(offset, entries)], (0, 1), facecolor=colour, edgecolor=INK, linewidth=0.6)
        label = name.replace("/", "\n")
        axis.text(offset + entries / 2, 0.5, label, ha="center", va="center", fontsize=7, color="#101010")
    axis.set(xlim=(0, size), ylim=(0, 1), yticks=[], xticks=[offset for _, offset, _ in parts] + [size])
    axis.set_title(title, fontsize=9, loc="left")
    axis.tick_params(labelsize=7)


def table():
    """Draw the layer table of the small network."""
    plan, columns = plan_of(SMALL, SMALL_BATCH), ("n_in", "n_out", "x", "dx", "out", "dout", "params")
    header = ["forward", "backward", "gradient", *columns, "own"]
    cells = []
    for name, row in zip(plan.names, plan.table, strict=True):
        kernels = ["address" if row[kind] else "0" for kind in header[:3]]
        cells.append([name, *kernels, *(str(int(row[column])) for column in columns), "address"])
    assert [row[4] for row in cells] == ["4", "3"]
    _, axis = plt.subplots(figsize=(8, 1.3), num="The layer table of a network 4-3-2: a row for each layer")
    drawn = axis.table(cells, colLabels=["", *header], loc="center", cellLoc="center")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(7)
    drawn.scale(1, 1.5)
    drawn.auto_set_column_width(range(len(header) + 1))
    for cell in drawn.get_celld().values():
        cell.set_facecolor("none")
    axis.set_axis_off()


def phases():
    """Draw how two threads share out a step of the wide network."""
    plan = plan_of(WIDE, WIDE_BATCH)
    assert (plan.n_slices, plan.slice_rows, len(plan.items)) == (8, 32, 12)
    labels = [f"slices {2 * i}, {2 * i + 1}\nrows {64 * i} to {64 * i + 63}" for i in range(4)]
    sizes = plan.items["stop"] - plan.items["start"]
    items = [f"{plan.names[item['layer']]}\n{('kernel', 'bias')[item['block']]}" for item in plan.items]
    _, axis = plt.subplots(figsize=(8.5, 2.6), num="The two phases of a step, whose pieces two threads take")
    first = _share(axis, 0.0, labels, np.full(4, 22.0), COLOURS[0])
    last = _share(axis, first + 3, items, np.maximum(sizes / sizes.max() * 16, 1.5), COLOURS[1])
    for end in (first + 1.5, last + 1.5):
        axis.axvline(end, color=INK, linewidth=1, linestyle=":")
    axis.text(first / 2, 2.15, "phase 1: forward, loss, backward", ha="center", fontsize=8)
    axis.text((first + last) / 2, 2.15, "phase 2: gradient, update, packing", ha="center", fontsize=8)
    axis.set(xlim=(0, last + 3), ylim=(0, 2.4), xticks=[], yticks=[0.5, 1.5], yticklabels=["thread 2", "thread 1"])
    axis.set_xlabel("time")


def _share(axis, start, labels, lengths, colour):
    """Draw pieces one after the other, each by the thread that is free first; return when all are done."""
    free = np.full(THREADS, start)
    for label, length in zip(labels, lengths, strict=True):
        thread = int(free.argmin())
        place = (free[thread], THREADS - 1 - thread + 0.1)
        axis.broken_barh([(place[0], length)], (place[1], 0.8), facecolor=colour, edgecolor=INK, linewidth=0.6)
        if length > 5:
            axis.text(
                place[0] + length / 2, place[1] + 0.4, label, ha="center", va="center", fontsize=6.5, color="#101010"
            )
        free[thread] += length
    return float(free.max())


def tile():
    """Draw one tile of the wide network's second product: what it reads, and what stays in registers."""
    rows, inner, columns = 64, WIDE[1], WIDE[2]
    figure, axes = plt.subplots(1, 3, figsize=(8.5, 2.7), num="A tile of a product, and the panel that it reads")
    shapes = (
        (f"a: slice of x, {rows} x {inner}", rows, inner, (8, TILE_ROWS, 0, inner)),
        (f"b: kernel, {inner} x {columns}, in panels of {TILE_COLUMNS}", inner, columns, (0, inner, 64, TILE_COLUMNS)),
        (
            f"out, {rows} x {columns}: tiles of {TILE_ROWS} x {TILE_COLUMNS}",
            rows,
            columns,
            (8, TILE_ROWS, 64, TILE_COLUMNS),
        ),
    )
    for axis, (title, height, width, (top, tall, left, wide)) in zip(axes, shapes, strict=True):
        axis.add_patch(plt.Rectangle((0, 0), width, height, fill=False, edgecolor=INK, linewidth=1))
        axis.add_patch(plt.Rectangle((left, top), wide, tall, facecolor=COLOURS[1]))
        for line in range(TILE_COLUMNS, width, TILE_COLUMNS) if wide == TILE_COLUMNS else ():
            axis.plot([line, line], [0, height], color=INK, linewidth=0.4)
        for line in range(TILE_ROWS, height, TILE_ROWS) if tall == TILE_ROWS else ():
            axis.plot([0, width], [line, line], color=INK, linewidth=0.4)
        axis.set(xlim=(-4, width + 4), ylim=(height + 4, -4), aspect="auto")
        axis.set_title(title, fontsize=8)
        axis.set_axis_off()
    figure.tight_layout()
