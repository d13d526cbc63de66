"""What each choice of the tabular recipe is worth: the suite's losses with one choice changed, beside the recipe's own.

    FASTBP_DATA=folder python asv_benchmarks/ablate_tabular.py [--networks 3] [--splits 1] [--only adult]
        [--variants "no waves,width 64"]

The losses of `compare_tabular.py`, as geometric means of ratios over the data sets: above 1 is worse without the
choice.  They do not depend on the machine's load.
"""

import argparse
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from unittest.mock import patch

from compare_tabular import measured
from tabular import suite
from tabular.table import geometric_mean, loss_ratio

import fastbp
from fastbp.tabular import classifier, estimator, networks, scaling
from fastbp.tabular.recipe import PRESETS


@contextmanager
def scaled_by_the_range():
    """RealMLP's scale for columns whose quartiles are the same: half the range."""
    with patch.object(scaling, "_median_distance", lambda values, counts, median: (values.max() - values.min()) / 2):
        yield


@contextmanager
def not_calibrated():
    """Probabilities as the networks give them."""
    with patch.object(classifier, "fit_temperature", lambda *arguments: 1.0):
        yield


@contextmanager
def repeats_not_used():
    """The networks' predictions as they are, also where training has rows with the same features."""
    with patch.object(estimator, "found_strength", lambda *arguments: None):
        yield


@contextmanager
def as_many_knots():
    """As many knots for columns that have one value in most rows as for others."""
    with patch.object(networks, "is_spiked", lambda values: False):
        yield


@contextmanager
def twice_the_functions():
    """Eight piecewise linear functions of each numeric column."""
    with patch.object(networks, "PIECES_WIDTH", 8):
        yield


# What is changed of the recipe, and in which context it runs.
VARIANTS = {
    "one network": ({"networks": 1, "few_rows_networks": 1}, nullcontext),
    "twice the networks": ({"networks": 2.0, "few_rows_networks": 2.0}, nullcontext),
    "validation parts of a fifth": ({"folds": 5}, nullcontext),
    "no waves": ({"n_frequencies": 0}, nullcontext),
    "8 waves": ({"n_frequencies": 8}, nullcontext),
    "no piecewise functions": ({"n_knots": 0}, nullcontext),
    "8 piecewise functions": ({}, twice_the_functions),
    "spiked columns: no more knots": ({}, as_many_knots),
    "spiked columns: scaled by the range": ({}, scaled_by_the_range),
    "no running means": ({"averaging": 1e-9}, nullcontext),
    "24 epochs": ({"epochs": 24, "least_steps": 250}, nullcontext),
    "few rows: batches of 256": ({"few_rows_batch_size": 256}, nullcontext),
    "repeated rows not used": ({}, repeats_not_used),
    "no temperature": ({}, not_calibrated),
    "dropout 0.1": ({"dropout": 0.1}, nullcontext),
    "no weight decay": ({"weight_decay": 0.0}, nullcontext),
    "half the learning rates": ({"classification_rate": 0.02, "regression_rate": 0.1}, nullcontext),
    "two hidden layers": ({"hidden": ((128, 128),)}, nullcontext),
    "width 64": ({"hidden": ((64, 64, 64),)}, nullcontext),
    "width 256": ({"hidden": ((256, 256, 256),)}, nullcontext),
    "batches of 128": ({"batch_size": 128}, nullcontext),
}


def main():
    """Run the variants that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--splits", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    options = parser.parse_args()
    place = suite.folder()
    if place is None:
        raise SystemExit("no data: set FASTBP_DATA to a folder with an index.json.")
    recipe = replace(PRESETS["default"], networks=options.networks, few_rows_networks=options.networks)
    splits = []
    for entry in suite.entries(place, [name for name in options.only.split(",") if name]):
        frame, target = suite.load(place, entry)
        splits += [suite.split(frame, target, entry["task"] == "regression", i) for i in range(options.splits)]
    own = [loss_of(recipe, split) for split in splits]
    for name in options.variants.split(","):
        changes, context = VARIANTS[name]
        # A float is a factor.
        changes = {key: int(value * options.networks) if value == 2.0 else value for key, value in changes.items()}
        with context():
            losses = [loss_of(replace(recipe, **changes), split) for split in splits]
        ratios = [loss_ratio(loss, reference) for loss, reference in zip(losses, own, strict=True)]
        worse = sum(ratio > 1 for ratio in ratios)
        print(f"{name:40s}{geometric_mean(ratios):8.4f}   worse on {worse} of {len(splits)}", flush=True)


def loss_of(recipe, split):
    """Return the loss of an ensemble of a recipe on a split."""
    with patch.dict(PRESETS, {"fast": recipe}):
        estimator = fastbp.TabularClassifier if split.n_classes else fastbp.TabularRegressor
        return measured(estimator("fast", random_state=0), split)["loss"]


if __name__ == "__main__":
    main()
