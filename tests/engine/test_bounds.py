"""Nothing indexes memory by a number that somebody changed: ids, classes and settings, in processes that may crash."""

import subprocess
import sys

import numpy as np
import pytest

import fastbp
from fastbp.engine.driver_call import Data

STRANGERS = [1000.0, 1e9, -1.0, 1e30, -1e30, np.inf, np.nan]
NETWORKS = {
    "embedding": lambda: [fastbp.Embedding(50, 8), fastbp.Flatten(), fastbp.Dense(1)],
    "lazy": lambda: [fastbp.Embedding(50, 8, lazy=True), fastbp.Flatten(), fastbp.Dense(1)],
    "mask": lambda: [fastbp.Embedding(50, 8, mask_zero=True), fastbp.GRU(4), fastbp.Dense(1)],
    "one_hot": lambda: [fastbp.OneHot([50] * 5), fastbp.Dense(1)],
    "categories": lambda: [fastbp.CategoryEmbedding([50] * 5, 4), fastbp.Dense(1)],
    "lazy_categories": lambda: [fastbp.CategoryEmbedding([50] * 5, 4, lazy=True), fastbp.Dense(1)],
}


def ids(rows=200):
    return np.random.default_rng(0).integers(0, 50, (rows, 5)).astype("float32")


def changes_during_fit(name, stranger):
    """Train, change an id of row 7 in the second epoch; return the error. A crash ends the process."""
    x, y = ids(), np.random.default_rng(1).normal(size=200)
    model = fastbp.Sequential(NETWORKS[name](), seed=0)
    model.compile(fastbp.Adam(), "mean_squared_error")
    change = fastbp.LambdaCallback(on_epoch_begin=lambda epoch, logs: epoch and x.__setitem__((7, 2), stranger))
    try:
        model.fit(x, y, epochs=3, batch_size=16, verbose=0, callbacks=[change])
    except fastbp.TrainingDiverged as error:
        good = np.isfinite(model.params).all()
        outputs = model.engine.predict(x)
        assert np.isnan(outputs[7]).all(), "the stranger's row"
        assert np.isfinite(np.delete(outputs, 7, 0)).all(), "the other rows"
        return str(error) if good else "the parameters are not finite"
    return "no error"


def all_changes():
    for name in NETWORKS:
        for stranger in STRANGERS:
            print(changes_during_fit(name, stranger))


def in_a_process(function):
    """Run a function of this module in a process of its own; return the lines that it printed."""
    code = f"from {__name__} import {function}; {function}()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.splitlines()


def test_ids_that_change_during_training_are_an_error_that_names_them():
    lines = in_a_process("all_changes")
    assert len(lines) == len(NETWORKS) * len(STRANGERS)
    for line, stranger in zip(lines, STRANGERS * len(NETWORKS), strict=True):
        assert f"x[7, 2] is {stranger:g}" in line
        assert "x was changed while the model trained on it. The weights of the last good epoch are kept." in line


def classes_that_change():
    """Class numbers are the model's own copy, whatever becomes of the user's array."""
    x = np.random.default_rng(0).normal(size=(100, 3)).astype("float32")
    y, histories = (x[:, 0] > 0).astype("float32"), []
    for stranger in (0.0, 1000.0, 1e9, -1e30, np.nan):
        targets = y.copy()
        model = fastbp.Sequential([fastbp.Dense(2, "softmax")], seed=0)
        model.compile("adam", "sparse_categorical_crossentropy")
        change = fastbp.LambdaCallback(on_epoch_begin=lambda epoch, logs, y=targets, v=stranger: y.fill(v))
        data = {"epochs": 2, "verbose": 0, "callbacks": [change], "validation_data": (x, targets)}
        histories.append(model.fit(x, targets, **data).history)
    print(all(history == histories[0] for history in histories))


def test_classes_that_change_during_training_do_not_matter():
    assert in_a_process("classes_that_change") == ["True"]


def classes_out_of_range():
    """The kernel itself, which gets classes that no check has seen."""
    for loss in ("sparse_categorical_crossentropy", fastbp.SparseCategoricalCrossentropy(label_smoothing=0.1)):
        for members in (1, 3):
            outputs = [fastbp.Dense(2, "softmax")] if members == 1 else member_layers(members)
            model = fastbp.Sequential(outputs, input_shape=(3,), seed=0)
            model.compile("sgd", loss if members == 1 else fastbp.MemberLoss(loss, members))
            engine, x = model.engine, np.ones((8, 3), "float32")
            for stranger in STRANGERS:
                y = np.zeros((8, 1), "float32")
                y[5] = stranger
                with engine.runner(8, engine.training_purpose(), 1) as runner:
                    steps = engine.one_step(runner, 8, True)
                    loss_value = runner.run(engine.params, engine.grads, steps, Data(x, y), backward=True)[0]
                print(bool(np.isnan(loss_value)), bool(np.isnan(engine.grads).all()))


