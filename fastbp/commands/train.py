"""``fastbp train``: networks from a table, in one file with its preprocessing."""

import argparse
import sys
from pathlib import Path

from fastbp.commands.arguments import TABLE_HELP, check_output, number
from fastbp.commands.column_roles import add_roles, roles_of
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
from fastbp.commands.training import asked_task, columns_of, fit, remembered, show_columns, target_values, told_of
from fastbp.tabular.reading import STANDARD_INPUT
from fastbp.tabular.recipe import PRESETS

TASKS = ("auto", "classification", "regression")
HELP = "train networks on a table and save them"


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("data", metavar="DATA.csv", help=TABLE_HELP)
    parser.add_argument(
        "--target", required=True, metavar="COL,...", help="the column to learn; several are learnt at once"
    )
    parser.add_argument("--out", metavar="MODEL", help="the model's file (default: DATA.fastbp in the current folder)")
    parser.add_argument(
        "--task",
        type=_task,
        default="auto",
        metavar="TASK",
        help="auto, classification or regression; of several targets COL=TASK,... will do. auto: text, booleans, two "
        "whole numbers, or at most 20 whole numbers with 5 rows or more each are classes; other numbers are a quantity",
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
        metavar="PATH",
        help="keep each network there as soon as it is trained, and go on with those that are there: after a kill the "
        "same command ends as if nothing had happened; a folder under any name, such as run.ckpt, or a file in it; "
        "removed once the model is saved",
    )
    parser.add_argument(
        "--seed", type=number(int, 0, 2**32 - 1), default=0, metavar="N", help="of all that is random (0)"
    )
    parser.add_argument("--threads", type=number(int, 1), metavar="N", help="at most (default: the cores)")
    add_estimator_options(parser)
    add_roles(parser)
    add_json(parser)
    add_reading_options(parser)


def _task(text):
    """Return a task for all targets, or {column: task} of "a=classification,b=regression"."""
    if text in TASKS:
        return text
    pairs = [pair.rpartition("=")[::2] for pair in text.split(",")]
    if not all(name and task in TASKS for name, task in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(TASKS)}, or COL=TASK,... with such")
    return dict(pairs)


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
    say = _speaker(arguments.json)
    # What reads it takes a second to import.
    say("reading", "standard input" if arguments.data == STANDARD_INPUT else arguments.data)

    from fastbp.tabular.checkpoint import Checkpoint
    from fastbp.tabular.csv_types import Expected
    from fastbp.tabular.reading import read_file

    how, types = how_to_read(arguments), asked_types(arguments)
    expected = Expected(text=frozenset(arguments.id), kinds=types)
    table = read_file(arguments.data, how, expected=expected, target=arguments.target)
    check_names(table.frame, types, "--types")
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
    import pandas as pd

    from fastbp.tabular.columns import target_names
    from fastbp.tabular.recognition import packed_form
    from fastbp.tabular.task import detect_task, split_target

    if len(target_names(arguments.target, table.frame.columns)) > 1:
        from fastbp.commands.multitask import train

        return train(table, arguments, say)
    features, column, dropped = split_target(table.frame, arguments.target)
    task, reason = asked_task(arguments.task, arguments.target) or detect_task(column, table.target_form)
    y = target_values(column, task, table, table.target_form)
    what = f"{len(set(y.tolist()))} classes" if task == "classification" else "a quantity"
    if task == "regression" and table.target_form is not None and table.target_form.kind in ("time", "duration"):
        what += " in seconds"
    given = roles_of(features.to_native(), arguments, [arguments.target])
    model = new_estimator(task, arguments, y)
    rows = columns_of(table, given, {arguments.target: table.target_form})
    if dropped:
        say(told_dropped(dropped, arguments.target))
    show_columns(rows, say)
    say(f"task: {task} of {arguments.target!r}, {what} ({reason})")
    fit(model, given, pd.Series(y, name=arguments.target), arguments)
    told = told_of(model, table)
    for line in told:
        say(line)
    scores = _report(model, y, say)
    form = table.target_form if task == "regression" else None
    model.reading_ = remembered(table, rows, scores, arguments) | {"target_form": packed_form(form)}
    facts = {"task": task, "target": arguments.target, "rows": len(y), "dropped_rows": dropped, "columns": rows}
    return {
        "model": model,
        **facts,
        "notes": [*table.notes, *told],
        "scores": scores,
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
    if classes:
        codes = np.searchsorted(model.classes_, y)
        found = report.class_scores(codes[known], predicted[known], model._chosen(predicted[known]))
    else:
        found = report.quantity_scores(y[known], predicted[known])
    say(report.side_by_side({"out of fold": found}))
    return found
