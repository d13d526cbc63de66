"""Write the lists of public names from what the files register: run it after adding a layer, a loss and so on.

    python tools/public_names.py            write fastbp/__init__.py, the stub, and __init__ of the families in GATHERED
    python tools/public_names.py --check    say which of these are out of date, and change nothing

It reads the sources, imports nothing of fastbp and runs nothing of it.  A class under ``@FAMILY.register("name")`` or
``@FAMILY.accept`` is public, unless its name begins with "_" or its body says ``listed = False``.  Of activations those
with settings are: the others are used by their names.  Callbacks derive from Callback or Monitor.  Names
outside these families stand in ``_HOMES`` of fastbp/__init__.py, which is written by hand.
"""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "fastbp"
BEGIN, END = "# From here on written by tools/public_names.py.\n", "# To here.\n"
# Families whose every file is a home of its own; families that their __init__ gathers; files at the top.
IN_THEIR_FILES, GATHERED = ("layers",), ("initializers", "losses", "optimizers")
SINGLE_FILES = ("schedules", "activations", "regularizers")


def files_of(family):
    """Return the files of a family, a folder or a file beside the folders."""
    folder = PACKAGE / family
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{family}.py"]


def module_of(path):
    """Return a file's dotted name within the package: "layers.core.dense"."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def assigned(body, name):
    """Return the value that a module's or class's body assigns to a name, or None."""
    for node in body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return node.value
    return None


def is_registered(node):
    """Does a registry's decorator stand over a class?"""
    marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]
    return any(isinstance(mark, ast.Attribute) and mark.attr in ("register", "accept") for mark in marks)


def is_listed(node):
    """Is a registered class public, as far as its body tells?"""
    value = assigned(node.body, "listed")
    return not node.name.startswith("_") and (value is None or ast.literal_eval(value))


def has_settings(node):
    """Does a dataclass have fields?"""
    return any(isinstance(part, ast.AnnAssign) for part in node.body)


def registered(path, wanted=is_listed):
    """Return the names of the registered classes of a file that are `wanted`."""
    classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    return sorted(node.name for node in classes if is_registered(node) and wanted(node))


def callbacks_of(path):
    """Return the names of the callbacks of a file, Callback itself among them."""
    classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    return sorted(node.name for node in classes if is_callback(node) and is_listed(node))


def is_callback(node):
    """Is a class Callback, or derived from it or from Monitor?"""
    names = {node.name} | {base.id for base in node.bases if isinstance(base, ast.Name)}
    return not names.isdisjoint(("Callback", "Monitor"))


def families():
    """Return {module: public names} of all families."""
    found = {}
    for family in IN_THEIR_FILES:
        found |= {module_of(path): registered(path) for path in files_of(family)}
    for family in GATHERED:
        found[family] = sorted(name for path in files_of(family) for name in registered(path))
    for family in SINGLE_FILES:
        wanted = has_settings if family == "activations" else is_listed
        found[family] = [name for path in files_of(family) for name in registered(path, wanted)]
    found |= {module_of(path): callbacks_of(path) for path in files_of("callbacks")}
    return {module: names for module, names in sorted(found.items()) if names}


def others():
    """Return {module: public names} of what stands in fastbp/__init__.py by hand."""
    return ast.literal_eval(assigned(ast.parse((PACKAGE / "__init__.py").read_text()).body, "_HOMES"))


def homes_text():
    """Return what fastbp/__init__.py says of the families."""
    return f"_FAMILIES = {families()!r}\n"


def stub_text():
    """Return the imports of the stub."""
    homes = others() | families()
    lines = [f"from fastbp.{home} import {name} as {name}\n" for home, names in homes.items() for name in names]
    return "".join(lines) + "".join(f"from fastbp import {name} as {name}\n" for name in modules())


def modules():
    """Return the modules that users write with the package's name before them."""
    return ast.literal_eval(assigned(ast.parse((PACKAGE / "__init__.py").read_text()).body, "_MODULES"))


def gathered_text(family):
    """Return the imports and __all__ of a family's __init__: what its files register, and what its base offers."""
    parts = {module_of(path): registered(path) for path in files_of(family)}
    base = ast.parse((PACKAGE / family / "base.py").read_text()).body
    parts[f"{family}.base"] = ast.literal_eval(assigned(base, "__all__"))
    parts = {module: names for module, names in parts.items() if names}
    lines = [f"from fastbp.{module} import {', '.join(names)}\n" for module, names in parts.items()]
    return "".join(lines) + f"\n__all__ = {sorted(name for names in parts.values() for name in names)!r}\n"


def texts():
    """Return {file: what stands between its two marks}."""
    made = {PACKAGE / "__init__.py": homes_text(), PACKAGE / "__init__.pyi": stub_text()}
    return made | {PACKAGE / family / "__init__.py": gathered_text(family) for family in GATHERED}


def replaced(path, text):
    """Return a file with another text, formatted, between its marks."""
    for command in (("check", "--select", "I,RUF022", "--fix"), ("format",)):
        run = [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", str(path), "-"]
        text = subprocess.run(run, input=text, capture_output=True, text=True, check=True).stdout
    before, _, rest = path.read_text().partition(BEGIN)
    return f"{before}{BEGIN}{text}\n{END}{rest.partition(END)[2]}"


def stale():
    """Return the files whose lists are not what the sources say."""
    found = []
    for path, text in texts().items():
        between = path.read_text().partition(BEGIN)[2].partition(END)[0]
        if said(between) != said(text):
            found.append(path)
    return found


def said(text):
    """Return what imports and assignments say, whatever their layout and order."""
    nodes = ast.parse(text).body
    return {name for node in nodes for name in imported(node)}, {named for node in nodes for named in named_by(node)}


def imported(node):
    """Return the (module, name) of an import."""
    return {(node.module, alias.name) for alias in node.names} if isinstance(node, ast.ImportFrom) else set()


def named_by(node):
    """Return the name that an assignment gives, and its value as text, whatever the order of a list."""
    if not isinstance(node, ast.Assign):
        return set()
    value = ast.literal_eval(node.value)
    return {(node.targets[0].id, repr(sorted(value) if isinstance(value, list) else value))}


def main(arguments):
    """Write the files, or check them."""
    if "--check" in arguments:
        files = stale()
        for path in files:
            print(f"{path} is out of date: run python tools/public_names.py")
        return len(files) > 0
    for path, text in texts().items():
        path.write_text(replaced(path, text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
