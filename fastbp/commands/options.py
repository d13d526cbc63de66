"""Options that the commands share: how a table's file is written, what its columns are, and how results are printed."""

import argparse
import json
import os
import sys

from fastbp.tabular.errors import TableError
from fastbp.tabular.reading import HowToRead

KINDS = ("category", "number", "date", "time", "duration")
_NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}


def add_reading_options(parser):
    """Declare how a CSV is written; what is not given is detected."""
    group = parser.add_argument_group("how the CSV is written (all of it is detected by default)")
    group.add_argument("--delimiter", type=_delimiter, metavar="CHAR", help='between fields; "tab" will do')
    group.add_argument("--decimal", choices=(".", ","), help="the decimal mark of numbers")
    group.add_argument("--thousands", choices=(",", ".", " ", "'"), help="the mark between thousands")
    group.add_argument("--encoding", metavar="NAME", help="of the text: utf-8, cp1252, utf-16 ...")
    group.add_argument(
        "--na", action="append", default=[], metavar="WORD", help='a further word for "missing" (may be repeated)'
    )
    group.add_argument(
        "--types", action="append", default=[], type=_types, metavar="COL=TYPE,...", help=f"one of {', '.join(KINDS)}"
    )


def how_to_read(arguments):
    """Return the `HowToRead` of parsed arguments."""
    marks = arguments.decimal, arguments.thousands
    if marks[0] is not None and marks[0] == marks[1]:
        raise TableError(f"--decimal and --thousands are both {marks[0]!r}.")
    return HowToRead(arguments.delimiter, *marks, arguments.encoding, tuple(arguments.na))


def asked_types(arguments):
    """Return {column: type} of --types."""
    return {name: kind for pairs in arguments.types for name, kind in pairs}


def add_json(parser):
    """Declare --json."""
    parser.add_argument("--json", action="store_true", help="print one JSON object to standard output, and no text")


def print_json(content):
    """Print an object as JSON; what is not finite is null."""
    print(json.dumps(plain(content), ensure_ascii=False, indent=1))


def mute_output():
    """Send standard output nowhere: whoever read it, such as ``head``, has left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(notes):
    """Print notes to standard error."""
    for note in notes:
        print("note:", " ".join(note.split()), file=sys.stderr)


def told_dropped(n_rows, target):
    """Return the words on rows without a target."""
    rows = "1 row has" if n_rows == 1 else f"{n_rows} rows have"
    return f"{rows} no value in {target!r} and {'is' if n_rows == 1 else 'are'} left out."


def check_names(frame, names, option):
    """Raise TableError where a table lacks a column that an option names."""
    from fastbp.tabular.columns import nearest_name

    for name in names:
        if name not in frame.columns:
            raise TableError(f"{option}: there is no column {name!r}.{nearest_name(name, list(frame.columns))}")


def _delimiter(text):
    mark = _NAMED_DELIMITERS.get(text.lower(), text)
    if len(mark) != 1 or not mark.isascii() or mark.isalnum() or mark in '"\r\n\0':
        raise argparse.ArgumentTypeError(f"{text!r} is not one character that can part fields")
    return mark


def _types(text):
    pairs = [pair.rpartition("=")[::2] for pair in text.split(",")]
    for name, kind in pairs:
        if not name or kind not in KINDS:
            raise argparse.ArgumentTypeError(f"{text!r} is not COL=TYPE with a type of {', '.join(KINDS)}")
    return pairs


def plain(value):
    """Return a value of Python's own types that JSON has."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    value = value.item() if hasattr(value, "item") else value
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return str(value)
