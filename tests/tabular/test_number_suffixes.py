"""Numbers with suffixes (1.2M, 3k) and bounds (<5, >100), in text columns of frames and in files."""

import io

import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp import TabularRegressor
from fastbp.commands.main import main
from fastbp.tabular.numerals import NumberForm
from fastbp.tabular.recognition import packed_form, recognise, unpacked_form

NUMBERS = {
    "magnitudes": (["1.2M", "3k", "450 K", "900"], [1.2e6, 3e3, 4.5e5, 900]),
    "one suffix": (["12k", "13k", "1.5k"], [12e3, 13e3, 1.5e3]),
    "currency before": (["$1.2M", "$3k", "-$4"], [1.2e6, 3e3, -4]),
    "currency behind": (["1.2M \u20ac", "3k \u20ac", "4 \u20ac"], [1.2e6, 3e3, 4]),
    "decimal commas": (["1,5k", "2,25M", "100"], [1.5e3, 2.25e6, 100]),
    "billions": (["1.5bn", "2mln", "3k"], [1.5e9, 2e6, 3e3]),
    "bytes": (["10 KB", "2MB", "1.5 GB", "7 B"], [1e4, 2e6, 1.5e9, 7]),
    "metres": (["1.5m", "2m", "3m"], [1.5, 2, 3]),
    "kilograms": (["1.5kg", "2kg"], [1.5, 2]),
    "below and above": (["<5", "6", "7.5", "8", "9", "10", ">= 100", "11"], [5, 6, 7.5, 8, 9, 10, 100, 11]),
    "about": (["~5", "6", "7", "8"], [5, 6, 7, 8]),
    "bounds of money": (["<$5", "$6", "$7", "$8"], [5, 6, 7, 8]),
}
TEXT = {
    "classes": ["<5", "5-10", ">10"],
    "ends": ["<5", ">10", "<20", "7"],
    "flats": ["3B", "4A", "12B"],
    "other units": ["1k", "2x", "3M"],
}


def recognised(texts):
    return recognise(texts, np.ones(len(texts), int))


@pytest.mark.parametrize("case", NUMBERS)
def test_values(case):
    texts, values = NUMBERS[case]
    form = recognised(texts).form
    np.testing.assert_allclose(form.parse(texts), values, rtol=1e-14)
    assert unpacked_form(packed_form(form)) == form


@pytest.mark.parametrize("case", TEXT)
def test_what_stays_text(case):
    assert recognised(TEXT[case]).form is None


def test_what_is_said():
    assert recognised(["900", "1.2M", "3k"]).why == "numbers with suffixes, '1.2M' is read as 1200000"
    told = "bounds such as '<5', in 2 rows, are taken as the number itself"
    assert recognise(["<5", "6", "7", "8"], np.array([2, 1, 1, 1])).why == told
    assert recognised(["5", "6.5"]).why == ""
    assert NumberForm(scale="bytes", bounds=True).describe() == "number (with suffixes, with bounds)"


def test_a_form_that_training_did_not_have_stays_odd():
    assert np.isnan(NumberForm().parse(["<5", "3k"])).all()
    old = {"kind": "number", "decimal": ".", "thousands": "", "unit": "", "words": []}
    assert unpacked_form(old) == NumberForm()
    for wrong in ({"scale": "dozens"}, {"bounds": 1}, {"scale": None}):
        with pytest.raises(ValueError, match="form of text"):
            unpacked_form(old | wrong)


def table(n=300):
    rng = np.random.default_rng(0)
    size, dose = rng.uniform(1, 3e6, n).round(-3), rng.uniform(0, 20, n).round(2)
    written = [f"{s / 1e6:.3f}M" if s >= 1e6 else f"{s / 1e3:.0f}k" for s in size]
    censored = [f"{d}" if d >= 2 else "<2" for d in dose]
    frame = pd.DataFrame({"size": written, "dose": censored, "y": size / 1e6 + np.maximum(dose, 2) / 10})
    return frame, size, np.maximum(dose, 2)


def test_frames_and_files_learn_the_numbers(tmp_path, capsys):
    frame, size, dose = table()
    plain = pd.DataFrame({"size": size, "dose": dose})
    settings = {"preset": "fast", "random_state": 0}
    expected = TabularRegressor(**settings).fit(plain, frame.y).predict(plain)
    with pytest.warns(fastbp.TableWarning) as told:
        model = TabularRegressor(**settings).fit(frame[["size", "dose"]], frame.y)
    assert "column 'size': numbers with suffixes, " in str(told[0].message)
    assert "column 'dose': bounds such as '<2', in " in str(told[0].message)
    np.testing.assert_allclose(model.predict(frame[["size", "dose"]]), expected, rtol=1e-5)
    frame.to_csv(tmp_path / "t.csv", index=False)
    words = ("--target", "y", "--preset", "fast", "--seed", "0", "--out", str(tmp_path / "m"))
    assert main(["train", str(tmp_path / "t.csv"), *words]) == 0
    said = capsys.readouterr()
    assert "number (with suffixes)" in said.out
    assert "bounds such as '<2'" in said.err
    assert main(["predict", str(tmp_path / "m"), str(tmp_path / "t.csv")]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out)).prediction
    assert np.corrcoef(found, frame.y)[0, 1] > 0.99


def test_a_target_with_suffixes_comes_back_as_numbers(tmp_path, capsys):
    frame, size, _ = table()
    frame.assign(x=size)[["x", "size"]].to_csv(tmp_path / "t.csv", index=False)
    words = ("--target", "size", "--preset", "fast", "--out", str(tmp_path / "m"))
    assert main(["train", str(tmp_path / "t.csv"), *words]) == 0
    assert "target 'size': numbers with suffixes" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "m"), str(tmp_path / "t.csv")]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out)).prediction
    assert np.corrcoef(found, size)[0, 1] > 0.99
