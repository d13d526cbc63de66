"""The build hook: a wheel, or an editable installation, gets the kernel library.

`pip wheel .` and `python -m build` compile every kernel for every CPU level.  `pip install .` makes its user wait: it
compiles what dense networks and tables need, for this machine, and takes over what is there from earlier.
FASTBP_BUILD says otherwise: all, demo or none (what is there is packed).  Where nothing can be compiled the package is
installed without: kernels are compiled when they are first needed.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = "fastbp/compiler/built"
COMMANDS = {"all": [], "demo": ["--only", "demo", "--level", "machine"]}
# Words of a command line that say that somebody makes a wheel to hand on, or that somebody waits.
MAKES_WHEELS, INSTALLS = {"wheel", "build"}, {"install", "sync", "add", "run"}


class KernelLibraryHook(BuildHookInterface):
    """Hatchling calls `initialize` before it packs a wheel or writes an editable installation."""

    PLUGIN_NAME = "custom"

    def initialize(self, version, build_data):
        """Build the library and have it packed."""
        wanted = os.environ.get("FASTBP_BUILD") or ("all" if _makes_a_wheel() else "demo")
        if self.target_name != "wheel":
            return
        if wanted not in (*COMMANDS, "none"):
            raise ValueError(f"FASTBP_BUILD={wanted!r}: it is all, demo or none.")
        root = Path(self.root)
        folder = root / BUILT
        if not os.access(folder if folder.exists() else folder.parent, os.W_OK):
            self._temporary = tempfile.TemporaryDirectory()
            folder = Path(self._temporary.name)
        try:
            if wanted != "none":
                self._build(root, folder, COMMANDS[wanted])
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"Kernels are not compiled ahead of time, but when they are first used: {error}")
        if version != "editable":
            for path in folder.glob("*.kernels"):
                build_data["force_include"][str(path)] = f"{BUILT}/{path.name}"

    def _build(self, root, folder, options):
        path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "fastbp.compiler.build", "--folder", str(folder), *options]
        # Numba's settings are the user's, for code of his own.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
        subprocess.run(command, env=kept | {"PYTHONPATH": path}, cwd=root, check=True)


def _makes_a_wheel():
    """Is one of the programs that led here told to make a wheel?  (On Linux; elsewhere there is no library.)"""
    return tells_to_make_a_wheel(_command_lines())


def tells_to_make_a_wheel(commands):
    """Does the first of these commands (lists of words, the nearest one first) that says what to do make a wheel?"""
    for words in commands:
        if MAKES_WHEELS & set(words[1:4]):
            return True
        if INSTALLS & set(words[1:4]):
            return False
    return False


def _command_lines():
    """Yield the words of the command of each process that led here, the nearest one first."""
    process = os.getppid()
    while process > 1:
        try:
            yield Path(f"/proc/{process}/cmdline").read_text().split("\0")
            process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            return
