"""What decides on the networks of a fit to a table of Dask: by it a checkpoint knows the fit."""

from fastbp.tabular.checkpoint import digest, made_of
from fastbp.tabular.folds import ALL_ALIKE


def facts_of(digests, valid, recipe, objective, sample_rows):
    """Return what `checkpoint.made_of` does; of the table there are digests of whole partitions, X, y and weights."""
    facts = made_of(valid, None, recipe, objective, ALL_ALIKE)
    return {name: facts[name] for name in ("preset", "settings")} | {
        "X, y or sample_weight": digest(*digests),
        "eval_set or class_weight": digest(*valid),
        "sample_rows": str(sample_rows),
    }
