"""Build the kernel library: `python -m fastbp.compiler.build`.

Compiles every kernel of the package for each CPU level, in as many processes as there are cores, and writes a file a
level beside this one.  What is in a file already, made from the same sources by the same versions, is taken over.
"""

import argparse
import gc
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import fastbp
from fastbp.compiler.levels import LEVELS, machine_levels
from fastbp.compiler.library import FOLDER, is_up_to_date
from fastbp.compiler.libraryfile import ENDING, LibraryError, LibraryFile, library_content, symbol_of
from fastbp.compiler.sources import file_digest, file_size, modules_behind
from fastbp.io.files import replace_file

# Names the kernels: it makes networks, so it stands far above this folder.
LISTER = "fastbp.commands.everykernel"
# Files that find, keep and load machine code have no part in it: an edit of theirs leaves the library as it is.
NO_CODE = frozenset(
    {
        *(f"fastbp.compiler.{name}" for name in ("compiling", "entry", "kernelcache", "kerneldigest", "kernelfolder")),
        *(f"fastbp.compiler.{name}" for name in ("levels", "library", "libraryfile", "llvm_lock", "sources")),
        *("fastbp.io", "fastbp.io.files", "fastbp.settings.user_warnings"),
    }
)


def main(arguments=None):
    """Build the libraries that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m fastbp.compiler.build", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--level",
        action="append",
        choices=[*LEVELS, "machine"],
        help="a CPU level, or the best one of this machine (default: all levels); may be given more than once",
    )
    parser.add_argument("--only", default="all", choices=["demo"], help="no more than dense networks and tables need")
    parser.add_argument("--processes", type=_count, default=_cores(), help="default: one a core")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    given = parser.parse_args(arguments)
    levels = dict.fromkeys(_level_names(given.level or LEVELS))
    build(levels, given.only, given.processes, given.folder)


def _count(text):
    """Return a number of processes."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _level_names(given):
    for name in given:
        if name != "machine":
            yield name
        elif machine_levels():
            yield machine_levels()[0]
        else:
            sys.exit("this machine's CPU has none of the levels: kernels are compiled when they are first needed.")


def build(levels, only, processes, folder):
    """Write the libraries of these levels to a folder."""
    start = time.perf_counter()
    kernels = import_module(LISTER).SETS[only]()
    print(f"{len(kernels)} kernels ({time.perf_counter() - start:.1f} s)", flush=True)
    sources, behind = _sources(kernels)
    folder.mkdir(parents=True, exist_ok=True)
    for name in levels:
        path = folder / f"{name}{ENDING}"
        objects = _kept(path, name, kernels)
        new = {key: kernel for key, kernel in kernels.items() if key not in objects}
        objects |= _compiled(LEVELS[name], new, processes)
        content = library_content(name, versions(), sources, behind, objects)
        replace_file(path, content, mode=0o644)
        seconds = time.perf_counter() - start
        print(f"{path.name}: {len(new)} compiled, {len(content) / 1e6:.1f} MB ({seconds:.1f} s)", flush=True)


def versions():
    """Return the versions on which machine code depends."""
    import llvmlite
    import numba
    import numpy as np

    found = {"fastbp": fastbp.__version__, "numba": numba.__version__, "llvmlite": llvmlite.__version__}
    return found | {"numpy": np.__version__, "python": f"{sys.version_info[0]}.{sys.version_info[1]}"}


def _sources(kernels):
    """Return {module: (digest, size)} of the files behind kernels, and {a kernel's module: the modules behind it}."""
    modules = {kernel.module for kernel, _ in kernels.values()}
    behind = {module: modules_behind(module, NO_CODE) for module in modules}
    names = {name for names in behind.values() for name in names}
    return {name: (file_digest(name), file_size(name)) for name in names}, behind


def _kept(path, level, kernels):
    """Return {key: (object file, ...)} of the wanted kernels that an older library has, made from the same sources.

    The library must be of this level: a file that was renamed has vectors of another width.
    """
    try:
        old = LibraryFile(path)
        if (old.index.level, old.index.versions) != (level, versions()):
            return {}
        same = {module for module in old.index.behind if is_up_to_date(old.index, module)}
        known = {key: entry for key, entry in old.index.kernels.items() if key in kernels}
        return {key: (old.code(entry), entry.returns) for key, entry in known.items() if kernels[key][0].module in same}
    except (OSError, LibraryError):
        return {}


_kernels = {}


def _compiled(level, kernels, processes):
    """Return {key: (object file, what it returns)} of {key: (kernel, signature)}, compiled in several processes.

    These are forked: they have the kernels, and each has Numba's code generator to itself.
    """
    if not kernels:
        return {}
    import_module("fastbp.compiler.machinecode")  # once, before the fork
    _kernels.update(kernels)
    context = get_context("fork")
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(level,)) as pool:
        return dict(zip(kernels, pool.map(_object_of, kernels), strict=True))


def _begin(level):
    # Nearly all that compiling makes stays: to look through it took a tenth of the time.  See `_object_of`.
    gc.disable()
    from fastbp.compiler.machinecode import compile_for

    compile_for(level)


def _object_of(key):
    """Return the object file of a kernel, and NumPy's code of what it returns."""
    from fastbp.compiler import machinecode

    kernel, signature = _kernels[key]
    made = machinecode.object_of(kernel, signature, symbol_of(key))
    gc.collect(0)
    return made


if __name__ == "__main__":
    main()
