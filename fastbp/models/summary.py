"""The text of `Sequential.summary()`."""

from fastbp.engine.network import Network
from fastbp.engine.threads import get_num_threads


def summary_text(engine) -> str:
    """Return a table of the layers, then the totals of parameters, arithmetic and memory.

    "params" are a layer's parameters and what it keeps beside them (moving statistics, states), which is not trainable.
    "multiply-adds a row" are those of its products of inputs and weights, forward, for one row of a batch: of a dense
    layer d * k, of a convolution as many for every place of its window, of a recurrent layer for every time step. (Of a
    periodic embedding every wave counts as ten.) What is done once an entry (activations, normalisation, pooling,
    masks, copies) is not counted. Training takes about three times as many: those of the gradients by the inputs (of
    the first layer not needed) and by the weights. Where the number of threads was measured, it says what was chosen.
    """
    rows = [("layer", "kind", "output shape", "params", "multiply-adds a row")]
    for layer in engine.network.layers:
        if not hasattr(layer.spec, "name"):  # a fork: the layer where its branches meet is the one that has a name
            continue
        shape = "(n, " + ", ".join(str(size) for size in layer.output_shape) + ")"
        kind = type(layer.spec).__name__
        name = "  " * layer.depth + layer.name
        rows.append((name, kind, shape, f"{layer.n_params + layer.n_buffers:,}", f"{layer.build.multiply_adds:,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    trainable, total = _trainable_params(engine.network), engine.network.n_params + engine.network.n_buffers
    lines.append("-" * len(lines[0]))
    lines.append(f"inputs (n, {', '.join(map(str, engine.network.input_shape))}), {engine.dtype.name}")
    lines.append(f"params {total:,}: {trainable:,} trainable, {total - trainable:,} not")
    multiply_adds = sum(layer.build.multiply_adds for layer in engine.network.layers)
    lines.append(f"multiply-adds {multiply_adds:,} a row of a batch, forward; about three times as many in training")
    lines.append(f"memory {_bytes(engine.nbytes)}: params, gradient, optimizer state and the workspaces made so far")
    if (chosen := engine.chosen_threads()) is not None:
        lines.append(f"threads {chosen} of {get_num_threads()} in training: the fastest number of those tried")
    return "\n".join(lines)


def _trainable_params(network: Network) -> int:
    return sum(layer.n_params for layer in network.layers if layer.spec.trainable)


def _bytes(count):
    """Return a number of bytes in the largest fitting unit."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
