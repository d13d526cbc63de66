"""``fastbp evaluate``: how good a model's predictions are for a table with the answers in it."""

import sys

from fastbp.commands.arguments import TABLE_HELP, add_allow_unseen, tell_unseen

HELP = "measure a saved model on a table with the target in it"


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a file saved by fastbp train")
    parser.add_argument("data", metavar="DATA.csv", help=TABLE_HELP)
    add_allow_unseen(parser)


def run(arguments):
    """Read model and table, predict, print the report."""
    from fastbp.commands import report
    from fastbp.commands.loading import load_model
    from fastbp.tabular.reading import read_table
    from fastbp.tabular.task import split_target

    model = load_model(arguments.model)
    frame = read_table(arguments.data, text=model.text_columns)
    features, target, dropped = split_target(frame, model.target.name)
    unseen = []
    outputs = model.outputs(features, unseen)
    tell_unseen(unseen, arguments.allow_unseen)
    if dropped:
        print(f"note: {dropped} rows have no value in {model.target.name!r} and are left out.", file=sys.stderr)
    print(f"{arguments.data}: {len(features)} rows, {model.task} of {model.target.name!r}")
    print()
    print(report.full_report(model, outputs, target))
