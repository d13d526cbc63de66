"""Model files: the same bits after loading, atomic writing, and files that are refused."""

import json
import os
import pickle
import struct
import warnings

import numba
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fastbp
from fastbp.activations import ACTIVATIONS
from fastbp.initializers import INITIALIZERS
from fastbp.io import files as _files
from fastbp.io import saving
from fastbp.io.saving import load_tensors, save_tensors
from fastbp.losses import LOSSES
from fastbp.optimizers import OPTIMIZERS
from fastbp.registry import describe, rebuild

RNG = np.random.default_rng(4)
X = RNG.normal(size=(40, 5)).astype("float32")
LABELS = (X[:, 0] > 0).astype(int)
SETTINGS = {"epochs": 2, "batch_size": 16, "verbose": 0}


def rich_model(optimizer="adam", dtype="float32"):
    """A model with every kind of layer and of setting."""
    layers = [
        fastbp.Dense(6, activation=fastbp.ELU(0.7), kernel_regularizer=fastbp.L1L2(1e-4, 1e-3), trainable=False),
        fastbp.PReLU(alpha_initializer=fastbp.Constant(0.3), alpha_regularizer="l2"),
        fastbp.Dropout(0.25),
        fastbp.Dense(4, use_bias=False, kernel_constraint=fastbp.MaxNorm(1.5), kernel_initializer=fastbp.Orthogonal()),
        fastbp.Activation(fastbp.LeakyReLU(0.2)),
        fastbp.Dense(2, activation="softmax", name="probabilities"),
    ]
    model = fastbp.Sequential(layers, seed=11, dtype=dtype)
    loss = fastbp.SparseCategoricalCrossentropy(label_smoothing=0.1)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy", "log_loss"])
    return model


def through_file(model, path, **settings):
    model.save(path)
    return fastbp.load_model(path, **settings)


OBJECTS = [
    *(OPTIMIZERS[name]() for name in sorted(OPTIMIZERS)),
    fastbp.SGD(fastbp.CosineDecay(0.05, 40, warmup_steps=4, warmup_target=0.1), momentum=0.9, nesterov=True),
    fastbp.RMSprop(0.01, momentum=0.5, centered=True, clipvalue=0.5),
    fastbp.Adam(fastbp.PiecewiseConstantDecay([3, 6], [0.1, 0.01, 0.001]), amsgrad=True, global_clipnorm=1.0),
    fastbp.AdamW(np.float32(0.01), weight_decay=np.float64(0.1)),
]


@pytest.mark.parametrize("optimizer", OBJECTS, ids=lambda optimizer: type(optimizer).__name__)
def test_same_predictions_and_same_continued_training(tmp_path, optimizer):
    model = rich_model(optimizer)
    model.fit(X, LABELS, **SETTINGS)
    twin = through_file(model, tmp_path / "m.fastbp")
    assert twin.optimizer == model.optimizer
    assert twin.loss == model.loss
    assert twin.layers == model.layers
    assert (twin.seed, twin.step, twin.engine.epoch) == (model.seed, model.step, model.engine.epoch)
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    assert twin.evaluate(X, LABELS) == model.evaluate(X, LABELS)
    histories = [each.fit(X, LABELS, validation_split=0.2, **SETTINGS).history for each in (model, twin)]
    assert histories[0] == histories[1]
    np.testing.assert_array_equal(twin.params, model.params)
    np.testing.assert_array_equal(twin.engine.state, model.engine.state)


def test_float64_and_a_file_of_a_file(tmp_path):
    model = fastbp.Sequential([fastbp.Dense(4, activation="tanh"), fastbp.Dense(1)], seed=0, dtype="float64")
    model.compile(optimizer="sgd", loss="mean_squared_error")
    model.fit(X, X[:, 0], **SETTINGS)
    twin = through_file(through_file(model, tmp_path / "a"), tmp_path / "b")
    assert twin.dtype == np.float64
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))


@pytest.mark.parametrize(
    "registry", [ACTIVATIONS, INITIALIZERS, LOSSES, OPTIMIZERS], ids=lambda registry: registry.kind
)
def test_everything_registered_is_described_in_json(registry):
    for name, cls in registry.items():
        settings = cls()
        text = json.dumps(describe(settings))
        assert rebuild(json.loads(text)) == settings, name


