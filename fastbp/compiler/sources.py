"""The package's own files: which modules stand behind one, and a digest of what they hold."""

import hashlib
import os
import re
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_PYC_HEADER = 16  # bytes, among them the time of the source
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(fastbp[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)|import[ \t]+(fastbp[\w.]*))", re.MULTILINE
)


def is_ours(thing):
    """Does a function or a class come from the package?"""
    return str(thing.__module__).startswith("fastbp.")


def files_are_there():
    """Can the package's files be read?  Not in an archive, or within an executable."""
    return __name__ in _paths()


@cache
def sources_digest(module):
    """Return a digest of a module of the package and of all that it imports.

    Raises
    ------
    OSError
        Where a file is not there or cannot be read: a package in an archive, or within an executable.
    """
    parts = [(name, file_digest(name)) for name in modules_behind(module)]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@cache
def modules_behind(module, without=frozenset()):
    """Return the names of a module of the package and of all that it imports, directly or not, in order.

    Modules in `without` are left out, and what only they import.
    """
    found, new = set(), {module}
    while new:
        found |= new
        new = {name for known in new for name in _imports(known)} - found - without
    return sorted(found)


@cache
def _imports(module):
    """Return the names of the package's modules in the import statements of one of them."""
    if _path(module).endswith(".pyc"):  # no statements to read
        return _paths().keys() - {"fastbp"}
    named = []
    for package, names, alone in _IMPORT.findall(_content(module).decode()):
        words = re.sub(r"#[^\n]*", "", names).strip("()").replace(",", " ").split()
        named += [alone or package, *(f"{package}.{word}" for word in words)]
    return {name for name in named if name != "fastbp" and name in _paths()}


@cache
def file_digest(module):
    """Return the digest of the file of a module of the package."""
    return hashlib.sha256(_content(module)).hexdigest()


def file_size(module):
    """Return the size of the file of a module of the package."""
    return len(_content(module))


@cache
def _content(module):
    with open(_path(module), "rb") as file:
        content = file.read()
    return content[_PYC_HEADER:] if _path(module).endswith(".pyc") else content


def _path(module):
    if module not in _paths():
        raise FileNotFoundError(f"the file of {module} is not there")
    return _paths()[module]


@cache
def _paths():
    """Return {module: path} of the package's files: its sources, or the .pyc files in their place (`compileall -b`)."""
    found = {}
    for folder, _, names in os.walk(_PACKAGE):
        inner = os.path.relpath(folder, _PACKAGE).replace(os.sep, ".").strip(".")
        if inner.endswith("__pycache__"):
            continue
        for name in sorted(names, reverse=True):  # a source after its .pyc file
            stem, ending = os.path.splitext(name)
            if ending in (".py", ".pyc"):
                module = ".".join(part for part in ("fastbp", inner, stem.replace("__init__", "")) if part)
                found[module] = os.path.join(folder, name)
    return found
