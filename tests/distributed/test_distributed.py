"""fastbp.distributed: trainings by real MPI processes, beside those of one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp.distributed.shares import batch_shares, bounds, taken
from tests.distributed import distributed_jobs as jobs

ROOT = Path(__file__).parents[2]


def start(ranks, job, folder, check=True):
    """Run a job; return what has ended."""
    program = [sys.executable, str(ROOT / "tests" / "distributed" / "distributed_jobs.py"), job, str(folder)]
    command = ["mpiexec", "-n", str(ranks), *program] if ranks > 1 else program
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # Ranks that spin for each other on few cores would take all of them.
    env = os.environ | {"PATH": path, "PYTHONPATH": found, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def result(folder, name, ranks):
    """Return the parameters, the buffers and the history of a training."""
    arrays = np.load(folder / f"{name}_{ranks}.npz")
    return arrays["params"], arrays["buffers"], json.loads((folder / f"{name}_{ranks}.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the trainings of four slices on 1 and on 4 ranks."""
    path = tmp_path_factory.mktemp("distributed")
    for ranks in (1, 4):
        start(ranks, "trainings", path)
    return path


@pytest.mark.parametrize("name", ["dropout_ordered", "normalized_ordered", "steps"])
def test_reproducible_trainings_have_the_bits_of_their_slices(folder, name):
    params, buffers, history = result(folder, name, 1)
    assert np.isfinite(params).all()
    others, other_buffers, other_history = result(folder, name, 4)
    np.testing.assert_array_equal(others, params)
    np.testing.assert_array_equal(other_buffers, buffers)
    assert other_history == history