def test_settings_given_as_numpy_numbers_are_saved(tmp_path):
    layers = [
        fastbp.Dense(np.int64(3), kernel_regularizer=fastbp.L2(np.float32(0.5)), use_bias=np.bool_(False)),
        fastbp.Dropout(np.float32(0.5)),
        fastbp.Dense(
            1, kernel_constraint=fastbp.MaxNorm(np.int32(2)), bias_initializer=fastbp.Constant(np.float64(0.1))
        ),
    ]
    model = fastbp.Sequential(layers, input_shape=(np.int64(5),), seed=np.int32(3))
    model.compile(loss=fastbp.Huber(np.float32(1.5)))
    twin = through_file(model, tmp_path / "m")
    np.testing.assert_array_equal(twin.params, model.params)
    assert twin.loss.delta == 1.5


def test_uncompiled_models_predict_after_loading(tmp_path):
    model = fastbp.Sequential([fastbp.Dense(2)], input_shape=(5,))
    twin = through_file(model, str(tmp_path / "m"))
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    assert twin.seed == model.seed
    with pytest.raises(ValueError, match="needs a compiled model"):
        twin.fit(X, LABELS)


def test_the_file_is_plain_safetensors(tmp_path):
    model = rich_model()
    model.fit(X, LABELS, **SETTINGS)
    model.save(tmp_path / "m")
    tensors = load_file(tmp_path / "m")
    assert set(tensors) == {*model.views, "optimizer/state"}
    for name, view in model.views.items():
        np.testing.assert_array_equal(tensors[name], view)


# Losses and metrics of one's own


@numba.njit
def squares(y_true, y_pred, dout):
    error = y_pred[0] - y_true[0]
    dout[0] = 2 * error
    return error * error


def bias(y_true, y_pred):
    return (y_pred - y_true).mean()


def own_model(loss, metrics):
    model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    model.compile(optimizer="adam", loss=loss, metrics=metrics)
    model.fit(X, X[:, 0], **SETTINGS)
    return model


def test_custom_objects(tmp_path):
    model = own_model(fastbp.CustomLoss(squares, name="squares"), [bias, "mean_absolute_error"])
    given = {"squares": fastbp.CustomLoss(squares, name="squares"), "bias": bias}
    twin = through_file(model, tmp_path / "m", custom_objects=given)
    assert twin.fit(X, X[:, 0], **SETTINGS).history == model.fit(X, X[:, 0], **SETTINGS).history
    np.testing.assert_array_equal(twin.params, model.params)


@pytest.mark.parametrize(
    ("loss", "metrics", "missing"),
    [(fastbp.CustomLoss(squares, name="squares"), [], "squares"), ("mean_squared_error", [bias], "bias")],
)
def test_missing_custom_objects_leave_a_model_that_predicts(tmp_path, loss, metrics, missing):
    model = own_model(loss, metrics)
    model.save(tmp_path / "m")
    with pytest.warns(
        UserWarning, match=f"trained with '{missing}', which a file cannot hold.*custom_objects"
    ) as caught:
        twin = fastbp.load_model(tmp_path / "m")
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    twin.compile(loss="mean_squared_error")
    twin.fit(X, X[:, 0], **SETTINGS)


def test_a_function_that_is_named_as_a_known_metric_is_not_taken_for_it(tmp_path):
    def accuracy(y_true, y_pred):
        return 7.0

    model = own_model("mean_squared_error", [accuracy])
    with pytest.warns(UserWarning, match="trained with 'accuracy'"):
        through_file(model, tmp_path / "m")
    twin = through_file(model, tmp_path / "m", custom_objects={"accuracy": accuracy})
    assert twin.evaluate(X, X[:, 0])[1] == 7.0


def test_objects_that_are_no_custom_objects(tmp_path):
    own_model("mean_squared_error", []).save(tmp_path / "m")
    with pytest.raises(TypeError, match=r"custom_objects\['squares'\] is 3: give a fastbp.CustomLoss"):
        fastbp.load_model(tmp_path / "m", custom_objects={"squares": 3})


