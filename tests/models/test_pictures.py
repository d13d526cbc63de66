"""Pictures and reprs: of histories, networks, encoders and estimators."""

import shutil
import subprocess
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp.tabular.encoding import TableEncoder

mpl.use("Agg")
X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = X.sum(1)


def made(*layers):
    model = fastbp.Sequential(list(layers) or [fastbp.Dense(4, "relu"), fastbp.Dense(1)], seed=0)
    model.compile(fastbp.SGD(0.01), "mean_squared_error", metrics=["mae"])
    return model


def fitted(epochs=3, **settings):
    return made().fit(X, Y, epochs=epochs, verbose=0, **settings)


def test_curves():
    import matplotlib.pyplot as plt

    history = fitted(validation_split=0.25, callbacks=[fastbp.LearningRateScheduler(lambda epoch, rate: rate / 2)])
    axes = history.plot()
    assert [ax.get_title() for ax in axes] == ["loss", "mae", "learning_rate"]
    training, validation = axes[0].lines
    assert training.get_xdata().tolist() == [1, 2, 3]
    assert training.get_ydata().tolist() == history.history["loss"]
    assert validation.get_ydata().tolist() == history.history["val_loss"]
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["training", "validation"]
    plt.close("all")
    plain = fitted(1)
    figure, given = plt.subplots(1, 2)
    assert plain.plot(given)[0] is given[0]
    with pytest.raises(ValueError, match=r"2 axes are needed \(loss, mae\); 1 were given"):
        plain.plot([given[0]])
    plt.close(figure)
    with pytest.raises(ValueError, match="no epoch"):
        fastbp.History().plot()


def test_without_matplotlib(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "fastbp\[plot\]"'):
        fitted(1).plot()


def test_histories_are_shown():
    history = fitted(30)
    assert repr(history).startswith("<History of 30 epochs: loss ")
    table = ET.fromstring(f"<r>{history._repr_html_()}</r>")
    rows = table.findall(".//tbody/tr")
    assert len(rows) == 13
    assert rows[-1][0].text == "30"
    assert [cell.text for cell in table.findall(".//th")] == ["epoch", "loss", "mae", "learning_rate"]
    assert repr(fastbp.History()) == "<History of 0 epochs>"


def branches():
    return made(
        fastbp.Concatenate([[fastbp.Dense(4, "tanh", trainable=False)], [fastbp.Dense(2), fastbp.Dropout(0.1)]]),
        fastbp.Residual([fastbp.Dense(6)]),
        fastbp.Dense(1, name="<last> & least"),
    )


def test_networks_are_drawn(tmp_path):
    model = branches()
    with pytest.raises(ValueError, match="plot needs a built model"):
        model.plot()
    model.build((3,))
    drawn = model.plot(tmp_path / "net.svg")
    assert (tmp_path / "net.svg").read_text() == drawn.svg == drawn._repr_html_()
    assert "http" not in drawn.svg.replace("http://www.w3.org/2000/svg", "")
    root = ET.fromstring(drawn.svg)
    space = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in root.iter(f"{space}text")]
    for layer in model.engine.network.layers:
        if hasattr(layer.spec, "name"):
            assert any(text.startswith(layer.name[:20]) for text in texts)
    assert "(n, 3)" in texts
    boxes, width = list(root.iter(f"{space}rect")), float(root.get("width"))
    assert len(boxes) == 1 + sum(hasattr(layer.spec, "name") for layer in model.engine.network.layers)
    assert sum(box.get("class") == "frozen" for box in boxes) == 1
    places = [(float(box.get("x")), float(box.get("y"))) for box in boxes]
    assert len(set(places)) == len(places)
    assert all(0 <= x <= width - 230 for x, _ in places)
    model.plot(tmp_path / "net.html")
    assert (tmp_path / "net.html").read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(ValueError, match=r"ends in \.svg or \.html"):
        model.plot(tmp_path / "net.png")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no browser")
def test_a_browser_draws_it(tmp_path):
    model = branches()
    model.build((3,))
    model.plot(tmp_path / "net.html")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{tmp_path}/net.html"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.count("<rect") == model.plot().svg.count("<rect") == 8


def test_networks_are_shown():
    model = made()
    assert repr(model) == "<Sequential, not built: [Dense, Dense]>"
    model.fit(X, Y, verbose=0)
    assert repr(model) == (
        "<Sequential [Dense, Dense]: (n, 3) -> (n, 1); 21 params; float32; SGD, mean_squared_error; 2 steps>"
    )
    rows = ET.fromstring(f"<r>{model._repr_html_()}</r>").findall(".//tbody/tr")
    assert [cell.text for cell in rows[0]] == ["dense", "Dense", "(n, 4)", "16", None]
    plain = fastbp.Sequential([fastbp.Dense(1)] * 1, input_shape=(2,))
    assert repr(plain) == "<Sequential [Dense]: (n, 2) -> (n, 1); 3 params; float32; not compiled>"
    many = fastbp.Sequential([fastbp.Dense(2) for _ in range(20)])
    assert repr(many).count("Dense") == 7
    ET.fromstring(f"<r>{branches()._repr_html_()}</r>")


def test_encoders_and_estimators_are_shown():
    frame = pd.DataFrame({"a": X[:, 0], "<b>": ["x", "y"] * 20, "same": 1})
    encoder = TableEncoder()
    assert repr(encoder) == "<TableEncoder, not fitted>"
    encoder.fit(frame)
    assert repr(encoder) == ("<TableEncoder of 3 columns; 1 left out: 1 for numeric embeddings, 1 plain, 0 of codes>")
    rows = ET.fromstring(f"<r>{encoder._repr_html_()}</r>").findall(".//tbody/tr")
    assert [row[0].text for row in rows] == ["a", "<b>", "same"]
    assert rows[2][1].text.startswith("left out: ")
    for estimator in (fastbp.TabularClassifier("fast"), fastbp.MLPRegressor()):
        assert type(estimator).__name__ in repr(estimator)
        assert type(estimator).__name__ in estimator._repr_html_()
