"""The pictures of a `History`: curves by matplotlib, and a table in HTML."""

import html
import math

import numpy as np

# Rows of the table: of more epochs the first and the last ones.
MOST_ROWS = 12


def panels(history):
    """Return a list of (title, {curve: values}): the loss, the metrics, the learning rate where it changes.

    Examples
    --------
    >>> panels({"loss": [2, 1], "val_loss": [3, 2], "learning_rate": [0.1, 0.1]})
    [('loss', {'training': [2, 1], 'validation': [3, 2]})]
    """
    found = []
    for name, values in history.items():
        if name.startswith("val_") and name[4:] in history:
            continue
        if name == "learning_rate":
            if len(set(values)) > 1:
                found.append((name, {"training": values}))
            continue
        curves = {"training": values}
        if f"val_{name}" in history:
            curves["validation"] = history[f"val_{name}"]
        found.append((name, curves))
    return sorted(found, key=lambda panel: panel[0] == "learning_rate")


def plot_history(history, axes=None):
    """Draw a `History`; return the axes."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError('history.plot() needs matplotlib: pip install "fastbp[plot]"') from None
    pictures = panels(history.history)
    if not pictures:
        raise ValueError("the history has no epoch: there is nothing to plot.")
    if axes is None:
        _, axes = plt.subplots(
            1, len(pictures), figsize=(4.5 * len(pictures), 3.5), squeeze=False, layout="constrained"
        )
    axes = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
    if len(axes) != len(pictures):
        names = ", ".join(title for title, _ in pictures)
        raise ValueError(f"{len(pictures)} axes are needed ({names}); {len(axes)} were given.")
    epochs = [epoch + 1 for epoch in history.epoch]
    for ax, (title, curves) in zip(axes, pictures, strict=True):
        for name, values in curves.items():
            ax.plot(epochs, values, label=name, marker="o" if len(epochs) == 1 else None)
        ax.set(title=title, xlabel="epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        if len(curves) > 1:
            ax.legend()
    return axes


def history_html(history):
    """Return the table of epochs in HTML."""
    names = list(history.history)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ["epoch", *names])
    n = len(history.epoch)
    rows = range(n) if n <= MOST_ROWS else [*range(MOST_ROWS // 2), None, *range(n - MOST_ROWS // 2, n)]
    body = "".join(_row(history, names, row) for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(history, names, row):
    if row is None:
        return f"<tr>{'<td>...</td>' * (1 + len(names))}</tr>"
    cells = [str(history.epoch[row] + 1), *(_figure(history.history[name], row) for name in names)]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _figure(values, row):
    """Return a figure as text, or nothing where that epoch had none."""
    if row >= len(values) or (isinstance(values[row], float) and math.isnan(values[row])):
        return ""
    return f"{values[row]:.4g}"