# Writing


def test_saving_replaces_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "m.fastbp"
    first, second = rich_model(), rich_model("sgd")
    for model in (first, second):
        model.build((5,))
        model.save(path)
        assert [entry.name for entry in tmp_path.iterdir()] == ["m.fastbp"]
    assert fastbp.load_model(path).optimizer == second.optimizer


@pytest.mark.parametrize("failing", ["replace", "fsync"])
def test_a_failing_write_leaves_the_old_file_and_no_temporary(tmp_path, monkeypatch, failing):
    path = tmp_path / "m"
    model = rich_model()
    model.build((5,))
    model.save(path)
    before = path.read_bytes()
    model.params[:] = 0

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_files_get_the_mode_of_any_new_file(tmp_path):
    mask = os.umask(0o027)
    try:
        save_tensors(tmp_path / "m", {"a": np.zeros(2)}, {})
    finally:
        os.umask(mask)
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o640


def test_saving_into_a_missing_folder(tmp_path):
    model = rich_model()
    model.build((5,))
    with pytest.raises(FileNotFoundError, match=r"cannot save .*m: there is no folder"):
        model.save(tmp_path / "missing" / "m")


def test_tensors_of_all_shapes_and_types_come_back(tmp_path):
    tensors = {
        "a": np.arange(6, dtype="float32").reshape(2, 3),
        "b": np.zeros((0, 3)),
        "c": np.arange(6).reshape(3, 2).T,
        "d": np.array([True, False]),
        "e": np.arange(3, dtype="uint8"),
    }
    save_tensors(tmp_path / "m", tensors, {"kind": "test", "text": "naïve \n ☃"})
    loaded, description = load_tensors(tmp_path / "m")
    assert description == {"kind": "test", "text": "naïve \n ☃"}
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(loaded[name], tensor)
        assert loaded[name].dtype == tensor.dtype


# Files that are refused


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m"
    model = rich_model()
    model.build((5,))
    model.save(path)
    return path.read_bytes()


def refused(path, match):
    with pytest.raises(fastbp.ModelFileError, match=match) as caught:
        fastbp.load_model(path)
    assert str(path) in str(caught.value)


def test_truncated_files(tmp_path, content):
    path = tmp_path / "m"
    for size in [0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 1]:
        path.write_bytes(content[:size])
        refused(path, "is not a whole model file .*Was it cut short")
    path.write_bytes(content + b"more")
    refused(path, "is not a whole model file")


def test_a_changed_byte_anywhere_is_noticed(tmp_path, content):
    path = tmp_path / "m"
    for place in np.random.default_rng(0).integers(0, len(content), 300):
        changed = bytearray(content)
        changed[place] ^= 1 << int(place % 8)
        path.write_bytes(changed)
        try:
            model = fastbp.load_model(path)
        except fastbp.ModelFileError:
            continue
        # White space of the header may change without a loss.
        path.write_bytes(content)
        np.testing.assert_array_equal(model.params, fastbp.load_model(path).params)
        assert content[place : place + 1] == b" "


def test_foreign_files(tmp_path):
    path = tmp_path / "m"
    for foreign in [b"a,b\n1,2\n" * 99, b"\x80\x04" + pickle.dumps([1] * 99), b"PK\x03\x04" + bytes(999), bytes(999)]:
        path.write_bytes(foreign)
        refused(path, "is not a whole model file")
    save_file({"weight": np.zeros(3)}, path)
    refused(path, "is a safetensors file, but not one that fastbp wrote")
    save_file({"weight": np.zeros(3)}, path, metadata={"format": "pt"})
    refused(path, "not one that fastbp wrote")


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no model file"):
            fastbp.load_model(path)


def test_newer_files(tmp_path, monkeypatch):
    model = rich_model()
    model.build((5,))
    monkeypatch.setattr(saving, "FORMAT_VERSION", 2)
    model.save(tmp_path / "m")
    monkeypatch.undo()
    refused(tmp_path / "m", "has format version 2; this fastbp reads up to 1: upgrade fastbp")


