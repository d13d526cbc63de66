"""How a `Sequential` is shown: a line of text, and in a notebook a table."""

import html


def line_of(model):
    """Return a model in a line: its layers, what it takes and gives, and how it was compiled."""
    if model.engine is None:
        return f"<{type(model).__name__}, not built: {_layers(model.layers)}>"
    network = model.engine.network
    takes, gives = ((", ".join(map(str, shape))) for shape in (network.input_shape, network.output_shape))
    parts = [f"(n, {takes}) -> (n, {gives})", f"{model.count_params():,} params", model.engine.dtype.name]
    if model.engine.loss is not None:
        parts.append(f"{type(model.engine.optimizer).__name__}, {model.engine.loss.name}")
        parts.append(f"{model.engine.step:,} steps")
    else:
        parts.append("not compiled")
    return f"<{type(model).__name__} {_layers(model.layers)}: {'; '.join(parts)}>"


def _layers(layers):
    names = [type(layer).__name__ for layer in layers]
    shown = names if len(names) <= 8 else [*names[:4], "...", *names[-3:]]
    return f"[{', '.join(shown)}]"


def html_of(model):
    """Return a table of the layers."""
    title = f"<p><code>{html.escape(line_of(model))}</code></p>"
    if model.engine is None:
        return title
    rows = []
    for layer in model.engine.network.layers:
        if not hasattr(layer.spec, "name"):
            continue
        shape = f"(n, {', '.join(map(str, layer.output_shape))})"
        trained = "" if layer.spec.trainable or not layer.n_params else "no"
        cells = [layer.name, type(layer.spec).__name__, shape, f"{layer.n_params + layer.n_buffers:,}", trained]
        rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    heads = "".join(f"<th>{name}</th>" for name in ("layer", "kind", "output shape", "params", "trained"))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"{title}<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
