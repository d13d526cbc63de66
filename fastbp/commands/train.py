"""``fastbp train``: networks from a table, in one file with its preprocessing."""

import sys
from pathlib import Path

from fastbp.commands.arguments import TABLE_HELP, check_output, number
from fastbp.commands.estimators import add_estimator_options, new_estimator
from fastbp.commands.options import (
    add_json,
    add_reading_options,
    asked_types,
    check_names,
    how_to_read,
    mute_output,
    print_json,
    tell,
    told_dropped,
)
from fastbp.commands.roles import add_roles, roles_of
from fastbp.tabular.errors import TableError
from fastbp.tabular.reading import STANDARD_INPUT
from fastbp.tabular.recipe import PRESETS

HELP = "train networks on a table and save them"


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("data", metavar="DATA.csv", help=TABLE_HELP)
    parser.add_argument("--target", required=True, metavar="COL", help="the column to learn")
    parser.add_argument("--out", metavar="MODEL", help="the model's file (default: DATA.fastbp in the current folder)")
    parser.add_argument(
        "--task",
        choices=("auto", "classification", "regression"),
        default="auto",
        help="auto: text, booleans, two whole numbers, or at most 20 whole numbers with 5 rows or more each "
        "are classes; other numbers are a quantity",
    )
    parser.add_argument(
        "--preset", choices=tuple(PRESETS), default="default", help="how much time goes into accuracy (default)"
    )
    parser.add_argument(
        "--time-limit",
        type=number(float, 0, open_low=True),
        metavar="SECONDS",
        help="end the training early enough (no limit)",
    )
    parser.add_argument(
        "--resume",
        metavar="FOLDER",
        help="keep each network there as soon as it is trained, and go on with those that are there: after a kill the "
        "same command ends as if nothing had happened; removed once the model is saved",
    )
    parser.add_argument(
        "--seed", type=number(int, 0, 2**32 - 1), default=0, metavar="N", help="of all that is random (0)"
    )
    parser.add_argument("--threads", type=number(int, 1), metavar="N", help="at most (default: the cores)")
    add_estimator_options(parser)
    add_roles(parser)
    add_json(parser)
    add_reading_options(parser)


def default_model_path(data):
    """Return the model's file for a table's: "data/adult.csv.gz" gives "adult.fastbp"."""
    name = "model" if data == STANDARD_INPUT else Path(data).name
    for ending in (".gz", ".csv", ".tsv", ".txt", ".parquet", ".pq"):
        name = name.removesuffix(ending)
    return Path(f"{name or 'model'}.fastbp")


def run(arguments):
    """Read, train, report, save.

    After Ctrl-C the networks so far are saved where there is no file yet; one that is there stays.
    """
    out = Path(arguments.out) if arguments.out is not None else default_model_path(arguments.data)
    check_output(out, arguments.data)

    from fastbp.tabular.checkpoint import Checkpoint
    from fastbp.tabular.reading import read_file
    from fastbp.tabular.settling import Expected

    how, types = how_to_read(arguments), asked_types(arguments)
    expected = Expected(text=frozenset(arguments.id), kinds=types)
    table = read_file(arguments.data, how, expected=expected, target=arguments.target)
    check_names(table.frame, types, "--types")
    say = _speaker(arguments.json)
    say(f"{arguments.data}: {len(table.frame)} rows, {len(table.frame.columns)} columns")
    tell(table.notes)  # before what follows complains of a value that was odd and is missing now
    facts = _train(table, arguments, say)
    model = facts.pop("model")
    interrupted = model.ensemble_.interrupted
    if interrupted and out.exists():
        raise KeyboardInterrupt(f"{out} is left as it was (another model, or an earlier one).")
    model.save(out)
    if arguments.resume and not interrupted:
        Checkpoint(arguments.resume).remove()
    if arguments.json:
        print_json({"data": arguments.data, "model": str(out), **facts})
    else:
        say(f"\nsaved {out} ({out.stat().st_size / 1e6:.2f} MB): networks and preprocessing")
    if interrupted:
        raise KeyboardInterrupt(f"{out} holds what was trained until then: networks: {len(model.history_)}.")


def _speaker(as_json):
    """Return the function that prints progress: to standard error where standard output is for JSON."""

    def say(*words):
        try:
            print(*words, file=sys.stderr if as_json else sys.stdout, flush=True)
        except BrokenPipeError:  # the model is saved all the same
            mute_output()

    return say


