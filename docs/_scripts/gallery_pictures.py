"""Pictures of the gallery: what an example draws, else the losses of the networks that it trained, of tables too."""

from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from fastbp.callbacks.history import History
from fastbp.tabular.estimator import BaseTabular

MOST_CURVES = 8
trained, of_tables = [], []


def listen():
    """Have every `History` of this process noted when its training begins, and estimators for tables when it ends."""
    begin = History.on_train_begin

    def noted(self, logs=None):
        trained.append(self)
        return begin(self, logs)

    def noted_of_tables(self, *parts, **named):
        of_tables.append(self)
        return hold(self, *parts, **named)

    hold = BaseTabular._hold
    History.on_train_begin, BaseTabular._hold = noted, noted_of_tables


def scrape(block, block_vars, gallery_conf):
    """Return the reStructuredText of a script's pictures: what sphinx_gallery calls after each block."""
    from sphinx_gallery.scrapers import figure_rst, matplotlib_scraper

    shown = matplotlib_scraper(block, block_vars, gallery_conf)
    paths = []
    for picture in sorted(Path(block_vars["src_file"]).parent.glob("*.png")):
        paths.append(next(block_vars["image_path_iterator"]))
        picture.replace(paths[-1])
    curves = [history for history in trained if len(history.history.get("loss", ())) > 1][:MOST_CURVES]
    tables = of_tables[:1]
    trained.clear()
    of_tables.clear()
    if (curves or tables) and not paths and not shown:
        paths.append(next(block_vars["image_path_iterator"]))
        _draw_losses(curves, paths[-1]) if curves else _draw_scores(*tables, paths[-1])
    return shown + (figure_rst(paths, gallery_conf["src_dir"]) if paths else "")


def _draw_losses(histories, path):
    figure, axis = plt.subplots(figsize=(5, 3))
    for place, history in enumerate(histories):
        for name, style in (("loss", "-"), ("val_loss", "--")):
            values = np.asarray(history.history.get(name, ()), float)
            if len(values) and np.isfinite(values).any():
                axis.plot(range(1, len(values) + 1), values, style, color=f"C{place}", linewidth=1.2)
    if all(line.get_ydata().min() > 0 for line in axis.get_lines()):
        axis.set_yscale("log")
    axis.set(xlabel="epoch", ylabel="loss", title="Losses of the networks (dashed: of validation)")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def _draw_scores(estimator, path):
    figure, axis = plt.subplots(figsize=(5, 3))
    for network in estimator.history_[:MOST_CURVES]:
        axis.plot(network["epochs"], network["scores"], linewidth=1.2)
    axis.set(xlabel="epoch", ylabel="score", title="Each network, on the rows that it left out")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def neutral(path):
    """Draw a small network: the thumbnail of examples without a picture."""
    with suppress(FileExistsError):
        path.parent.mkdir(parents=True)
    matplotlib.use("Agg")
    figure, axis = plt.subplots(figsize=(4, 2.8))
    layers = [[(column, (row - (size - 1) / 2)) for row in range(size)] for column, size in enumerate((3, 4, 2))]
    for left, right in pairwise(layers):
        for x0, y0 in left:
            for x1, y1 in right:
                axis.plot([x0, x1], [y0, y1], color="#8d8d8d", linewidth=0.8, zorder=1)
    for x, y in (unit for layer in layers for unit in layer):
        axis.scatter(x, y, s=260, color="#4c9ed9", zorder=2)
    axis.set_axis_off()
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return str(path)