@pytest.mark.parametrize("kind", ["dropout", "normalized"])
@pytest.mark.parametrize("ranks", [1, 4])
def test_other_trainings_have_the_same_figures(folder, kind, ranks):
    params, buffers, history = result(folder, f"{kind}_ordered", 1)
    others, other_buffers, other_history = result(folder, f"{kind}_fast", ranks)
    np.testing.assert_allclose(others, params, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(other_buffers, buffers, rtol=1e-4, atol=1e-6)
    assert list(history) == ["loss", "accuracy", "learning_rate", "val_loss", "val_accuracy"]
    for figure, values in history.items():
        np.testing.assert_allclose(other_history[figure], values, rtol=1e-4)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Return a folder with what two ranks did; they check errors and callbacks themselves."""
    path = tmp_path_factory.mktemp("two")
    start(2, "two_ranks", path)
    return path


def merged(a):
    """Return 192 rows, of which either rank has half, in the order of the batches: 16 rows of each."""
    return np.concatenate([part for i in range(0, 96, 16) for part in (a[i : i + 16], a[96 + i : 112 + i])])


@pytest.mark.parametrize("name", jobs.OTHERS)
def test_other_layers_train_as_in_one_process(two, name):
    """Masks, recurrent dropout, noise of images, lazy tables, averages, clipping, balanced classes."""
    _, x, y, _, _, settings = jobs.OTHERS[name]
    model = jobs.other(name)
    expected = model.fit(merged(x), merged(y), epochs=3, batch_size=32, shuffle=False, verbose=0, **settings).history
    params, _, history = result(two, name, 2)
    np.testing.assert_allclose(params, model.params, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)


def test_two_ranks_train_as_one_process_does_on_the_same_batches(two):
    """Dropout, penalty and all."""
    x, y, model = merged(jobs.X[:192]), merged(jobs.LABELS[:192]), jobs.network()
    expected = model.fit(x, y, epochs=3, batch_size=32, shuffle=False, verbose=0).history
    params, _, history = result(two, "unshuffled", 2)
    np.testing.assert_allclose(params, model.params, rtol=1e-4, atol=1e-6)
    assert history.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5)


def test_beside_an_empty_rank_the_other_trains_as_one_process(two):
    model = jobs.network()
    expected = model.fit(jobs.X, jobs.LABELS, epochs=3, verbose=0).history
    params, _, history = result(two, "empty", 2)
    np.testing.assert_array_equal(params, model.params)
    assert history == expected


def test_a_killed_training_goes_on_with_another_number_of_ranks(tmp_path):
    (tmp_path / "kill").touch()
    started = time.monotonic()
    assert start(2, "broken_off", tmp_path, check=False).returncode != 0
    assert time.monotonic() - started < 60
    assert (tmp_path / "run" / "backup.fastbp").exists()
    (tmp_path / "kill").unlink()
    start(1, "broken_off", tmp_path)
    assert not (tmp_path / "run").exists()
    others, _, other_history = result(tmp_path, "broken_off", 1)
    start(1, "broken_off", tmp_path)
    params, _, history = result(tmp_path, "broken_off", 1)
    assert len(history["loss"]) == 6
    np.testing.assert_array_equal(others, params)
    assert other_history == history


def test_where_a_rank_is_gone_the_others_end_with_one_line(tmp_path):
    done = start(2, "gone", tmp_path, check=False)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("fastbp.distributed: ")]
    assert len(lines) == 1
    assert "rank 0 of 2 ends: the other ranks have not answered for 2 seconds: one has died or hangs" in lines[0]
    assert "fastbp.BackupAndRestore" in lines[0]
    assert "Traceback" not in done.stderr


# Pipelines


def test_a_pipeline_trains_as_one_process_does(tmp_path):
    start(3, "pipelines", tmp_path)
    for name, optimizer in jobs.PIPELINES.items():
        model = fastbp.Sequential(jobs.deep_layers(), input_shape=(5,), seed=3)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        found = np.load(tmp_path / f"{name}_3.npz")
        np.testing.assert_array_equal(found["first"], model.predict(jobs.X))
        others = jobs.MORE_X, jobs.MORE_LABELS
        history = model.fit(jobs.X, jobs.LABELS, epochs=3, validation_data=others, verbose=0).history
        for number, weight in enumerate(model.get_weights()):
            np.testing.assert_allclose(found[f"arr_{number}"], weight, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found["outputs"], model.predict(jobs.X), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found["loss"], history["loss"], rtol=1e-5)
        np.testing.assert_allclose(found["val_loss"], history["val_loss"], rtol=1e-5)


# Shares


@pytest.mark.parametrize("sizes", [(5,), (7, 0, 3), (1, 1, 1), (100, 3, 50, 0, 7), (333, 334, 334)])
@pytest.mark.parametrize("batch", [1, 4, 32, 1000])
def test_shares_are_those_of_all_rows_in_the_order_of_their_places(sizes, batch):
    places = sorted(((k + 0.5) / m, i) for i, m in enumerate(sizes) for k in range(m))
    total = sum(sizes)
    starts, rows, before, largest = batch_shares(sizes, batch, 0, len(sizes))
    for t in range(-(-total // batch)):
        owners = [i for _, i in places[t * batch : (t + 1) * batch]]
        expected = [owners.count(i) for i in range(len(sizes))]
        assert rows[:, t].tolist() == expected
        assert before[:, t].tolist() == [sum(expected[:i]) for i in range(len(sizes))]
    np.testing.assert_array_equal(starts[:, 0], 0)
    np.testing.assert_array_equal(starts[:, 1:], np.cumsum(rows, axis=1)[:, :-1])
    assert rows.sum(axis=1).tolist() == list(sizes)
    assert largest == rows.max()
    own = batch_shares(sizes, batch, len(sizes) - 1, 1)
    np.testing.assert_array_equal(own[1][0], rows[-1])
    assert own[3] == largest


def test_shares_of_no_rows():
    assert taken([4, 6], [0, 10]).tolist() == [[0, 0], [4, 6]]


@pytest.mark.parametrize("n", [12, 203, 1003])
def test_slices_of_rows_that_are_spread_evenly_are_the_same_for_all_ranks(n):
    expected = [i * n // 8 for i in range(9)]
    for size in (1, 2, 4, 8):
        found = [0]
        for rank in range(size):
            rows = jobs.part(n, rank, size)
            found += (rows.start + bounds(rows.stop - rows.start, 8 // size, rows.start, n, 8)[1:]).tolist()
        assert found == expected


def test_slices_of_other_rows_are_even_within_their_rank():
    assert bounds(10, 2, 90, 100, 4).tolist() == [0, 5, 10]
    assert bounds(0, 2, 100, 100, 4).tolist() == [0, 0, 0]


def test_a_missing_mpi4py_names_its_installation(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r'pip install "fastbp\[mpi\]"'):
        fastbp.distributed.fit(jobs.network(), jobs.X, jobs.LABELS)
    with pytest.raises(ImportError, match=r'pip install "fastbp\[mpi\]"'):
        fastbp.distributed.PipelineModel(jobs.deep_layers(), (5,))


def test_batch_statistics_are_those_of_each_slice(tmp_path):
    """Moving averages are the same in all ranks, and move as by numpy's mean and variance of each slice's rows."""
    for ranks in (1, 2):
        start(ranks, "statistics", tmp_path)
    layer = fastbp.BatchNormalization()
    mean, variance = np.zeros(5), np.ones(5)
    for first in range(0, 192, 32):
        slices = [jobs.X[half + first // 2 : half + first // 2 + 16].astype(np.float64) for half in (0, 96)]
        for value, of in ((mean, np.mean), (variance, np.var)):
            batch = np.mean([of(rows, axis=0) for rows in slices], axis=0)
            value += (1 - layer.momentum) * (batch - value)
    for ranks in (1, 2):
        buffers = result(tmp_path, "statistics", ranks)[1]
        np.testing.assert_allclose(np.sort(buffers), np.sort([*mean, *variance]), rtol=1e-5)
    np.testing.assert_array_equal(buffers, result(tmp_path, "statistics", 1)[1])
