"""What is shown of a training: on a terminal, in a log, in a notebook."""

import io
import os
import pty
import re
import subprocess
import sys

import numpy as np
import pytest

import fastbp
from fastbp.callbacks.fraction_bar import ShareBar
from fastbp.callbacks.progbar import ProgbarLogger
from fastbp.callbacks.screen import Log, Terminal, fitted

X = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")


class Clock:
    """Each look at it is so many seconds later."""

    def __init__(self, seconds=1.0):
        self.now, self.seconds = 0.0, seconds

    def __call__(self):
        self.now += self.seconds
        return self.now


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def lines(
    epochs, screen, names=("loss", "accuracy", "learning_rate", "val_loss", "val_accuracy"), rates=None, bar=True
):
    """Return what is shown of epochs of 10 s whose figures are 1 / epoch."""
    logger = ProgbarLogger(bar)
    logger.params, logger.model = {"epochs": epochs, "steps": 4, "metrics": list(names)}, None
    logger.on_train_begin()
    logger._screen, logger._clock, logger._bar = screen, Clock(5.0), bar and screen.live
    for epoch in range(epochs):
        logger.on_epoch_begin(epoch)
        logger.on_stretch_end(2)
        logs = dict.fromkeys(names, 1 / (epoch + 1))
        if "learning_rate" in logs:
            logs["learning_rate"] = rates[epoch] if rates else 0.1
        logger.on_epoch_end(epoch, logs)
    logger.on_train_end()
    return screen.stream.getvalue()


def test_lines_of_a_log():
    found = lines(3, Log(io.StringIO()), rates=[0.1, 0.1, 0.01], names=("loss", "mae", "learning_rate", "val_loss"))
    assert "\r" not in found
    assert found.splitlines() == [
        "epoch 1/3 - 5.0s - 10s left - loss: 1 - val_loss: 1 - mae: 1",
        "epoch 2/3 - 5.0s - 5.0s left - loss: 0.5 - val_loss: 0.5 - mae: 0.5",
        "epoch 3/3 - 5.0s - loss: 0.3333 - val_loss: 0.3333 - mae: 0.3333 (+1)",
    ]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 81, 200])
def test_no_line_is_longer_than_the_screen_and_no_figure_is_cut(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    names = ["loss", "val_loss", *(f"metric_{i}" for i in range(5)), *(f"val_metric_{i}" for i in range(5))]
    found = lines(12, Terminal(Tty(), Clock()), names)
    for line in re.split(r"[\r\n]+", found):
        assert len(line.rstrip()) < width
        for part in line.strip().split(" - ")[1:]:
            part = re.sub(r" \(\+\d+\)$", "", part)
            assert re.fullmatch(r"[\d.ms:]+( left)?|\d+/4|(val_)?(loss|metric_\d): [\d.]+", part), part
    if width >= 60:
        assert all("val_loss: " in line for line in re.findall(r".*(?=\n)", found) if line)


def test_the_losses_stay_where_times_have_no_room():
    parts, figures = ["epoch 1/9", "10s", "1:20 left"], ["loss: 0.25", "val_loss: 0.125", "a: 1"]
    assert fitted(parts, figures, 51) == "epoch 1/9 - 10s - loss: 0.25 - val_loss: 0.125 (+1)"
    assert fitted(parts, figures, 49) == "epoch 1/9 - loss: 0.25 - val_loss: 0.125 - a: 1"
    assert fitted(parts, figures, 30) == "epoch 1/9 - loss: 0.25 (+2)"
    assert fitted(parts, figures, 9) == "epoch 1/9"


def test_a_terminal_has_the_bar_of_the_running_epoch():
    found = lines(2, Terminal(Tty(), Clock()))
    first, rest = found.split("\n", 1)
    bar, line = first.split("\r")[-2:]
    assert bar.startswith("━━━━━━━━━━────────── epoch 1/2 - 2/4 - 5.0s left")
    assert line.startswith("epoch 1/2 - 10s - 10s left - loss: 1")
    # The running epoch shows the figures of the last one.
    assert "2/4 - 5.0s left - loss: 1 - val_loss: 1" in rest.split("\r")[0]
    assert found.endswith("\n")


def test_a_terminal_without_these_characters():
    stream = Tty()
    stream.encoding = "ascii"
    assert "==========----------" in lines(1, Terminal(stream, Clock()))


SCRIPT = """
import numpy as np, fastbp
x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
model.compile("sgd", "mean_squared_error")
model.fit(x, x[:, 0], epochs=3, validation_split=0.25)
"""


def test_a_pipe_and_a_terminal_by_default():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    assert "\r" not in run.stdout
    assert len(run.stdout.splitlines()) == 3
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=slave)
    os.close(slave)
    found = b""
    try:
        while part := os.read(master, 4096):
            found += part
    except OSError:  # the end, on Linux
        pass
    os.close(master)
    assert process.wait() == 0
    shown = [line.split("\r")[-1] for line in found.decode().replace("\r\n", "\n").split("\n")[:-1]]
    assert [line.split(" - ")[0] for line in shown] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


def test_shares_in_a_log_and_on_a_terminal():
    stream = io.StringIO()
    with ShareBar("training", stream=stream, clock=Clock()) as tell:
        for share in np.linspace(0, 1, 101):
            tell(share)
    found = stream.getvalue().splitlines()
    assert len(found) == 10
    # Not before the first two seconds are over.
    assert found[0].startswith("training -  11% - 3.0s - 24s left")
    assert found[-1].startswith("training - 100% - ")
    assert "left" in found[0]
    assert "left" not in found[-1]
    stream = Tty()
    with ShareBar("training", stream=stream) as tell:
        tell(0.5)
        tell(1.0)
    assert stream.getvalue().endswith("\n")
    assert "━━━━━━━━━━──────────" in stream.getvalue()


def test_a_notebook(tmp_path):
    """The lines are the cell's text; the bar's last state is empty."""
    nbformat = pytest.importorskip("nbformat")
    from nbclient import NotebookClient

    slow = SCRIPT.replace("epochs=3", "epochs=3, callbacks=[fastbp.LambdaCallback(on_train_batch_end=wait)]")
    code = "import time\ndef wait(batch, logs):\n    time.sleep(0.2)\n" + slow.replace("64, dtype", "128, dtype")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code + "model")])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    text = "".join(output.text for output in outputs if output.output_type == "stream")
    assert [line.split(" - ")[0] for line in text.splitlines()] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert "\r" not in text
    assert any("text/html" in output.get("data", {}) for output in outputs)


def test_estimators_and_tables(capsys):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1]})
    model = fastbp.TabularRegressor("fast", verbose="auto", random_state=0)
    model.fit(frame, X[:, 0])
    found = capsys.readouterr()
    assert found.out == ""
    assert "\r" not in found.err
    assert found.err.splitlines()[-1].startswith("training - 100%")
    with pytest.raises(ValueError, match="'verbose' parameter of TabularRegressor"):
        fastbp.TabularRegressor("fast", verbose="loud").fit(frame, X[:, 0])
    mlp = fastbp.MLPRegressor(hidden_layer_sizes=2, max_iter=2, verbose="auto", random_state=0)
    with pytest.warns(match="Maximum iterations"):
        mlp.fit(X, X[:, 0])
    assert capsys.readouterr().out.startswith("Iteration 1, loss = ")