def _train(table, arguments, say):
    """Return a dict: the fitted model, what was found in the table, and the scores."""
    from fastbp.tabular.task import detect_task, split_target

    features, column, dropped = split_target(table.frame, arguments.target)
    task, reason = _asked_task(arguments.task) or detect_task(column, table.target_form)
    y = _target_values(column, task, table)
    what = f"{len(set(y.tolist()))} classes" if task == "classification" else "a quantity"
    if task == "regression" and table.target_form is not None and table.target_form.kind in ("time", "duration"):
        what += " in seconds"
    given = roles_of(features.to_native(), arguments)
    model = new_estimator(task, arguments, y)
    rows = _columns(table, given, arguments)
    if dropped:
        say(told_dropped(dropped, arguments.target))
    _show_columns(rows, say)
    say(f"task: {task} of {arguments.target!r}, {what} ({reason})")
    _fit(model, given, y, arguments)
    model.encoder_.adopt_forms(table.forms)
    told = [line for line in [*model.encoder_.notices, *model.encoder_.doubts] if line not in table.notes]
    for line in told:
        say(line)
    scores = _report(model, y, say)
    form = table.target_form if task == "regression" else None
    model.reading_ = _remembered(table, form, rows, scores, arguments)
    facts = {"task": task, "target": arguments.target, "rows": len(y), "dropped_rows": dropped, "columns": rows}
    return {
        "model": model,
        **facts,
        "notes": [*table.notes, *told],
        "scores": scores,
    }


def _asked_task(task):
    return None if task == "auto" else (task, "as asked")


def _target_values(column, task, table):
    """Return the target (n,): quantities, or classes as they are in the file."""
    from fastbp.tabular.task import check_learnable, class_values, number_values

    if task == "regression":
        y = number_values(column, table.target_form)
    else:
        y = class_values(column)
        if y.dtype.kind == "f":  # 0.5 and 1.50 as classes
            y = _as_written(column, table)
    check_learnable(column.name, y, task)
    return y


def _fit(model, given, y, arguments):
    """Fit to the features in `given`; what is wrong with them is a mistake of the user's, told in a line."""
    import pandas as pd

    from fastbp.engine.threads import set_num_threads

    set_num_threads(arguments.threads)
    try:
        model.fit(given.features, pd.Series(y, name=arguments.target), checkpoint=arguments.resume, **given.of_fit)
    except ValueError as error:
        raise TableError(str(error)) from None
    finally:
        set_num_threads(None)


def _columns(table, given, arguments):
    from fastbp.commands.columns import column_types, describe_columns

    frame, roles = table.frame, {**given.roles, arguments.target: "target"}
    types = column_types(frame, {**table.forms, arguments.target: table.target_form})
    return describe_columns(frame, types, roles)


def _as_written(column, table):
    """Return the values of a column of numbers as text (n,), in a file's own digits where it is a CSV."""
    import numpy as np

    from fastbp.tabular.task import class_values

    if table.file is None:
        return class_values(column, as_text=True)
    written = table.file.read_text([column.name])[column.name]
    return np.array(written.loc[column.to_native().index].str.strip().tolist(), dtype=object)


def _show_columns(rows, say):
    from fastbp.commands.columns import columns_as_text

    say()
    say(columns_as_text(rows))
    say()


def _remembered(table, target_form, rows, scores, arguments):
    """Return what `reading_` keeps of the file, for predict, evaluate and info."""
    from fastbp import __version__
    from fastbp.commands.options import plain
    from fastbp.tabular.recognition import packed_form

    kept = ("name", "type", "role")
    return {
        "decimal": table.how.decimal,
        "thousands": table.how.thousands,
        "target_form": packed_form(target_form),
        "ids": arguments.id,
        "columns": [{key: row[key] for key in kept} for row in rows],
        "scores": plain(scores),
        "fastbp": __version__,
    }


def _report(model, y, say):
    """Print what was trained, and the scores of the out-of-fold predictions; return these."""
    import numpy as np

    from fastbp.commands import report

    epochs = [network["best_epoch"] for network in model.history_]
    say(f"columns: {len(model.encoder_.columns)} used")
    say(f"networks: {len(epochs)}; their best epochs: {min(epochs)} to {max(epochs)}")
    say()
    classes = hasattr(model, "classes_")
    predicted = model.oof_proba_ if classes else model.oof_predictions_
    known = ~np.isnan(predicted).reshape(len(y), -1).any(axis=1)
    if not classes and model.quantiles is not None:
        say(report.quantile_report(y[known], predicted[known], model.quantiles))
        return {"rows": int(known.sum()), "pinball loss": model.best_score_}
    scores = report.class_scores if classes else report.quantity_scores
    truth = np.searchsorted(model.classes_, y) if classes else y
    found = scores(truth[known], predicted[known])
    say(report.side_by_side({"out of fold": found}))
    return found