def member_layers(members):
    return [fastbp.RepeatMembers(members), fastbp.MemberDense(2, "softmax"), fastbp.MemberMean()]


def test_classes_out_of_range_make_the_loss_and_its_gradient_nan():
    lines = in_a_process("classes_out_of_range")
    assert lines == ["True True"] * (4 * len(STRANGERS))


EDITS = {
    "columns": (lambda: [fastbp.Columns([0, 1]), fastbp.Dense(1)], {"columns": (0, 10**6)}, "Columns takes columns"),
    "negative": (lambda: [fastbp.Columns([0, 1]), fastbp.Dense(1)], {"columns": (0, -(10**6))}, "column numbers"),
    "more": (lambda: [fastbp.Columns([0, 1]), fastbp.Dense(1)], {"columns": (0, 1, 2)}, "was changed"),
    "input_dim": (NETWORKS["embedding"], {"input_dim": 10**6}, "'embedding' was changed after the model was built"),
    "output_dim": (NETWORKS["embedding"], {"output_dim": 900}, "was changed after the model was built"),
    "tables": (NETWORKS["categories"], {"cardinalities": (10**6,) * 5}, "was changed after the model was built"),
    "dims": (NETWORKS["categories"], {"output_dims": (900,) * 5}, "was changed after the model was built"),
    "one_hot": (NETWORKS["one_hot"], {"cardinalities": (10**6,) * 5}, "was changed after the model was built"),
    "units": (lambda: [fastbp.Dense(3), fastbp.Dense(1)], {"units": 10**5}, "was changed after the model was built"),
}


def used(layers, settings, use):
    """Return the parameters and predictions of a model whose first layer was changed after building, before `use`."""
    model = fastbp.Sequential(layers(), input_shape=(5,), seed=0)
    model.compile("sgd", "mean_squared_error")
    for name, value in settings.items():
        setattr(model.layers[0], name, value)
    if use == "fit":
        model.fit(ids(9), np.zeros(9), verbose=0)
    return model.params.tolist(), model.predict(ids(9)).tolist()


def all_edits():
    for layers, settings, _ in EDITS.values():
        for use in ("predict", "fit"):
            try:
                same = used(layers, settings, use) == used(layers, {}, use)
                print("as built" if same else "changed")
            except (ValueError, AttributeError) as error:
                print("refused:", str(error).replace("\n", " "))


def test_layers_that_were_changed_after_building_are_refused_or_run_as_they_were_built():
    lines = in_a_process("all_edits")
    assert len(lines) == 2 * len(EDITS)
    for line in lines:
        assert line == "as built" or line.startswith("refused:")


def test_a_placed_layer_whose_spec_was_changed_is_refused():
    for layers, settings, message in EDITS.values():
        model = fastbp.Sequential(layers(), input_shape=(5,), seed=0)
        placed = model.engine.network.layers[0]
        for name, value in settings.items():
            vars(placed.spec)[name] = value
        with pytest.raises(ValueError, match=message):
            placed.as_set()


def test_the_shape_of_an_array_may_change_while_it_is_read():
    x, validation = ids(64), ids(40)
    model = fastbp.Sequential(NETWORKS["embedding"](), seed=0)
    model.compile("sgd", "mean_squared_error")

    def reshape(epoch, logs):
        for array in (x, validation):
            array.shape = (array.size, 1)

    data = {"verbose": 0, "epochs": 2, "validation_data": (validation, np.zeros(40))}
    history = model.fit(x, np.zeros(64), callbacks=[fastbp.LambdaCallback(on_epoch_begin=reshape)], **data).history
    twin = fastbp.Sequential(NETWORKS["embedding"](), seed=0)
    twin.compile("sgd", "mean_squared_error")
    data["validation_data"] = (ids(40), np.zeros(40))
    assert twin.fit(ids(64), np.zeros(64), **data).history == history


def test_the_engine_looks_at_the_width_of_rows():
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(5,), seed=0)
    with pytest.raises(ValueError, match=r"x has rows of shape \(4,\); the model takes \(5,\)"):
        model.engine.predict(np.zeros((3, 4), "float32"))


@pytest.mark.parametrize("layer", [lambda: fastbp.Dense(2**62), lambda: fastbp.Conv2D(2, 2, strides=2**62)])
def test_sizes_that_overflow_are_refused(layer):
    with pytest.raises(ValueError, match=r"(below 2\*\*31|sizes are whole numbers)"):
        layer()


def test_networks_that_no_memory_holds_are_refused():
    with pytest.raises(ValueError, match="layer 'dense' would need 2251799812636672 numbers in one place"):
        fastbp.Sequential([fastbp.Dense(2**31 - 1)], input_shape=(2**20,))
