"""``fastbp demo``: what train, evaluate and predict do, on a real data set that comes with scikit-learn."""

import shlex
from pathlib import Path

from fastbp.io.files import replace_file
from fastbp.tabular.errors import TableError

HELP = "train, evaluate and predict on a data set that scikit-learn bundles"

# The name of the target's column, and whether its values are names of classes.
TARGETS = {
    "breast_cancer": ("diagnosis", True),
    "wine": ("cultivar", True),
    "digits": ("digit", False),
    "diabetes": ("progression", False),
}


def add_arguments(parser):
    """Declare the command's arguments."""
    names = list(TARGETS)
    parser.add_argument("name", nargs="?", choices=names, default=names[0], help=f"the data set ({names[0]})")
    parser.add_argument("--dir", default=".", metavar="DIR", help="where to write its files (the current folder)")


def run(arguments):
    """Write the CSV, then run each command as a user would."""
    folder = Path(arguments.dir)
    if not folder.is_dir():
        raise TableError(f"--dir {folder}: there is no such folder.")
    name, target = arguments.name, TARGETS[arguments.name][0]
    print(f"reading {name}, which scikit-learn bundles", flush=True)  # whose import takes a second
    data, model, predictions = (str(folder / (name + end)) for end in (".csv", ".fastbp", "_predictions.csv"))
    write_dataset(name, data)
    parser = arguments.parser
    _run(parser, "train", data, "--target", target, "--out", model)
    _run(parser, "evaluate", model, data)
    print("\n(It was trained on these rows: the out-of-fold scores above tell how it does on new ones.)")
    _run(parser, "predict", model, data, "--out", predictions)
    with open(predictions, encoding="utf-8") as file:
        print("".join(line for line, _ in zip(file, range(4), strict=False)).rstrip())
    print("...")


def write_dataset(name, path):
    """Write a data set of scikit-learn's as a CSV; a file of the user's with that name is left alone."""
    from sklearn import datasets

    target, named = TARGETS[name]
    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    frame = bunch.data.copy()
    frame[target] = bunch.target_names[bunch.target] if named else bunch.target
    text = frame.to_csv(index=False, lineterminator="\n").encode()
    path = Path(path)
    if path.exists() and path.read_bytes() != text:
        raise TableError(f"{path} exists and is another file: choose a folder with --dir.")
    replace_file(path, text)
    print(f"wrote {path}: {len(frame)} rows, {len(frame.columns)} columns, from scikit-learn")


def _run(parser, *words):
    """Run the command that a user would type, by the parser of all commands."""
    print(f"\n$ fastbp {shlex.join(words)}", flush=True)
    arguments = parser.parse_args(words)
    arguments.run(arguments)
