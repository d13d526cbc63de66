"""The text of `Sequential.summary()`."""

from fastbp.engine.network import Network
from fastbp.engine.threads import get_num_threads


def summary_text(engine) -> str:
    """Return a table of the layers, then the totals of parameters, arithmetic and memory.

    "params" counts a layer's parameters, and the values that it keeps beside them and does not train (moving
    statistics, states). "multiply-adds a row" counts the products of inputs and weights in a forward pass of one batch
    row: d * k in a dense layer, as many for each place of the window in a convolution, and for each time step in a
    recurrent layer. A wave of a periodic embedding counts as ten. Work that is done once an entry (activations,
    normalisation, pooling, masks, copies) is not counted. Training takes about three times as many, because the
    gradients with respect to the weights and to the inputs cost as much each; the first layer needs no gradient of its
    inputs. The last line says how many threads were chosen, if that was measured.
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
