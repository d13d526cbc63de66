"""Runs scripts, each in a fork of one process that has imported what most of them need: a program for a pipe.

Of the 1.7 s of CPU time of an example 0.9 were the imports of scikit-learn.  fastbp is not imported here: a script
imports its own.  A line of JSON asks for a script; the line that answers is its exit code.
"""

import json
import os
import runpy
import sys
import warnings
from importlib import import_module

# What `import` of these takes is the same in all scripts; no script sees that it is done.
NEEDED = (
    "matplotlib.font_manager",
    "pandas",
    "sklearn.datasets",
    "sklearn.metrics",
    "sklearn.model_selection",
    "sklearn.preprocessing",
)


def main():
    """Answer requests; in a fork, be the script."""
    for name in NEEDED:
        import_module(name)
    assert not [name for name in sys.modules if name.partition(".")[0] == "fastbp"]
    for line in sys.stdin:
        child = _fork()
        if child == 0:
            _be(**json.loads(line))
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _fork():
    with warnings.catch_warnings():
        # Python 3.12 counts the threads of OpenBLAS, which itself sees to forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _be(script, arguments, folder, out):
    """Run a script as `python script arguments` would in `folder`; `out` and `out`.err take what it prints."""
    for descriptor, path in enumerate((os.devnull, out, f"{out}.err")):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(folder)
    os.environ["MPLCONFIGDIR"] = folder
    sys.argv[:], sys.path[0] = [script, *arguments], os.path.dirname(script)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
