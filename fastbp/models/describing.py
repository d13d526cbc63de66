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

    Raises
    ------
    ValueError
        Where the model is not built.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dense(1)], input_shape=(3,)).summary()
    layer    kind   output shape  params  multiply-adds a row
    ---------------------------------------------------------
    dense    Dense  (n, 8)        32      24
    dense_1  Dense  (n, 1)        9       8
    ---------------------------------------------------------
    inputs (n, 3), float32
    params 41: 41 trainable, 0 not
    multiply-adds 32 a row of a batch, forward; about three times as many in training
    memory ... B: params, gradient, optimizer state and the workspaces made so far
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

    Raises
    ------
    ValueError
        Where the model is not built.

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

    Raises
    ------
    ValueError
        Where the model is not built.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0)
    >>> print(model.card(license="MIT", date="2026-11-27"))
    # Model card: a fastbp.Sequential
    ...
    - **parameters**: 4, float32
    - **seed**: 0
    - **licence**: MIT
    ...
    """
    from fastbp.models.card import network_card

    self._built("card")
    self.tell_changes()
    return network_card(self, license=license, date=date)
