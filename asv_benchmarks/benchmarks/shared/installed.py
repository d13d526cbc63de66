"""A copy of fastbp as a read-only image has it, and fresh processes that know nothing else: no home, no cache."""

import compileall
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fastbp

# What would let a process find another fastbp, a cache, or other kernels than an ordinary one.
FORGOTTEN = ("FASTBP", "PYTHON", "XDG", "NUMBA")
NOBODYS_HOME = "/dev/null/nobody"
CLI = ["-c", "import sys; from fastbp.commands.main import main; sys.exit(main())"]


class Installed:
    """A folder without write permission that holds the package with its bytecode and kernel libraries; a context."""

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name)
        package = self.path / "fastbp"
        shutil.copytree(Path(fastbp.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(package, quiet=1)
        self._paths = [self.path, *self.path.rglob("*")]
        self._allow(0o555)
        return self

    def __exit__(self, *exception):
        self._allow(0o755)
        self._folder.cleanup()

    def _allow(self, mode):
        for path in self._paths:
            path.chmod(mode)

    def written(self):
        """Return what processes have written beside the package, which an administrator's may: nothing, one hopes."""
        return sorted({*self.path.rglob("*")} - {*self._paths})

    def environment(self, **settings):
        """Return the environment of a process that finds this copy, and nothing that an earlier one left."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FORGOTTEN)}
        return kept | {"PYTHONPATH": str(self.path), "HOME": NOBODYS_HOME} | settings

    def seconds(self, *arguments, folder=None, **settings):
        """Run Python with these arguments; return the seconds from its start to its end."""
        command, environment = [sys.executable, *arguments], self.environment(**settings)
        started = time.perf_counter()
        subprocess.run(command, check=True, env=environment, cwd=folder or self.path, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    def imported(self, *arguments, folder=None):
        """Return [(module, milliseconds of its own)] of what a process imports, in order."""
        done = subprocess.run(
            [sys.executable, "-X", "importtime", *arguments],
            check=True,
            env=self.environment(),
            cwd=folder or self.path,
            capture_output=True,
        )
        lines = (line.split("|") for line in done.stderr.decode().splitlines() if line.startswith("import time:"))
        return [(name.strip(), int(own.split(":")[1]) / 1e3) for own, _, name in lines if "self" not in own]

    def on_screen(self, *arguments, folder):
        """Run Python in a terminal; return [(seconds since its start, what it wrote)], the last one at its end."""
        ours, its = pty.openpty()
        started = time.perf_counter()
        command, environment = [sys.executable, *arguments], self.environment(TERM="xterm", COLUMNS="100")
        with subprocess.Popen(command, env=environment, cwd=folder, stdin=its, stdout=its, stderr=its) as process:
            os.close(its)
            seen = [(time.perf_counter() - started, text) for text in iter(lambda: _read(ours), b"")]
        os.close(ours)
        if process.returncode:
            raise SystemExit(b"".join(text for _, text in seen).decode())
        return [*seen, (time.perf_counter() - started, b"")]


def _read(terminal):
    """Return what is written next, or nothing where its last writer has ended."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""
