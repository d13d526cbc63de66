"""``fastbp train``: networks from a table, in one file with its preprocessing."""

from pathlib import Path

from fastbp.commands.arguments import TABLE_HELP, check_output, number
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
        "--seed", type=number(int, 0, 2**32 - 1), default=0, metavar="N", help="of all that is random (0)"
    )
    parser.add_argument("--threads", type=number(int, 1), metavar="N", help="at most (default: the cores)")


def default_model_path(data):
    """Return the model's file for a table's: "data/adult.csv.gz" gives "adult.fastbp"."""
    name = Path(data).name
    for ending in (".gz", ".csv", ".tsv", ".txt", ".parquet", ".pq"):
        name = name.removesuffix(ending)
    return Path(f"{name or 'model'}.fastbp")


def run(arguments):
    """Read, train, report, save.

    After Ctrl-C the networks so far are saved where there is no file yet; one that is there stays.
    """
    out = Path(arguments.out) if arguments.out else default_model_path(arguments.data)
    check_output(out, arguments.data)

    from fastbp.tabular.reading import read_table

    frame = read_table(arguments.data)
    print(f"{arguments.data}: {len(frame)} rows, {len(frame.columns)} columns", flush=True)
    model, y = _train(frame, arguments)
    _report(model, y)
    print()
    if model.ensemble_.interrupted and out.exists():
        raise KeyboardInterrupt(f"{out} is left as it was (another model, or an earlier one).")
    model.save(out)
    print(f"saved {out} ({out.stat().st_size / 1e6:.2f} MB): networks and preprocessing", flush=True)
    if model.ensemble_.interrupted:
        raise KeyboardInterrupt(f"{out} holds what was trained until then: networks: {len(model.history_)}.")


def _train(frame, arguments):
    """Return the fitted estimator and the target (n,) of its rows."""
    import pandas as pd

    from fastbp.tabular.task import check_learnable, class_values, detect_task, number_values, split_target
    from fastbp.threads import set_num_threads

    features, column, dropped = split_target(frame, arguments.target)
    if dropped:
        print(f"{dropped} rows have no value in {arguments.target!r} and are left out.")
    task, reason = detect_task(column)
    if arguments.task not in ("auto", task):
        task, reason = arguments.task, "as asked"
    y = class_values(column) if task == "classification" else number_values(column)
    check_learnable(arguments.target, y, task)
    what = f"{len(set(y.tolist()))} classes" if task == "classification" else "a quantity"
    print(f"task: {task} of {arguments.target!r}, {what} ({reason})", flush=True)
    set_num_threads(arguments.threads)
    try:
        return _estimator(task, arguments).fit(features.to_native(), pd.Series(y, name=arguments.target)), y
    finally:
        set_num_threads(None)


def _estimator(task, arguments):
    from fastbp.tabular.model import ESTIMATORS

    kind = ESTIMATORS["TabularClassifier" if task == "classification" else "TabularRegressor"]
    return kind(arguments.preset, time_limit=arguments.time_limit, random_state=arguments.seed, verbose=1)


def _report(model, y):
    """Print what was trained, and the scores of the out-of-fold predictions."""
    import numpy as np

    from fastbp.commands import report

    for line in model.encoder_.notices:
        print(line)
    epochs = [network["best_epoch"] for network in model.history_]
    print(f"columns: {len(model.encoder_.columns)} used")
    print(f"networks: {len(epochs)}; their best epochs: {min(epochs)} to {max(epochs)}")
    print()
    classes = hasattr(model, "classes_")
    predicted = model.oof_proba_ if classes else model.oof_predictions_
    known = ~np.isnan(predicted).reshape(len(y), -1).any(axis=1)
    scores = report.class_scores if classes else report.quantity_scores
    truth = np.searchsorted(model.classes_, y) if classes else y
    print(report.side_by_side({"out of fold": scores(truth[known], predicted[known])}))
