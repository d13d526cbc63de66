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
    from fastbp.commands.loading import load_model, text_columns
    from fastbp.tabular.reading import TableError, read_table
    from fastbp.tabular.task import split_target

    model = load_model(arguments.model)
    name = model.target_name_
    if name is None:
        raise TableError(f"{arguments.model} does not know its target's name: fit it with a Series that has one.")
    frame = read_table(arguments.data, text=text_columns(model))
    features, column, dropped = split_target(frame, name)
    unseen = []
    model.encoder_.transform(features, unseen)
    tell_unseen(unseen, arguments.allow_unseen)
    if dropped:
        print(f"note: {dropped} rows have no value in {name!r} and are left out.", file=sys.stderr)
    text = _report(model, features, column)
    task = "classification" if hasattr(model, "classes_") else "regression"
    print(f"{arguments.data}: {len(features)} rows, {task} of {name!r}")
    print()
    print(text)


def _report(model, features, column):
    from fastbp.commands import report
    from fastbp.tabular.task import number_values

    if hasattr(model, "classes_"):
        codes = _codes(model, column)
        return report.class_report(codes, model.predict_proba(features), [str(label) for label in model.classes_])
    truth, predicted = number_values(column), model.predict(features)
    if model.quantiles is None:
        return report.side_by_side({"": report.quantity_scores(truth, predicted)})
    return report.quantile_report(truth, predicted, model.quantiles)


def _codes(model, column):
    """Return the classes' codes (n,) of the target's column."""
    import numpy as np

    from fastbp.commands.loading import classes_are_text
    from fastbp.tabular.reading import TableError
    from fastbp.tabular.task import class_values

    values, classes = class_values(column, classes_are_text(model)), model.classes_.tolist()
    codes = {label: code for code, label in enumerate(classes)}
    try:
        return np.array([codes[value] for value in values.tolist()])
    except KeyError as error:
        known = ", ".join(map(str, classes[:10])) + (" ..." if len(classes) > 10 else "")
        raise TableError(
            f"the target column {column.name!r} holds {error.args[0]!r}, which training did not see; its classes are "
            f"{known}."
        ) from None
