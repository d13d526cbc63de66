"""Model files of all kinds with mutated descriptions and tensors, and a checksum that is right: `fuzz`.

By hand: ``python tests/fuzz_files.py 20000 1`` loads 20,000 files, the random ones of seed 1.
"""

import copy
import json
import os
import resource
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

import fastbp
from fastbp.io.saving import save_tensors

# More numbers than any network here has, and some that overflow here or there.
NUMBERS = [-1, 0, 1, 2, 3, 5, 7, 40, 1000, 10**6, 2**31 - 1, 2**31, 2**62, 2**63, 2**70, -(2**70), 0.5, 1e9, 1e308]
OTHERS = [None, True, "", "x", [], {}, [[]], [1, 2], float("nan"), float("inf"), "../x", {"class": "os/system"}]
# Bytes of memory that the process may have, the compiler's among them.
MEMORY = 8 * 2**30
ROWS = 3


def sequential_models():
    """Yield built networks of layers that index, or have much to say in their settings."""
    columns, categories = [fastbp.Columns([0, 1])], fastbp.Columns([2, 3])
    branches = [columns, [categories, fastbp.CategoryEmbedding([4, 5], [2, 3])], [categories, fastbp.OneHot([4, 5])]]
    yield [fastbp.Concatenate(branches), fastbp.Dense(3, "relu"), fastbp.Dense(2, "softmax")], (4,)
    yield [fastbp.Embedding(6, 4), fastbp.Flatten(), fastbp.Dense(2, "softmax")], (3,)
    yield [fastbp.Embedding(6, 4, mask_zero=True), fastbp.GRU(3), fastbp.Dense(2, "softmax")], (3,)
    image = [fastbp.Conv2D(3, 2, strides=1, padding="same", activation="relu"), fastbp.MaxPooling2D(2)]
    yield [*image, fastbp.Flatten(), fastbp.Dense(2, "softmax")], (4, 4, 2)
    pieces = fastbp.PiecewiseLinearEmbedding([[0.0, 1.0, 4.0], [-1.0, 1.0]], 3)
    yield [pieces, fastbp.Flatten(), fastbp.BatchNormalization(), fastbp.Dense(2, "softmax")], (2,)
    yield [fastbp.Reshape((2, 3)), fastbp.LayerNormalization(), fastbp.Flatten(), fastbp.Dense(2, "softmax")], (6,)


def states():
    """Return (kind, state, rows to predict) of valid models, states as JSON reads them."""
    found = []
    for layers, shape in sequential_models():
        model = fastbp.Sequential(layers, input_shape=shape, seed=0)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        found.append(("sequential", model.get_state(), None))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.integers(0, 3, 40)
    settings = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": np.random.RandomState(0)}
    for mlp in (fastbp.MLPClassifier(**settings, dropout=0.1), fastbp.MLPRegressor(**settings, early_stopping=True)):
        found.append(("estimator", mlp.fit(x, y).get_state(), None))
    frame = table(rng, 80)
    for tabular, target in ((fastbp.TabularClassifier, y), (fastbp.TabularRegressor, x[:, 0])):
        fitted = tabular("fast", time_limit=0.01, random_state=0).fit(frame, np.tile(target, 2))
        found.append(("tabular", fitted.get_state(), frame[:ROWS]))
    return [(kind, tensors, json.loads(json.dumps(text)), rows) for kind, (tensors, text), rows in found]


def table(rng, n):
    """Return a table with columns of all kinds."""
    many, few = rng.permutation(np.arange(n) % 12).astype(str), rng.choice(["x", "y", "z"], n)
    dates = pd.date_range("2020-01-01", periods=n, freq="D")
    numbers = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n))
    return pd.DataFrame({"number": numbers, "many": many, "few": few, "date": dates})


