"""What columns of a table are there for, beside features: ids, weights, groups, time, or nothing."""

from typing import NamedTuple

from fastbp.commands.options import check_names
from fastbp.tabular.errors import TableError


class Given(NamedTuple):
    """The parts of a table: features (a frame), further arguments of `fit`, and {name: role} of other columns."""

    features: object
    of_fit: dict
    roles: dict


def add_roles(parser):
    """Declare the options that name columns."""
    for option, what in (
        ("--ignore", "leave this column out (may be repeated)"),
        ("--id", "leave this column out of training; predict copies it unchanged (may be repeated)"),
    ):
        parser.add_argument(option, action="append", default=[], metavar="COL", help=what)
    parser.add_argument("--weights", metavar="COL", help="the rows' weights")
    parser.add_argument("--groups", metavar="COL", help="rows of one group are never on both sides of a validation")
    parser.add_argument("--time", metavar="COL", help="validate on rows that are later than those of training")


def roles_of(frame, arguments, targets=()):
    """Return the `Given` parts of a pandas frame of features."""
    roles = dict.fromkeys(arguments.ignore, "ignored") | dict.fromkeys(arguments.id, "id")
    single = {"weights": arguments.weights, "groups": arguments.groups, "time": arguments.time}
    for option, name in single.items():
        if name is None:
            continue
        if name in targets:
            raise TableError(f"--{option} {name}: this is the target.")
        check_names(frame, [name], f"--{option}")
        roles[name] = option
    for option in ("ignore", "id"):
        if both := next((name for name in getattr(arguments, option) if name in targets), None):
            raise TableError(f"--{option} {both}: this is the target.")
        check_names(frame, getattr(arguments, option), f"--{option}")
    if "prediction" in arguments.id:
        raise TableError("--id prediction: the predictions have a column of this name: rename it in the table.")
    of_fit = {}
    if arguments.weights is not None:
        of_fit["sample_weight"] = _weights(frame[arguments.weights])
    if arguments.groups is not None:
        of_fit["groups"] = _known(frame[arguments.groups], "--groups").astype(str).to_numpy(object)
    if arguments.time is not None:
        of_fit["time"] = _instants(frame[arguments.time])
    gone = [name for name, role in roles.items() if role != "time" or name in (*arguments.ignore, *arguments.id)]
    if len(gone) == len(frame.columns):
        raise TableError("no column is left to learn from.")
    return Given(frame.drop(columns=gone), of_fit, roles)


def _weights(column):
    """Return a column as weights (n,)."""
    import numpy as np

    weights = _numbers(column, "--weights")
    wrong = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(wrong):
        row, value = column.index[wrong[0]] + 1, column.iloc[wrong[0]]
        raise TableError(f"--weights {column.name}: {value} in row {row} is no weight.")
    return weights


def _instants(column):
    """Return a column as times that can be put in order (n,)."""
    return _numbers(_known(column, "--time"), "--time")


def _numbers(column, option):
    import narwhals as nw

    from fastbp.tabular.columns import to_numbers
    from fastbp.tabular.groups_and_times import as_ordered

    return to_numbers(as_ordered(nw.from_native(column, series_only=True), f"{option} {column.name}", column.index)[0])


def _known(column, option):
    """Return a column, or raise TableError where it has missing values."""
    if column.isna().any():
        row = column.index[column.isna().to_numpy()][0] + 1
        raise TableError(f"{option} {column.name}: row {row} has no value in it.")
    return column
