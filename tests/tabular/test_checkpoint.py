"""Finished networks of a fit are kept; a killed one goes on and ends with the same bits."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

import fastbp
from fastbp.commands.main import main
from fastbp.tabular.checkpoint import CheckpointError

X, Y = load_iris(return_X_y=True)


def fitted(checkpoint=None, x=X, y=Y, random_state=0, **settings):
    model = fastbp.TabularClassifier("fast", random_state=random_state, **settings)
    return model.fit(x, y, checkpoint=checkpoint)


def same(one, other):
    tensors, others = one.get_state()[0], other.get_state()[0]
    assert tensors.keys() == others.keys()
    return all(np.array_equal(tensors[name], others[name], equal_nan=True) for name in tensors)


def networks(folder):
    return sorted(path.name for path in folder.glob("network_*"))


class TestFit:
    def test_every_network_is_kept_and_none_is_trained_again(self, tmp_path):
        whole, first = fitted(), fitted(tmp_path / "run")
        assert same(whole, first)
        files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("network_*")}
        assert len(files) == len(first.ensemble_.networks) == 6
        again = fitted(str(tmp_path / "run"))
        assert same(whole, again)
        assert np.array_equal(whole.oof_proba_, again.oof_proba_, equal_nan=True)
        assert again.history_ == whole.history_
        assert files == {path: path.stat().st_mtime_ns for path in files}

    def test_networks_that_are_missing_are_trained(self, tmp_path):
        whole = fitted(tmp_path)
        for number in (0, 3):
            (tmp_path / f"network_{number}.fastbp").unlink()
        assert same(whole, fitted(tmp_path))
        assert len(networks(tmp_path)) == 6

    def test_a_seed_that_was_drawn_is_kept(self, tmp_path):
        whole = fitted(tmp_path, random_state=None)
        (tmp_path / "network_2.fastbp").unlink()
        assert same(whole, fitted(tmp_path, random_state=None))

    def test_a_plan_under_a_time_limit_is_kept(self, tmp_path):
        fitted(tmp_path, time_limit=60)
        run = json.loads((tmp_path / "run.json").read_text())
        run["plan"][0] = 3
        (tmp_path / "run.json").write_text(json.dumps(run))
        (tmp_path / "network_1.fastbp").unlink()
        assert fitted(tmp_path, time_limit=60).history_[1]["best_epoch"] <= 3

    def test_with_rows_to_validate_by(self, tmp_path):
        given = {"eval_set": (X[::3], Y[::3]), "checkpoint": tmp_path}
        whole = fastbp.TabularClassifier("fast", random_state=0).fit(X, Y, **given)
        (tmp_path / "network_2.fastbp").unlink()
        assert same(whole, fastbp.TabularClassifier("fast", random_state=0).fit(X, Y, **given))

    def test_a_regressor(self, tmp_path):
        model = fastbp.TabularRegressor("fast", random_state=0, quantiles=[0.1, 0.9])
        whole = model.fit(X[:, :3], X[:, 3], checkpoint=tmp_path).get_state()[0]
        (tmp_path / "network_2.fastbp").unlink()
        again = model.fit(X[:, :3], X[:, 3], checkpoint=tmp_path).get_state()[0]
        assert all(np.array_equal(whole[name], again[name]) for name in whole)


class TestErrors:
    @pytest.mark.parametrize(
        ("change", "culprit"),
        [
            ({"x": X * [1, 1, -1, 1]}, "X"),
            ({"y": Y[::-1].copy()}, "y"),
            ({"random_state": 1}, "random_state"),
            ({"class_weight": {0: 1, 1: 2, 2: 3}}, "sample_weight or class_weight"),
            ({"eval_metric": "accuracy"}, "settings"),
        ],
    )
    def test_a_checkpoint_of_another_fit_is_named_and_left_alone(self, tmp_path, change, culprit):
        fitted(tmp_path)
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(CheckpointError, match=f"belongs to another fit, of other .*{culprit}"):
            fitted(tmp_path, **change)
        assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}

    def test_a_file_and_a_folder_of_other_things_are_refused(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(CheckpointError, match="is a folder of other things"):
            fitted(tmp_path)
        with pytest.raises(CheckpointError, match=r"notes\.txt' is a file: name a folder"):
            fitted(tmp_path / "notes.txt")
        assert (tmp_path / "notes.txt").read_text() == "mine"

    def test_a_file_of_the_folder_stands_for_it_and_an_empty_file_gives_way(self, tmp_path):
        path = tmp_path / "run.ckpt"
        path.touch()
        whole = fitted(path)
        assert path.is_dir()
        times = {file: file.stat().st_mtime_ns for file in path.iterdir()}
        for name in ("run.json", "network_2.fastbp"):
            assert same(whole, fitted(path / name))
        assert times == {file: file.stat().st_mtime_ns for file in path.iterdir()}
        (tmp_path / "run.json").write_text("mine")
        with pytest.raises(CheckpointError, match="damaged|is a file"):
            fitted(tmp_path / "run.json")
        assert (tmp_path / "run.json").read_text() == "mine"

    def test_a_damaged_network_is_trained_anew(self, tmp_path):
        whole, file = fitted(tmp_path), tmp_path / "network_4.fastbp"
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.warns(RuntimeWarning, match=r"network_4\.fastbp cannot be used .* trained anew"):
            again = fitted(tmp_path)
        assert same(whole, again)

    def test_a_damaged_run_file(self, tmp_path):
        (tmp_path / "run.json").write_text("{")
        with pytest.raises(CheckpointError, match="damaged"):
            fitted(tmp_path)


class TestCommandLine:
    def train(self, folder, *words):
        np.savetxt(folder / "iris.csv", np.column_stack([X, Y]), delimiter=",", header="a,b,c,d,y", comments="")
        words = ("--out", str(folder / "iris.fastbp"), "--preset", "fast", *words)
        return main(["train", str(folder / "iris.csv"), "--target", "y", *words])

    def test_the_checkpoint_goes_when_the_model_is_saved(self, tmp_path, capsys):
        assert self.train(tmp_path, "--resume", str(tmp_path / "run")) == 0
        assert not (tmp_path / "run").exists()
        assert (tmp_path / "iris.fastbp").exists()

    def test_a_name_like_a_file_s(self, tmp_path, capsys):
        assert self.train(tmp_path) == 0
        whole = (tmp_path / "iris.fastbp").read_bytes()
        assert self.train(tmp_path, "--resume", str(tmp_path / "run.ckpt")) == 0
        assert (tmp_path / "iris.fastbp").read_bytes() == whole
        assert not (tmp_path / "run.ckpt").exists()
        assert self.train(tmp_path, "--resume", str(tmp_path / "iris.fastbp")) == 2
        assert "is a file: name a folder" in capsys.readouterr().err
        assert (tmp_path / "iris.fastbp").read_bytes() == whole

    def test_a_checkpoint_of_another_run_is_a_line(self, tmp_path, capsys):
        fitted(tmp_path / "run")
        assert self.train(tmp_path, "--resume", str(tmp_path / "run"), "--seed", "5") == 2
        assert "belongs to another fit" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "kills"), [("fit", 5), ("train", 5), ("backup", 10)])
def test_kill_at_random_moments(kind, kills):
    script = Path(__file__).parent / "killed.py"
    done = subprocess.run([sys.executable, str(script), kind, str(kills)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"{kills} kills" in done.stdout
