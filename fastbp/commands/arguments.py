"""Types of arguments, and checks of the files a command is going to write."""

import argparse
import sys
from pathlib import Path

from fastbp.io.files import is_stream, writable
from fastbp.tabular.errors import TableError

TABLE_HELP = "a CSV with a header (also .csv.gz, and Parquet where pyarrow is installed)"


def number(convert, low, high=float("inf"), *, open_low=False, open_high=False):
    """Return an argparse type: a number from `low` to `high`, without the ends that are open."""

    def parse(text):
        try:
            value = convert(text)
        except ValueError:
            kind = "whole number" if convert is int else "number"
            raise argparse.ArgumentTypeError(f"{text!r} is not a {kind}") from None
        inside = (low < value if open_low else low <= value) and (value < high if open_high else value <= high)
        if value == float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not a finite number: leave it out for no limit")
        if not inside:
            top = "" if high == float("inf") else f" and {'below' if open_high else 'at most'} {high}"
            raise argparse.ArgumentTypeError(f"{text} must be {'above' if open_low else 'at least'} {low}{top}")
        return value

    return parse


def check_output(path, *inputs):
    """Raise TableError where `path` cannot be written, or is one of the command's inputs."""
    path = Path(path)
    if is_stream(path):
        raise TableError(f"--out {path} is a pipe or a device: name a file.")
    if path.is_dir():
        raise TableError(f"--out {path} is a folder: name a file.")
    if not path.parent.is_dir():
        raise TableError(f"--out {path}: there is no folder {str(path.parent)!r}.")
    for source in map(Path, inputs):
        if path.exists() and source.exists() and path.samefile(source):
            raise TableError(f"--out {path} would overwrite {source}, which this command reads.")
    writable(path)


def add_allow_unseen(parser):
    """Declare --allow-unseen."""
    parser.add_argument(
        "--allow-unseen",
        action="store_true",
        help="go on where the table has categories, or missing values in columns, that the training table had not",
    )


def tell_unseen(notices, allowed):
    """Print what training did not see, or raise TableError where that is not allowed."""
    if notices and not allowed:
        more = f" (and {len(notices) - 1} more such column{'s' * (len(notices) > 2)})" if len(notices) > 1 else ""
        raise TableError(f"{notices[0]}{more} Correct the table, or pass --allow-unseen to go on like that.")
    for line in notices:
        print("note:", line, file=sys.stderr)
