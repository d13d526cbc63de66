"""Arrays of contributions as a frame with the user's names."""

from __future__ import annotations

BASE, REPEATED = "(base value)", "(repeated rows)"


def contribution_frame(values, base, repeated, names, outputs, index):
    """Return a DataFrame whose rows sum to the predictions.

    Parameters
    ----------
    values : (k, n, c)
    base : (k,)
    repeated : (n, k) or None
        What training rows with the same features add.
    names : list of str
        Of the c columns.
    outputs : list
        Of the k outputs; with several they are the first level of the columns.
    index : pandas Index or None
    """
    import pandas as pd

    frames = {}
    for number, output in enumerate(outputs):
        frame = pd.DataFrame(values[number], columns=names, index=index)
        if repeated is not None:
            frame[REPEATED] = repeated[:, number]
        frame[BASE] = base[number]
        frames[output] = frame
    return frames[outputs[0]] if len(outputs) == 1 else pd.concat(frames, axis=1)
