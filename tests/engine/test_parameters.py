"""What predictions keep of the weights: nothing that anybody has written over, however he did it."""

import copy
import ctypes
import pickle
import threading

import joblib
import numpy as np
import pytest

import fastbp
from fastbp import Dense, layers
from fastbp.engine.driver_call import Job
from fastbp.engine.parameters import Parameters
from fastbp.engine.runner import Runner
from fastbp.solvers.levenberg import levenberg_marquardt

RNG = np.random.default_rng(5)
# 400 rows have work for two threads.  60 x 100 weights are packed; 3 rows alone would not pack them.
X, Y = RNG.standard_normal((400, 60)), RNG.standard_normal((400, 2))
FEW = X[:3]


def made(dtype="float32", seed=0, optimizer=None, compiled=True):
    layers = [Dense(100, "relu", kernel_regularizer=fastbp.L2(1e-4)), Dense(2)]
    model = fastbp.Sequential(layers, input_shape=(60,), seed=seed, dtype=dtype)
    if compiled:
        model.compile(optimizer or fastbp.Adam(0.01), "mean_squared_error")
    return model


def assert_fresh(model, x=X, few=FEW):
    """Compare predictions with those of a new model that has the same weights, and packs them for the first time."""
    found = model.predict(x), model.predict(few), model.predict(x)
    loss = model.evaluate(X, Y) if x is X else None
    other = fastbp.Sequential(copy.deepcopy(model.engine.layers), input_shape=x.shape[1:], seed=9, dtype=model.dtype)
    other.set_weights(model.get_weights())
    for one, expected in zip(found, (other.predict(x), other.predict(few), other.predict(x)), strict=True):
        np.testing.assert_array_equal(one, expected)
    if loss is not None:
        other.compile("sgd", "mean_squared_error")
        assert loss == other.evaluate(X, Y)


@pytest.fixture
def packs(monkeypatch):
    """Return a list to which each call that could keep what is packed adds whether it packs."""
    found, prepare_first = [], Job.prepare_first

    def noted(job, wanted):
        found.append(wanted)
        prepare_first(job, wanted)

    monkeypatch.setattr(Job, "prepare_first", noted)
    return found


@pytest.fixture
def set_threads():
    yield fastbp.set_num_threads
    fastbp.set_num_threads(None)


# Whoever writes


def fit_and_diverge(model):
    model.compile(fastbp.SGD(1e30), "mean_squared_error")
    with pytest.raises(fastbp.TrainingDiverged):
        model.fit(X, Y, epochs=5, batch_size=100, verbose=0)
    model.compile("adam", "mean_squared_error")


def fit_and_raise(model):
    def stop(batch, logs):
        model.predict(X)
        if batch == 2:
            raise KeyError

    with pytest.raises(KeyError):
        model.fit(X, Y, batch_size=100, callbacks=[fastbp.LambdaCallback(on_train_batch_end=stop)], verbose=0)


def fit_and_restore_the_best(model):
    model.compile(fastbp.SGD(0.3), "mean_squared_error")
    stop = fastbp.EarlyStopping("loss", patience=1, restore_best_weights=True)
    model.fit(X, Y, epochs=5, batch_size=100, callbacks=[stop], verbose=0)


def fit_with_an_average(model):
    model.compile(fastbp.Adam(0.01, use_ema=True), "mean_squared_error")
    model.fit(X, Y, epochs=2, batch_size=100, validation_data=(X, Y), verbose=0)


def apply_gradients(model):
    _, grad = model.value_and_grad(X, Y)
    model.predict(X)
    model.apply_gradients(grad)


def load_weights(model, path):
    made(seed=7).save_weights(path)
    model.load_weights(path)


def restore_state(model):
    other = made(seed=7, dtype=model.dtype.name)
    model._restore_state(*other.get_state())


def set_one_weight(model):
    model.params[17] += 1.0


