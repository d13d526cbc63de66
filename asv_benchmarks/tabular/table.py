"""The table of results: losses by data set and learner, ranks, wins, geometric means of losses and times.

A loss is the log loss, or the root mean squared error divided by the target's deviation.  In geometric means losses
under 0.01 count as 0.01, and the ratio of one data set is limited to a half and to 2: one tiny set must not decide.
"""

import math
from collections import defaultdict

import numpy as np

LEAST_LOSS, MOST_RATIO = 0.01, 2.0


def print_table(results, reference):
    """Print what the rows, dicts of one fit each, say of every learner beside the reference (or the first one)."""
    cells = defaultdict(dict)
    for row in results:
        cells[row["dataset"], row["split"]][row["method"]] = row
    methods = sorted({row["method"] for row in results})
    reference = reference if reference in methods else methods[0]
    print("loss".ljust(24) + "".join(method.rjust(13) for method in methods))
    for (dataset, number), row in cells.items():
        losses = [f"{row[method]['loss']:.4f}" if method in row else "" for method in methods]
        print(f"{dataset} {number}".ljust(24) + "".join(loss.rjust(13) for loss in losses))
    complete = [row for row in cells.values() if len(row) == len(methods)]
    print(f"\non the {len(complete)} splits that all have, beside {reference}:")
    print(
        "".ljust(14)
        + "mean rank   better on   geo-mean loss   geo-mean fit time   mean score   total fit   total predict"
    )
    for method in methods:
        own = [row[method] for row in complete]
        ranks = [1 + sum(other["loss"] < row[method]["loss"] for other in row.values()) for row in complete]
        better = sum(row[method]["loss"] < row[reference]["loss"] for row in complete)
        loss = geometric_mean([loss_ratio(row[method]["loss"], row[reference]["loss"]) for row in complete])
        seconds = geometric_mean([row[method]["fit_s"] / row[reference]["fit_s"] for row in complete])
        print(
            method.ljust(14) + f"{np.mean(ranks):9.2f}" + f"{better:9d}/{len(complete)}" + f"{loss:16.4f}"
            f"{seconds:20.3g}" + f"{np.mean([row['score'] for row in own]):13.4f}"
            f"{sum(row['fit_s'] for row in own):10.1f} s" + f"{sum(row['predict_s'] for row in own):14.2f} s"
        )  # fmt: skip


def loss_ratio(loss, reference):
    """Return a ratio of losses, both at least `LEAST_LOSS`, within 1 / `MOST_RATIO` and `MOST_RATIO`."""
    ratio = max(loss, LEAST_LOSS) / max(reference, LEAST_LOSS)
    return min(max(ratio, 1 / MOST_RATIO), MOST_RATIO)


def geometric_mean(values):
    """Return the geometric mean."""
    return math.exp(np.mean(np.log(values))) if values else float("nan")
