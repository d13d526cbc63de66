"""What a model tells of itself: its summary, its picture, its card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastbp.models.diagram import diagram
from fastbp.models.summary import summary_text

if TYPE_CHECKING:
    from fastbp.models.diagram import Diagram


def summary(self) -> None:
    """Print the layers with their output shapes, parameters and multiply-adds a row, the totals and the memory.

    Multiply-adds are those of products, forward.
    """
    print(self._summary())


def plot(self, path: str | Path | None = None) -> Diagram:
    """Draw the network: its layers from the input down, branches side by side, with shapes and parameters.

    Parameters
    ----------
    path : str or path, optional
        Where to write the picture: "net.svg" or "net.html".

    Returns
    -------
    Diagram
        A notebook shows it; its `svg` is the picture, and `save` writes it to a file.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Dense(4, "relu"), fastbp.Dense(1)], input_shape=(3,), seed=0)
    >>> model.plot().svg.startswith("<svg")
    True
    """
    drawn = diagram(self._built("plot").network)
    if path is not None:
        drawn.save(path)
    return drawn


def _summary(self):
    """Return the text of `summary`."""
    engine = self._built("summary")
    self.tell_changes()
    return summary_text(engine)


def card(self, *, license: str | None = None, date: str | None = None) -> str:
    """Return a model card: its shapes, layers, training, versions and limits, as Markdown.

    Parameters
    ----------
    license, date : str, optional
        Of the model: files keep neither, so that the same training gives the same bytes.

    Returns
    -------
    str
    """
    from fastbp.models.card import network_card

    self._built("card")
    self.tell_changes()
    return network_card(self, license=license, date=date)
