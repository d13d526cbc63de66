"""Data sets of a folder with an index.json, and their fixed splits into training and test rows."""

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

MOST_TRAINING_ROWS = 10_000


class Split(NamedTuple):
    """Training and test rows of one data set: frames, and targets as codes or float64 values."""

    train: pd.DataFrame
    y_train: np.ndarray
    test: pd.DataFrame
    y_test: np.ndarray
    n_classes: int  # 0: regression


def folder():
    """Return the suite's folder: ``FASTBP_DATA``, or ``dev`` in it; None where there is none."""
    root = Path(os.environ.get("FASTBP_DATA", "."))
    return next((place for place in (root, root / "dev") if (place / "index.json").exists()), None)


def entries(place, names=()):
    """Return the index's entries of those data sets (all, by default)."""
    index = json.loads((place / "index.json").read_text())
    found = [entry for entry in index["datasets"] if "file" in entry]
    unknown = set(names) - {entry["name"] for entry in found}
    if unknown:
        raise SystemExit(f"no data set {', '.join(sorted(unknown))} in {place}.")
    return [entry for entry in found if not names or entry["name"] in names]


def load(place, entry):
    """Return (frame, target): text as categories, classes as codes in the order of their names."""
    frame = pd.read_csv(place / entry["file"], keep_default_na=False, na_values=[""])
    frame = frame[frame[entry["target"]].notna()]
    target = frame.pop(entry["target"])
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
            frame[name] = frame[name].astype("string").fillna("nan_").astype("category")
    # Some libraries of trees refuse names with other characters.
    frame.columns = [re.sub(r"\W", "_", str(name)) + f"_{i}" for i, name in enumerate(frame.columns)]
    if entry["task"] == "regression":
        return frame, target.to_numpy(float)
    return frame, pd.factorize(target.astype(str), sort=True)[0]


def split(frame, target, is_regression, seed):
    """Return a `Split`: a fifth of the rows to test, at most `MOST_TRAINING_ROWS` of the others to train."""
    stratify = None if is_regression or np.bincount(target).min() < 2 else target
    train, test, y_train, y_test = train_test_split(frame, target, test_size=0.2, random_state=seed, stratify=stratify)
    if len(train) > MOST_TRAINING_ROWS:
        kept = np.random.default_rng(seed).permutation(len(train))[:MOST_TRAINING_ROWS]
        train, y_train = train.iloc[kept], y_train[kept]
    if is_regression:
        return Split(train, y_train, test, y_test, 0)
    # Nobody can predict a class that training does not have.
    classes = np.unique(y_train)
    known = np.isin(y_test, classes)
    y_train, y_test = np.searchsorted(classes, y_train), np.searchsorted(classes, y_test[known])
    return Split(train, y_train, test[known], y_test, len(classes))
