"""Model cards: what they tell of columns, scores, versions and limits, and that it is Markdown."""

import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp.commands.main import main


def sections(card):
    """Return {heading: text} of a card."""
    title, *parts = card.split("\n## ")
    assert title.startswith("# Model card: ")
    return {part.split("\n", 1)[0]: part.split("\n", 1)[1].strip() for part in parts}


def rows_of(text):
    """Return the rows of a Markdown table, all of which have as many cells."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")] for line in lines]
    assert len({len(row) for row in rows}) == 1
    assert set(rows[1]) == {"---"}
    return [rows[0], *rows[2:]]


@pytest.mark.filterwarnings("ignore::fastbp.TableWarning")
def test_a_classifier_s_card():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "size": rng.normal(3, 2, 120), "a|b": rng.choice(["Ulm", "x|y"], 120), "empty": None,
        "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, 120), "D"),
    })  # fmt: skip
    frame.loc[::9, "size"] = None
    y = pd.Series(np.where(frame["a|b"] == "Ulm", "yes", "no"), name="bought")
    model = fastbp.TabularClassifier("fast", class_weight="balanced", random_state=0).fit(frame, y)
    found = sections(model.card(license="CC-BY-4.0", date="2026-11-27"))
    assert list(found) == ["Model", "Target", "Columns", "Scores", "Limits"]
    assert "- **licence**: CC-BY-4.0" in found["Model"]
    assert "- **date**: 2026-11-27" in found["Model"]
    assert f"fastbp {fastbp.__version__}" in found["Model"]
    assert "- **classes**: no, yes" in found["Target"]
    columns = {row[0]: row[1:] for row in rows_of(found["Columns"])[1:]}
    assert columns["a¦b"] == ["category", "feature", "Ulm, x¦y"]
    assert columns["empty"][1] == "left out: it is empty"
    assert columns["size"][2].endswith("; some missing")
    assert columns["day"][2].startswith("median 2024-0")
    assert rows_of(found["Scores"])[1] == ["log_loss", f"{model.best_score_:.4g}"]
    assert "class_weight='balanced'" in found["Limits"]
    assert "Not used: empty." in found["Limits"]


def test_a_regressor_s_card_of_a_file(folder, capsys):
    assert main(["info", str(folder / "diabetes.fastbp"), "--card", "--license", "MIT"]) == 0
    card = capsys.readouterr().out
    model = fastbp.load_model(folder / "diabetes.fastbp")
    found = sections(card)
    assert "(of the file)" in found["Model"]
    assert "- **licence**: MIT" in found["Model"]
    assert dict(rows_of(found["Scores"])[1:])["R2"] == f"{model.reading_['scores']['R2']:.4g}"
    assert "never leave the range" in found["Limits"]
    assert "- **licence**: *not given*" in model.card()


def test_cards_of_networks_and_mlps(tmp_path, capsys):
    model = fastbp.Sequential([fastbp.Dense(4, "relu"), fastbp.Dense(2, "softmax")], input_shape=(3,), seed=0)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    found = sections(model.card())
    assert rows_of(found["Layers"])[1] == ["dense", "Dense", "(4,)", "16"]
    assert "Adam(" in found["Training"]
    assert found["Training"].splitlines()[-1] == "- **metrics**: accuracy"
    model.save(tmp_path / "net.fastbp")
    assert main(["info", str(tmp_path / "net.fastbp"), "--card", "--json"]) == 0
    assert capsys.readouterr().out.startswith('{\n "card": "# Model card: a fastbp.Sequential')
    x = np.random.default_rng(0).normal(size=(40, 3))
    mlp = fastbp.MLPClassifier((4,), solver="lbfgs", random_state=0).fit(x, x[:, 0] > 0)
    assert "- **classes**: False, True" in sections(mlp.card())["Model"]


@pytest.mark.filterwarnings("ignore::fastbp.TableWarning")
def test_a_card_of_several_targets():
    x = np.random.default_rng(0).normal(size=(60, 2))
    y = pd.DataFrame({"up": x[:, 0] > 0, "sum": x.sum(axis=1)})
    found = sections(fastbp.TabularMultiTask("fast", random_state=0).fit(x, y).card())
    assert "- **classes of up**: False, True" in found["Target"]
    assert "- **range in training of sum**: " in found["Target"]
    assert [row[0] for row in rows_of(found["Scores"])[2:]] == ["up", "sum"]


def test_a_card_of_nothing_is_refused(capsys):
    assert main(["info", "--card"]) == 2
    assert "name the model" in capsys.readouterr().err
    with pytest.raises(ValueError, match="card needs a built model"):
        fastbp.Sequential([fastbp.Dense(1)]).card()
    with pytest.raises(ValueError, match="not fitted"):
        fastbp.TabularRegressor().card()
