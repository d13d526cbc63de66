"""Predictions of many rows in parts, between which a bar moves on."""

import numpy as np

from fastbp.callbacks.fraction_bar import ShareBar

# A multiple of the rows of a plan: each row has the bits that it has in one call for all.
ROWS = 65536


def predict_with_bar(engine, x, verbose):
    """x (n, d) -> predictions (n, k), as `engine.predict` does; stateful layers see all rows in one call."""
    with ShareBar("predicting", bar=verbose == 1) as tell:
        if engine.network.batch_size is not None or len(x) <= ROWS:
            predicted = engine.predict(x)
        else:
            parts = []
            for first in range(0, len(x), ROWS):
                parts.append(engine.predict(x[first : first + ROWS]))
                tell((first + len(parts[-1])) / len(x))
            predicted = np.concatenate(parts)
        tell(1.0)
    return predicted
