"""``fastbp predict``: a model's predictions for a table, as a CSV with one line a row."""

from __future__ import annotations

from fastbp.commands.arguments import TABLE_HELP, add_allow_unseen, check_output, tell_unseen
from fastbp.commands.options import (
    add_json,
    add_reading_options,
    asked_types,
    check_names,
    how_to_read,
    print_json,
    tell,
)
from fastbp.io.files import is_stream, write_out

HELP = "predict with a saved model"


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a file saved by fastbp train")
    parser.add_argument("data", metavar="DATA.csv", help=TABLE_HELP)
    parser.add_argument("--out", metavar="P.csv", help="where to write (default, and -: standard output)")
    add_allow_unseen(parser)
    parser.add_argument("--proba", action="store_true", help="add a column with the probability of each class")
    parser.add_argument(
        "--id",
        action="append",
        default=[],
        metavar="COL",
        help="copy this column into the predictions (may be repeated; default: those of training that are there)",
    )
    add_json(parser)
    add_reading_options(parser)


def run(arguments):
    """Read model and table, predict, write."""
    out = "-" if arguments.out is None else arguments.out
    if not is_stream(out):
        check_output(out, arguments.model, arguments.data)

    from fastbp.commands.loading import load_model, read_for
    from fastbp.tabular.errors import TableError

    model = load_model(arguments.model)
    if arguments.proba and len(getattr(model, "classes_", ())) == 0:
        raise TableError("--proba: this model predicts a quantity, which has no probabilities.")
    usual = model.reading_.get("ids", [])
    how, types = how_to_read(arguments), asked_types(arguments)
    table = read_for(model, arguments.data, how, ids=arguments.id or usual, types=types)
    tell(table.notes)
    check_names(table.frame, arguments.id, "--id")
    ids = arguments.id or [name for name in usual if name in table.frame.columns]
    unseen, odd = [], []
    model.encoder_.transform(table.frame, unseen, odd)
    tell(odd)
    tell_unseen(unseen, arguments.allow_unseen)
    predictions = _predictions(model, table.frame, arguments.proba)
    if twice := set(ids) & set(predictions.columns):
        raise TableError(f"--id {min(twice)}: the predictions have a column of this name: rename it in the table.")
    for place, name in enumerate(ids):
        predictions.insert(place, name, table.frame[name].to_numpy(), allow_duplicates=True)
    _write(predictions, model, arguments, out)


def _write(predictions, model, arguments, out):
    if arguments.json:
        rows = predictions.astype(object).where(predictions.notna(), None)
        print_json([dict(zip(rows.columns, row, strict=True)) for row in rows.itertuples(index=False, name=None)])
    if not arguments.json or out != "-":
        # Floats are written in the fewest digits that tell them from all others.
        write_out(out, predictions.to_csv(index=False, lineterminator="\n").encode())
    if not is_stream(out) and not arguments.json:
        names = getattr(model, "target_names_", [model.target_name_])
        of_what = "" if names == [None] else f" of {', '.join(map(repr, names))}"
        print(f"wrote {len(predictions)} predictions{of_what} to {arguments.out}")


def _predictions(model, frame, with_probabilities):
    """Return a DataFrame: the predictions, or a column for each quantile, then one for each class's probability."""
    import pandas as pd

    from fastbp.commands.loading import as_dates, target_form

    if hasattr(model, "tasks_"):
        from fastbp.commands.multitask import predictions

        return predictions(model, frame, with_probabilities)
    if not hasattr(model, "classes_"):
        values = model.predict(frame)
        names = ["prediction"] if model.quantiles is None else [f"quantile_{level:g}" for level in model.quantiles]
        table = pd.DataFrame(values.reshape(len(values), -1), columns=names)
        form = target_form(model)
        return table if form is None or form.kind != "date" else table.apply(as_dates)
    outputs = model._outputs(frame)
    table, probabilities = pd.DataFrame({"prediction": model._decided(outputs)}), model._shares(outputs)
    if with_probabilities:
        for code, label in enumerate(model.classes_):
            table[f"proba_{label}"] = probabilities[:, code]
    return table
