"""The table of all layers' emitters, and a network's layers one after the other."""

from typing import Any, NamedTuple

from fastbp.interop.emitters import emitter_of, weights_of
from fastbp.interop.onnx import convolution, core, normalization, recurrent, tables
from fastbp.layers.core.branches import Fork

# Name of the layer: function of (graph, site, *inputs) -> output, or (output, mask).
EMITTERS = core.EMITTERS | normalization.EMITTERS | convolution.EMITTERS | recurrent.EMITTERS | tables.EMITTERS
# Name of the layer: why it has none.
REFUSED: dict = {}


class Site(NamedTuple):
    """A layer where it stands: its settings, shapes of a row, weights by name, and the mask of its input or None."""

    spec: Any
    input_shapes: tuple
    output_shape: tuple
    weights: dict
    mask: str | None = None


def emit_network(graph, model, x):
    """Append the nodes of a `Sequential`; return the name of its predictions.

    Parameters
    ----------
    graph : Graph
    model : Sequential
    x : str
        The name of the rows (n, ...) in the graph's dtype.

    Raises
    ------
    ValueError
        For a layer or activation that ONNX cannot say, by name.
    """
    network, views = model.engine.network, model.views
    values, masks = {-1: x}, {}
    for number, placed in enumerate(network.layers):
        inputs = [values[source.layer] for source in placed.sources]
        masking = network.masking_layer(number)
        site = Site(
            placed.spec,
            placed.input_shapes,
            placed.output_shape,
            weights_of(placed, views),
            None if masking is None else masks[masking],
        )
        found = emit(graph, placed.name, site, inputs)
        values[number], masks[number] = found if isinstance(found, tuple) else (found, None)
    return values[network.output.layer]


def emit(graph, name, site, inputs):
    """Append a layer's nodes; return the name of its output, or (output, mask): which steps (n, t) count."""
    if isinstance(site.spec, Fork):
        return inputs[0]
    try:
        return emitter_of(site.spec, "emit_onnx", EMITTERS, REFUSED)(graph, site, *inputs)
    except ValueError as error:
        raise ValueError(f"layer {name!r} ({type(site.spec).__name__}) has no ONNX: {error}") from None
