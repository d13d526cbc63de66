"""Kill -9 at random moments of trainings with checkpoints: `python tests/tabular/killed.py fit|train|backup KILLS`.

Each attempt is a forked process that goes on where the one before was killed. After every kill all files are whole, and
what was finished is still there; a run that ends has the bits of an unbroken one.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

import fastbp
from fastbp.io.files import ENDING
from fastbp.io.saving import load_tensors

EPOCHS = 40  # of the Sequential


def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 4))
    return x, (x[:, 0] + x[:, 1] ** 2 > 1).astype(int)


def fit(folder):
    """A tabular estimator; `model` is there once it has ended."""
    x, y = table()
    model = fastbp.TabularClassifier("fast", random_state=0, n_threads=2)
    model.fit(x, y, checkpoint=folder / "run").save(folder / "model")


def train(folder):
    """The command line."""
    from fastbp.commands.main import main

    csv = folder / "data.csv"
    if not csv.exists():
        x, y = table()
        np.savetxt(csv, np.column_stack([x, y]), delimiter=",", header="a,b,c,d,y", comments="", fmt="%.9g")
    out, words = str(folder / "model"), ("--preset", "fast", "--threads", "2")
    with open(os.devnull, "w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        main(["train", str(csv), "--target", "y", "--out", out, "--resume", str(folder / "run"), *words])


def backup(folder):
    """A Sequential with a backup after each epoch."""
    x, y = table()
    model = fastbp.Sequential(
        [fastbp.Dense(16, "relu"), fastbp.Dropout(0.2), fastbp.Dense(1)], input_shape=(4,), seed=0
    )
    model.compile("adam", "mean_squared_error")
    best = fastbp.ModelCheckpoint(folder / "best", monitor="loss", save_best_only=True)
    callbacks = [fastbp.BackupAndRestore(folder / "run"), best, fastbp.CSVLogger(folder / "log.csv", append=True)]
    model.fit(x, y, epochs=EPOCHS, batch_size=8, callbacks=callbacks, verbose=0)
    model.save(folder / "model")


def attempt(work, folder, seconds):
    """Run `work` in a process and kill it after so many seconds; return whether it had ended."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", ".*only a better one will replace it")  # of the run that was killed
            work(folder)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert status == 0, f"{work.__name__} failed: {status}"
            return True
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def check_files(folder):
    """Raise an error where a file is half written; return the names and times of the networks that are kept."""
    files = [path for path in folder.rglob("*") if path.is_file() and ENDING not in path.name]
    for path in files:
        if path.suffix not in (".json", ".csv"):
            load_tensors(path)
    return {path.name: path.stat().st_mtime_ns for path in files if path.name.startswith("network_")}


def check_epochs(folder, before):
    """Raise an error where more than the epoch under way is lost of a Sequential's; return the epochs in the backup."""
    log, backup = folder / "log.csv", folder / "run"
    if (folder / "model").exists():  # it was killed when all was done: the next one begins anew
        shutil.rmtree(folder)
        return 0
    rows = log.read_text().splitlines()[1:] if log.exists() else []
    logged = int(rows[-1].split(",")[0]) + 1 if rows else 0
    files = [path for path in backup.glob("*") if ENDING not in path.name] if backup.exists() else []
    if not files:
        assert before == 0 or logged == EPOCHS, f"the backup of {before} epochs was lost"
        return 0
    (kept,) = (load_tensors(path)[1]["epoch"] for path in files)
    assert kept >= max(before, logged - 1), f"{kept} epochs are kept, of {before} before and {logged} in the log"
    return kept


def tensors_of(folder):
    return load_tensors(folder / "model")[0]


def main(kind, kills):
    work, choose = {"fit": fit, "train": train, "backup": backup}[kind], random.Random(int(kills))
    with tempfile.TemporaryDirectory() as top:
        whole = Path(top) / "whole"
        whole.mkdir()
        work_seconds = time.monotonic()
        assert attempt(work, whole, 300)
        work_seconds = time.monotonic() - work_seconds
        expected, done, ended = tensors_of(whole), 0, 0
        folder, kept, epochs = Path(top) / "run", {}, 0
        while done < kills or not ended:
            folder.mkdir(exist_ok=True)
            seconds = choose.uniform(0, 1.2 * work_seconds) if done < kills else 300
            if attempt(work, folder, seconds):
                found = tensors_of(folder)
                assert found.keys() == expected.keys()
                for name, tensor in expected.items():
                    assert np.array_equal(found[name], tensor, equal_nan=True), name
                shutil.rmtree(folder)
                ended, kept, epochs = ended + 1, {}, 0
                continue
            done += 1
            now = check_files(folder)
            if kind == "backup":
                epochs = check_epochs(folder, epochs)
            assert kept.items() <= now.items() or (folder / "model").exists(), "a finished network was lost"
            kept = now
    print(f"{kind}: {done} kills, {ended} runs that ended with the bits of an unbroken one ({work_seconds:.2f} s each)")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