def set_views(model):
    for view in model.views.values():
        view *= 1.5


def compile_in_between(model):
    model.params[:] *= 0.5
    model.layers[1].trainable = False
    model.compile("sgd", "mean_squared_error")
    model.predict(X)
    model.train_on_batch(X, Y)


def adapt(model):
    model.layers[0].kernel_initializer = "unit_variance"
    with pytest.warns(UserWarning, match="initial values"):
        model.compile("adam", "mean_squared_error")
    model.predict(X)
    fastbp.initialize_from_data(model, 3 * X)


def check_gradient(model):
    fastbp.check_gradients(model, X[:5], Y[:5], entries=5, tolerance=1.0)
    model.params[0] += 1


def least_squares(model):
    model.layers[0].trainable = False  # the solver takes 2,000 parameters at most
    model.compile("adam", "mean_squared_error")
    x, y = X[:50].astype(model.dtype), Y[:50].astype(model.dtype)
    levenberg_marquardt(model.engine, x, y, max_iter=2, on_iteration=lambda n, loss: bool(model.predict(X)[0, 0] > 1e9))


WRITERS = {
    "fit": lambda model: model.fit(X, Y, epochs=2, batch_size=100, verbose=0),
    "fit, diverged": fit_and_diverge,
    "fit, raised": fit_and_raise,
    "fit, best": fit_and_restore_the_best,
    "fit, average": fit_with_an_average,
    "train_on_batch": lambda model: model.train_on_batch(X, Y),
    "apply_gradients": apply_gradients,
    "set_weights": lambda model: model.set_weights([2 * w for w in model.get_weights()]),
    "restore": restore_state,
    "params": set_one_weight,
    "views": set_views,
    "compile": compile_in_between,
    "initialize_from_data": adapt,
    "check_gradients": check_gradient,
    "least squares": least_squares,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("writer", WRITERS)
def test_what_was_written_counts(writer, n_threads, dtype, set_threads, packs):
    set_threads(n_threads)
    model = made(dtype)
    before = model.predict(X), model.predict(FEW), model.predict(X)
    np.testing.assert_array_equal(before[0], before[2])
    WRITERS[writer](model)
    assert (model.predict(X) != before[0]).any() or writer == "fit, diverged"
    assert_fresh(model)
    # And whoever wrote has left no reference behind.
    del packs[:]
    for _ in range(3):
        model.predict(X)
    assert packs in ([True, False, False], [False] * 3)


def test_weights_from_a_file(tmp_path):
    model = made()
    before = model.predict(X)
    load_weights(model, tmp_path / "w.safetensors")
    assert (model.predict(X) != before).any()
    assert_fresh(model)


def test_callbacks_predict_with_the_weights_of_now():
    model, seen = made(), []

    def look(*_):
        assert_fresh(model)
        seen.append(model.predict(X)[0, 0])

    hooks = fastbp.LambdaCallback(on_train_batch_end=look, on_epoch_end=look)
    model.fit(X, Y, epochs=2, batch_size=200, callbacks=[hooks], validation_data=(X, Y), verbose=0)
    assert len(set(seen)) == 4  # of six: after its last batch an epoch changes nothing


def test_a_fits_in_progress_leaves_no_version(monkeypatch):
    """A signal's handler may predict in a pause of a long step: nothing may stay of that after the update."""
    model, found, run = made(), [], Runner._run_in_threads

    def watched(runner, job, *arguments):
        if job.record["update"][0]:
            found.append(model.predict(X))
            found.append(model.engine._parameters.version())
        run(runner, job, *arguments)

    model.predict(X)
    monkeypatch.setattr(Runner, "_run_in_threads", watched)
    model.fit(X, Y, batch_size=200, verbose=0)
    assert set(found[1::2]) == {None}
    assert_fresh(model)


# Whatever is held

HOLDERS = {
    "params": lambda model: model.params,
    "view": lambda model: model.views["dense/kernel"],
    "views": lambda model: model.views,
    "of the engine": lambda model: model.engine.views["dense/kernel"],
    "slice": lambda model: model.params[5:50],
    "slice of a view": lambda model: model.views["dense/kernel"][3:][:, 2],
    "transpose": lambda model: model.views["dense/kernel"].T,
    "shape": lambda model: model.params.reshape(-1, 2),
    "other type": lambda model: model.params.view("uint8"),
    "subclass": lambda model: model.params.view(np.matrix),
    "flat": lambda model: model.params.flat,
    "memory view": lambda model: memoryview(model.params),
    "of a view": lambda model: memoryview(model.views["dense/kernel"]),
    "ctypes": lambda model: np.ctypeslib.as_ctypes(model.params),
    "pointer": lambda model: model.params.ctypes.data_as(ctypes.c_void_p),
    "buffer": lambda model: np.frombuffer(model.params, model.dtype),
    "strided": lambda model: np.lib.stride_tricks.as_strided(model.params, (3, 3)),
    "dlpack": lambda model: np.from_dlpack(model.params),
    "object": lambda model: np.array([model.params, None], dtype=object),
    "method": lambda model: model.params.fill,
    "iterator": lambda model: iter(model.params),
}


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("holder", HOLDERS)
def test_who_holds_the_weights_may_write_at_any_time(holder, early, packs):
    model = made()
    held = HOLDERS[holder](model) if early else None
    model.predict(X)
    held = HOLDERS[holder](model) if held is None else held
    # Written beneath Python, where nobody sees it.
    place = model.params.ctypes.data
    for i in range(3):
        before = model.predict(X)
        ctypes.memset(place + 4 * 40 * i, i, 4 * 40)
        assert (model.predict(X) != before).any()
    del packs[:]
    for _ in range(2):
        model.predict(X)
    assert packs == [True, True]
    del held, packs[:]
    for _ in range(2):
        model.predict(X)
    assert packs == [True, False]
    assert_fresh(model)


def test_another_thread_holds_a_view():
    model, turns = made(), threading.Barrier(2)
    model.predict(X)

    def write():
        kernel = model.views["dense/kernel"]
        for _ in range(4):
            turns.wait()
            kernel[:] *= 1.1
            turns.wait()

    thread = threading.Thread(target=write)
    thread.start()
    found = []
    for _ in range(4):
        turns.wait()
        turns.wait()
        found.append(model.predict(X)[0, 0])
    thread.join()
    assert len(set(found)) == 4
    assert_fresh(model)


def test_what_is_handed_out_while_references_are_counted_leaves_no_version(monkeypatch):
    """As if another thread asked for the array in the middle of a prediction."""
    array = np.zeros(3)
    parameters, held, count = Parameters(array, {"a": array[:2]}), [], Parameters._references
    del array
    assert parameters.version() is parameters.version() is not None
    for hand_out in (Parameters.hand_out, Parameters.hand_out_views):

        def counted(self, hand_out=hand_out):
            found = count(self)
            held.append(hand_out(parameters))
            return found

        hand_out(parameters)
        with monkeypatch.context() as patch:
            patch.setattr(Parameters, "_references", counted)
            assert parameters.version() is None
        assert parameters.version() is None
        held.clear()
        assert parameters.version() is not None


def test_a_new_version_after_each_access():
    model = made()
    versions = [model.engine._parameters.version()]
    for access in (lambda: model.params, lambda: model.views, lambda: model.engine.params):
        access()
        versions.append(model.engine._parameters.version())
    assert None not in versions
    assert len({id(version) for version in versions}) == 4


# Copies

COPIES = {
    "deepcopy": copy.deepcopy,
    "load_model": None,
    "joblib": None,
    **{f"pickle {n}": lambda model, n=n: pickle.loads(pickle.dumps(model, protocol=n)) for n in (2, 4, 5)},
}


@pytest.mark.parametrize("way", COPIES)
def test_copies_keep_versions_of_their_own(way, tmp_path, packs):
    model = made()
    expected = model.predict(X)
    if way == "load_model":
        model.save(tmp_path / "m")
        twin = fastbp.load_model(tmp_path / "m")
    elif way == "joblib":
        joblib.dump(model, tmp_path / "m")
        twin = joblib.load(tmp_path / "m")
    else:
        twin = COPIES[way](model)
    np.testing.assert_array_equal(twin.predict(X), expected)
    del packs[:]
    twin.predict(X)
    assert packs == [False]
    twin.params[:] *= 2
    np.testing.assert_array_equal(model.predict(X), expected)
    assert_fresh(twin)
    changed = twin.predict(X)
    model.views["dense/kernel"][:] = 0
    np.testing.assert_array_equal(twin.predict(X), changed)
    assert_fresh(model)


def test_a_shallow_copy_is_the_same_engine():
    model = made()
    twin = copy.copy(model)
    twin.predict(X)
    model.params[:] *= 2
    assert_fresh(twin)


def test_a_shallow_copy_of_an_engine_shares_the_array():
    model = made()
    engine = copy.copy(model.engine)
    x = X.astype("float32")
    first = engine.predict(x)
    for other in (engine, model.engine):
        other.views["dense/kernel"][:] *= 1.5
        second = engine.predict(x)
        assert (second != first).any()
        first = second
        np.testing.assert_array_equal(second, model.predict(x))


def test_memory_that_others_have_too_has_no_version(tmp_path):
    model = made()
    joblib.dump(model, tmp_path / "m")
    mapped = joblib.load(tmp_path / "m", mmap_mode="r+")
    mapped.predict(X)
    assert mapped.engine._parameters.version() is None
    room = bytearray(model.params.tobytes())
    flat = np.frombuffer(room, "float32")
    parameters = Parameters(flat, model.engine.network.views(flat))
    del flat
    assert parameters.version() is None


# Networks

NETWORKS = {
    "numbers": ([layers.PiecewiseLinearEmbedding([[-1, 0, 0.5, 1]] * 4, 8), layers.Flatten(), Dense(3)], (4,)),
    "members": ([layers.RepeatMembers(3), layers.MemberDense(80), layers.MemberDense(2), layers.MemberMean()], (60,)),
    "convolution": ([layers.Conv2D(8, 3, activation="relu"), layers.Flatten(), Dense(20)], (8, 8, 1)),
    "LSTM": ([layers.LSTM(40), Dense(2)], (3, 30)),
    "rows of time": ([Dense(100, "tanh"), layers.BatchNormalization(), Dense(70)], (3, 60)),
    "states of rows": ([layers.GRU(40, stateful=True, batch_size=20), Dense(200), Dense(1)], (3, 2)),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_every_kind_of_layer(network):
    specs, shape = NETWORKS[network]
    model = fastbp.Sequential(copy.deepcopy(specs), input_shape=shape, seed=0)
    x = RNG.standard_normal((40, *shape)).astype("float32")
    few = x[:20] if network == "states of rows" else x[:3]
    for name in model.views:
        model.reset_states()
        before = model.predict(x)
        model.views[name][...] += 0.25
        model.reset_states()
        assert (model.predict(x) != before).any() or "moving" in name or "state" in name, name
        model.reset_states()
        if network != "states of rows":
            assert_fresh(model, x, few)


def test_few_rows_read_panels_that_are_there_and_make_none(packs):
    model = made()
    alone = model.predict(FEW)
    assert packs == []
    many = model.predict(X)
    np.testing.assert_array_equal(many[:3], alone)
    np.testing.assert_array_equal(model.predict(FEW), alone)
    assert packs == [True, False]
    held = model.params
    np.testing.assert_array_equal(model.predict(FEW), alone)
    assert packs == [True, False]
    del held
