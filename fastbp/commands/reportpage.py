"""``fastbp report``: a saved model on one HTML page, judged by a table with the answers in it."""

from fastbp.commands.arguments import TABLE_HELP, add_allow_unseen, check_output
from fastbp.commands.options import add_reading_options

HELP = "write an HTML page about a saved model and a table with the target in it"


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a file saved by fastbp train")
    parser.add_argument("data", metavar="DATA.csv", help=f"{TABLE_HELP}, of rows that the model was not trained on")
    parser.add_argument("--out", metavar="R.html", default="report.html", help="where to write (report.html)")
    add_allow_unseen(parser)
    add_reading_options(parser)


def run(arguments):
    """Read model and table, write the page."""
    check_output(arguments.out, arguments.model, arguments.data)

    from pathlib import Path

    from fastbp.commands import multitask
    from fastbp.commands.loading import load_model
    from fastbp.reporting.report import report

    model = load_model(arguments.model)
    several = hasattr(model, "tasks_")
    rows, y = (multitask.answered if several else _answered)(model, arguments)
    names = model.target_names_ if several else [model.target_name_]
    rows.index += 1  # rows of the file
    title = f"{Path(arguments.model).name}: {', '.join(names)}, by {Path(arguments.data).name}"
    report(model, rows, y, arguments.out, title=title)
    size = Path(arguments.out).stat().st_size / 1e3
    print(f"wrote {arguments.out} ({size:.0f} kB): {len(y)} rows, {', '.join(map(repr, names))}")


def _answered(model, arguments):
    """Return the features of the table, a pandas frame, and the target."""
    from fastbp.commands.loading import codes_of, read_answered, target_form
    from fastbp.tabular.task import number_values

    features, column = read_answered(model, arguments)
    if hasattr(model, "classes_"):
        return features.to_native(), model.classes_[codes_of(model.classes_, column)]
    return features.to_native(), number_values(column, target_form(model))