def places(value, path=()):
    """Yield the paths to all values in lists and dicts."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def at(value, path):
    """Return what stands at a path."""
    for key in path:
        value = value[key]
    return value


def mutate(rng, tensors, description, others):
    """Change something, in place: of the description, or of the tensors."""
    if rng.random() < 0.2:
        mutate_tensors(rng, tensors)
        return
    paths = [path for path in places(description) if path]
    # One number of a long list is as good as another.
    path = paths[rng.integers(len(paths))]
    holder, key = at(description, path[:-1]), path[-1]
    what = rng.integers(7)
    old = holder[key]
    if what == 0 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(old))
    elif what == 1:
        del holder[key]
    elif what == 2:
        other = others[rng.integers(len(others))]
        paths = [path for path in places(other) if path]
        holder[key] = copy.deepcopy(at(other, paths[rng.integers(len(paths))]))
    elif what == 3:
        holder[key] = OTHERS[rng.integers(len(OTHERS))]
    elif isinstance(old, list) and old and what == 4:
        holder[key] = old * 2 if rng.random() < 0.5 else old[:-1]
    elif isinstance(old, int | float) and what == 5:
        holder[key] = old + int(rng.choice([-1, 1, 100]))
    else:
        holder[key] = NUMBERS[rng.integers(len(NUMBERS))]


def mutate_tensors(rng, tensors):
    """Drop, swap, cut, extend, fill or turn one of the tensors."""
    names = sorted(tensors)
    name, other = names[rng.integers(len(names))], names[rng.integers(len(names))]
    array, what = tensors[name], rng.integers(6)
    if what == 0:
        del tensors[name]
    elif what == 1:
        tensors[name], tensors[other] = tensors[other], tensors[name]
    elif what == 2:
        tensors[name] = array[:-1] if array.ndim else array
    elif what == 3:
        tensors[name] = np.concatenate([array, array])
    elif what == 4:
        tensors[name] = np.full_like(array, rng.choice([0, 1, 200]))
    else:
        tensors[name] = np.ascontiguousarray(array.T)


def predictions(model, rows, around):
    """Return what a model predicts for a few rows that stand amid memory full of the number `around`."""
    if rows is not None:
        return model.predict(rows)
    shape = (model.n_features_in_,) if hasattr(model, "n_features_in_") else model.engine.network.input_shape
    size = ROWS * int(np.prod(shape))
    memory = np.full(size + 2 * 10**5, around, model.dtype if hasattr(model, "dtype") else model.model_.dtype)
    x = memory[10**5 : 10**5 + size].reshape(ROWS, *shape)
    x[...] = 1
    return model.predict(x)


def outcome(path, rows):
    """Load a file and predict; return what came of it, or raise what must not happen."""
    try:
        model = fastbp.load_model(path)
    except fastbp.ModelFileError:
        return "refused"
    try:
        one, two = (predictions(model, rows, around) for around in (3.0, 1e30))
    except MemoryError:
        return "too large for this machine"
    if len(one) != ROWS:
        raise AssertionError(f"{len(one)} predictions")
    np.testing.assert_array_equal(one, two)
    return "predicts"


def fuzz(n, seed):
    """Load n mutated files; return a count of what came of them, by kind."""
    rng, known, counts = np.random.default_rng(seed), states(), Counter()
    others = [description for _, _, description, _ in known]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m")
        for kind, tensors, description, rows in known:
            save_tensors(path, tensors, description)
            if outcome(path, rows) != "predicts":
                raise AssertionError(f"the {kind} itself is refused")
        for number in range(n):
            kind, tensors, description, rows = known[number % len(known)]
            tensors, changed = dict(tensors), copy.deepcopy(description)
            for _ in range(rng.integers(1, 3)):
                mutate(rng, tensors, changed, others)
            save_tensors(path, tensors, changed)
            # Where this process dies, the parent sees the file that did it.
            Path(os.environ.get("FUZZED", os.devnull)).write_bytes(path.read_bytes())
            try:
                counts[kind, outcome(path, rows)] += 1
            except BaseException as error:
                difference = [p for p in places(description) if not same_at(description, changed, p)][:9]
                raise AssertionError(f"file {number} of seed {seed} ({kind}), changed at {difference}") from error
    return counts


def same_at(one, other, path):
    """Do two descriptions have the same value at a path?"""
    try:
        return at(one, path) == at(other, path)
    except (KeyError, IndexError, TypeError):
        return False


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    # The disk need not have the files before the next one is written.
    os.fsync = lambda descriptor: None
    for key, count in sorted(fuzz(int(sys.argv[1]), int(sys.argv[2])).items()):
        print(*key, count)
