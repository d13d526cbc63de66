"""Files are written whole or not at all, and what a path is, a link, a mode, a pipe, it stays."""

import os
import random
import signal
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastbp
from fastbp.commands.main import main
from fastbp.io import files as _files
from fastbp.io.files import replace_file

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX files")


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_the_mode_is_kept(tmp_path, mode):
    path = tmp_path / "m"
    path.write_bytes(b"old")
    path.chmod(mode)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode_of(path) == mode


def test_nobody_reads_a_private_file_while_it_is_written(tmp_path, monkeypatch):
    path, modes = tmp_path / "m", []
    path.write_bytes(b"old")
    path.chmod(0o600)
    monkeypatch.setattr(os, "fsync", lambda descriptor: modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode)))
    keep = _files._keep_owner_and_mode
    monkeypatch.setattr(_files, "_keep_owner_and_mode", lambda file, old: (os.fsync(file), keep(file, old)))
    replace_file(path, b"new", durable=True)
    assert modes == [0o600, 0o600]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_is_kept(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(b"old")
    os.chown(path, 1234, 2345)
    path.chmod(0o660)
    replace_file(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid, mode_of(path)) == (1234, 2345, 0o660)


def test_what_another_group_could_read_this_one_need_not(tmp_path, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(b"old")
    path.chmod(0o664)

    def fail(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", fail)
    old = list(path.stat())
    old[5] += 1
    with open(tmp_path / "n", "wb") as file:
        _files._keep_owner_and_mode(file.fileno(), os.stat_result(old))
    assert mode_of(tmp_path / "n") == 0o644


def test_links_are_followed(tmp_path):
    target, link, chain = tmp_path / "folder" / "target", tmp_path / "link", tmp_path / "chain"
    target.parent.mkdir()
    link.symlink_to(target)
    chain.symlink_to("link")
    for content in (b"one", b"two"):  # the first makes what the link points to
        replace_file(chain, content)
        assert target.read_bytes() == content
        assert link.is_symlink()
        assert chain.is_symlink()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["chain", "folder", "link"]


def test_other_hard_links_keep_the_old_content(tmp_path):
    path, other = tmp_path / "m", tmp_path / "n"
    path.write_bytes(b"old")
    other.hardlink_to(path)
    replace_file(path, b"new")
    assert (path.read_bytes(), other.read_bytes()) == (b"new", b"old")


def test_what_is_no_file_is_refused(tmp_path):
    pipe, loop, folder = tmp_path / "pipe", tmp_path / "loop", tmp_path / "folder"
    os.mkfifo(pipe)
    folder.mkdir()
    loop.symlink_to(loop)
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
    for path, message in [
        (pipe, "it is a named pipe, not a file"),
        (folder, "it is a folder, not a file"),
        ("/dev/null", "it is a device, not a file"),
        (loop, "cannot save"),
        (f"{tmp_path}/nothing/", "nothing/: give the file a name"),
    ]:
        with pytest.raises(OSError, match=message):
            model.save(path)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    model.compile(loss="mean_squared_error")
    with pytest.raises(OSError, match="named pipe"):
        model.fit(np.ones((4, 2)), np.ones(4), verbose=0, callbacks=[fastbp.ModelCheckpoint(pipe, monitor="loss")])
    assert model.step == 0


def test_write_protected_files_are_left(tmp_path, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(b"old")
    path.chmod(0o444)
    # For root, everything may be written.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(PermissionError, match="cannot save .*m: it is write-protected"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("length", [240, 255])
def test_long_names(tmp_path, length):
    path = tmp_path / ("m" * length)
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert len(os.listdir(tmp_path)) == 1


KILLED = """
import os, sys
from fastbp.io import files as _files
os.fsync = lambda descriptor: (print("writing", flush=True), sys.stdin.read())
_files.replace_file(sys.argv[1], b"half", durable=True)
"""


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    path, other = tmp_path / "m", tmp_path / "other"
    path.write_bytes(b"old")
    words = [sys.executable, "-c", KILLED]
    writers = [
        subprocess.Popen([*words, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for target in (path, path, path, other)
    ]
    for writer in writers:
        assert writer.stdout.readline() == b"writing\n"
    dead, dead_too, alive, elsewhere = writers
    for writer in (dead, dead_too, elsewhere):
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.glob(".*"))) == 4
    replace_file(path, b"new")
    left = [entry.name for entry in tmp_path.glob(".*")]
    assert len(left) == 2
    assert any(f".{alive.pid}-" in name for name in left), "another process is still writing it"
    assert any(f".{elsewhere.pid}-" in name for name in left), "it is another file's"
    alive.communicate(b"")
    assert (alive.returncode, path.read_bytes()) == (0, b"half")
    replace_file(other, b"other")
    assert sorted(os.listdir(tmp_path)) == ["m", "other"]


def test_files_that_cannot_be_read_are_not_called_missing(tmp_path, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(b"x")
    real = open

    def guarded(file, *arguments, **settings):
        if file == path:
            raise PermissionError(13, "Permission denied", str(file))
        return real(file, *arguments, **settings)

    monkeypatch.setattr("builtins.open", guarded)
    with pytest.raises(PermissionError, match="the model file .*m cannot be read: permission denied"):
        fastbp.load_model(path)
    monkeypatch.undo()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileNotFoundError, match="there is no model file .*pipe: it is a named pipe"):
        fastbp.load_model(pipe)  # and does not wait for somebody to write


def predict(folder, out):
    return main(["predict", f"{folder}/wine.fastbp", f"{folder}/wine.csv", "--out", str(out)])


def test_predictions_go_to_files_pipes_and_standard_output(folder, tmp_path, capfd):
    path, pipe = tmp_path / "p.csv", tmp_path / "pipe"
    assert predict(folder, path) == 0
    expected = path.read_text()
    assert expected.count("\n") == 179
    path.write_text("old")
    path.chmod(0o600)
    assert predict(folder, path) == 0
    assert (path.read_text(), mode_of(path)) == (expected, 0o600)
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert predict(folder, pipe) == 0
    reader.join(60)
    assert read == [expected]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    capfd.readouterr()
    for out in ("-", "/dev/stdout", "/dev/fd/1"):
        assert predict(folder, out) == 0
        assert capfd.readouterr().out == expected
    assert predict(folder, "/dev/null") == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert sorted(os.listdir(tmp_path)) == ["p.csv", "pipe"]


def test_a_cut_write_of_predictions_leaves_the_old_ones(folder, tmp_path, monkeypatch, capsys):
    path = tmp_path / "p.csv"
    path.write_text("old")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    assert predict(folder, path) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["p.csv"]


def test_train_refuses_what_it_could_not_save_to_before_it_trains(folder, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    words = ["train", f"{folder}/wine.csv", "--target", "cultivar", "--out", str(tmp_path / "pipe")]
    assert main(words) == 2
    captured = capsys.readouterr()
    assert "is a pipe or a device: name a file" in captured.err
    assert captured.out == ""


def test_the_log_of_epochs_goes_through_links_and_to_streams(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(2,), seed=0)
    model.compile(loss="mean_squared_error")
    for path in (link, "/dev/null"):
        model.fit(np.ones((4, 2)), np.ones(4), epochs=2, verbose=0, callbacks=[fastbp.CSVLogger(path)])
    assert link.is_symlink()
    assert target.read_text().splitlines()[0] == "epoch,loss,learning_rate"
    assert len(target.read_text().splitlines()) == 3


def test_standard_output_that_is_a_file_is_appended_to(tmp_path):
    log = tmp_path / "log"
    code = "from fastbp.io.files import write_out; print('first', flush=True); write_out('/dev/stdout', b'second\\n')"
    with open(log, "wb") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert log.read_text() == "first\nsecond\n"


# A file that its name never got is closed with the object, which says so.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc")
def test_a_signal_handler_that_raises_leaves_no_file_open(tmp_path):
    class TimeUpError(Exception):
        pass

    def time_up(number, frame):
        raise TimeUpError

    draws, stopped = random.Random(0), 0
    old = signal.signal(signal.SIGALRM, time_up)
    before = len(os.listdir("/proc/self/fd"))
    try:
        for _ in range(1500):
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, draws.uniform(1e-6, 2e-4))
                    replace_file(tmp_path / "model", b"x" * 1000)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except TimeUpError:
                stopped += 1
    finally:
        signal.signal(signal.SIGALRM, old)
    assert stopped > 100
    assert len(os.listdir("/proc/self/fd")) == before
    replace_file(tmp_path / "model", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model").read_bytes() == b"whole"