def test_types_of_numbers_that_numpy_has_not(tmp_path):
    header = {
        "a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]},
        "__metadata__": {"fastbp": '{"version": 1}'},
    }
    text = json.dumps(header).encode()
    (tmp_path / "m").write_bytes(struct.pack("<Q", len(text)) + text + bytes(2))
    with pytest.raises(fastbp.ModelFileError):
        fastbp.load_model(tmp_path / "m")


def edited(change):
    """Return the tensors and description of a model after `change(tensors, description)`."""
    model = rich_model()
    model.build((5,))
    tensors, description = model.get_state()
    description = json.loads(json.dumps(description))
    change(tensors, description)
    return tensors, description


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, d: t.pop("dense/kernel"), "the tensor 'dense/kernel' is missing"),
        (lambda t, d: t.update({"dense/kernel": np.zeros((2, 2), "f4")}), r"'dense/kernel' has shape \(2, 2\)"),
        (lambda t, d: t.pop("optimizer/state"), "'optimizer/state' should have shape"),
        (lambda t, d: d.pop("layers"), "does not describe a whole model"),
        (lambda t, d: d.update(layers=5), "does not describe a whole model"),
        (lambda t, d: d.update(layers=["Dense"]), "does not describe a whole model"),
        (lambda t, d: d.update(input_shape=None), "does not describe a whole model"),
        (lambda t, d: d.update(step="x"), "does not describe a whole model"),
        (lambda t, d: d.update(dtype="float8"), "does not describe a whole model"),
        (lambda t, d: d.update(kind="forest"), "holds a model of unknown kind 'forest': upgrade fastbp"),
        (
            lambda t, d: d["layers"][0].update({"class": "layer/Transformer"}),
            "unknown layer 'Transformer'.*newer fastbp",
        ),
        (lambda t, d: d["layers"][0].update({"class": "os/system"}), "unknown os 'system'"),
        (lambda t, d: d["layers"][0]["settings"].update(units=-1), "units=-1"),
        (lambda t, d: d["layers"][0]["settings"].update(units=10**15), "does not describe a whole model"),
        (lambda t, d: d["layers"][0]["settings"].update(surprise=1), "surprise"),
        (lambda t, d: d["optimizer"]["settings"].update(learning_rate="high"), "learning_rate='high'"),
    ],
)
def test_descriptions_that_make_no_model(tmp_path, change, message):
    save_tensors(tmp_path / "m", *edited(change))
    refused(tmp_path / "m", message)


def test_loading_runs_no_code_of_the_file(tmp_path, monkeypatch):
    for name in ("load", "loads"):
        monkeypatch.setattr(pickle, name, lambda *arguments: pytest.fail("a pickle was read"))
    calls = []
    monkeypatch.setattr(os, "system", calls.append)

    def attack(tensors, description):
        description["layers"][0]["settings"]["activation"] = {"class": "os/system", "settings": {"command": "true"}}
        description["loss"] = "__import__('os').system('true')"

    save_tensors(tmp_path / "m", *edited(attack))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused(tmp_path / "m", "unknown os 'system'")
    assert calls == []


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """After a power cut the path names the old file or the new one, whole: all bytes are synced, then renamed."""
    model = fastbp.Sequential([fastbp.Dense(2)], input_shape=(3,), seed=0)
    path, events = tmp_path / "model.fastbp", []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor):
        fsync(descriptor)
        events.append(os.fstat(descriptor).st_size)

    def noted_replace(source, target):
        events.append((os.stat(source).st_size, os.fspath(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    model.save(path)
    size = path.stat().st_size
    assert events[:2] == [size, (size, str(path))]


@pytest.mark.parametrize("raised", [TimeoutError, type("TimeUp", (Exception,), {})])
def test_what_a_signal_handler_raises_while_loading_is_no_fault_of_the_file(tmp_path, monkeypatch, raised):
    path = tmp_path / "m.fastbp"
    fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0).save(path)

    def stopped(*arguments):
        raise raised("a time limit")

    monkeypatch.setattr(fastbp.Sequential, "from_state", stopped)
    with pytest.raises(raised, match="a time limit"):
        fastbp.load_model(path)
