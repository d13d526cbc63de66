"""The package's own files: which modules stand behind one, and a digest of what they hold."""

import hashlib
import re
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent
# Without its sources (`compileall -b`) a package has .pyc files in their place.
_ENDINGS = (".py", "/__init__.py", ".pyc", "/__init__.pyc")
_PYC_HEADER = 16  # bytes, among them the time of the source
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(fastbp[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)|import[ \t]+(fastbp[\w.]*))", re.MULTILINE
)


@cache
def sources_digest(module):
    """Return a digest of a module of the package and of all that it imports.

    Raises
    ------
    OSError
        Where a file is not there or cannot be read: a package in an archive, or within an executable.
    """
    digest = hashlib.sha256()
    for name in modules_behind(module):
        content = _content(name)
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()


@cache
def modules_behind(module):
    """Return the names of a module of the package and of all that it imports, directly or not, in order."""
    found, new = set(), {module}
    while new:
        found |= new
        new = {name for known in new for name in _imports(known)} - found
    return sorted(found)


@cache
def _imports(module):
    """Return the names of the package's modules in the import statements of one of them."""
    if _path(module).suffix == ".pyc":  # no statements to read
        return _all_modules()
    named = []
    for package, names, alone in _IMPORT.findall(_content(module).decode()):
        words = re.sub(r"#[^\n]*", "", names).strip("()").replace(",", " ").split()
        named += [alone or package, *(f"{package}.{word}" for word in words)]
    return {name for name in named if name != "fastbp" and _has_path(name)}


@cache
def _all_modules():
    paths = [path.relative_to(_PACKAGE).with_suffix("") for path in _PACKAGE.rglob("*.py*")]
    names = {".".join(("fastbp", *path.parts)).removesuffix(".__init__") for path in paths}
    return {name for name in names if name != "fastbp" and _has_path(name)}


@cache
def _content(module):
    path = _path(module)
    content = path.read_bytes()
    return content[_PYC_HEADER:] if path.suffix == ".pyc" else content


def _has_path(module):
    try:
        return _path(module) is not None
    except FileNotFoundError:
        return False


@cache
def _path(module):
    """Return the file of a module of the package, or raise FileNotFoundError."""
    base = "/".join(module.split(".")[1:])
    for ending in _ENDINGS:
        path = _PACKAGE / f"{base}{ending}"
        if path.is_file():
            return path
    raise FileNotFoundError(f"the file of {module} is not there")
