"""fastbp export: files that onnxruntime and gcc take, and one line on what is wrong."""

import sys

import numpy as np
import onnxruntime
import pytest

import fastbp
from fastbp.commands.main import main
from fastbp.tabular.reading import read_table


def test_onnx_of_a_trained_table(folder, tmp_path, capsys):
    out = tmp_path / "d.onnx"
    assert main(["export", f"{folder}/diabetes.fastbp", "--format", "onnx", "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"wrote {out} (")
    run, frame = onnxruntime.InferenceSession(out), read_table(folder / "diabetes.csv")
    (found,) = run.run(None, {one.name: frame[[one.name]].to_numpy(np.float64) for one in run.get_inputs()})
    expected = fastbp.load_model(folder / "diabetes.fastbp").predict(frame)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_c_of_a_network_beside_its_file(tmp_path, capsys):
    fastbp.Sequential([fastbp.Dense(2)], input_shape=(3,), seed=0).save(tmp_path / "net.fastbp")
    assert main(["export", str(tmp_path / "net.fastbp"), "--format", "c"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == [
        str(tmp_path / "net.c"),
        str(tmp_path / "net.h"),
    ]
    assert "#define NET_INPUTS 3" in (tmp_path / "net.h").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--format", "onnx", "--out", "m.txt"], "ends in .onnx"),
        (["--format", "c", "--out", "no/m.c"], "there is no folder 'no'"),
        (["--format", "onnx"], "it is stateful"),
        (["--format", "c"], "it is stateful"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fastbp.Sequential([fastbp.GRU(2, stateful=True, batch_size=1)], input_shape=(3, 1), seed=0).save("m.fastbp")
    assert main(["export", "m.fastbp", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["m.fastbp"]


def test_a_missing_file_and_a_missing_package(tmp_path, capsys, monkeypatch):
    fastbp.Sequential([fastbp.Dense(2)], input_shape=(3,), seed=0).save(tmp_path / "net.fastbp")
    assert main(["export", str(tmp_path / "ne.fastbp"), "--format", "c"]) == 2
    assert "Did you mean 'net.fastbp'?" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", str(tmp_path / "net.fastbp"), "--format", "onnx"]) == 2
    assert 'pip install "fastbp[onnx]"' in capsys.readouterr().err


def test_c_of_a_table_needs_no_onnx(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", f"{folder}/diabetes.fastbp", "--format", "c", "--out", str(tmp_path / "d.c")]) == 0
    assert "x: the columns, NaN where missing" in (tmp_path / "d.h").read_text()
