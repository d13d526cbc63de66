"""``fastbp predict``: a model's predictions for a table, as a CSV with one line a row."""

from fastbp._files import is_stream, write_out
from fastbp.commands.arguments import TABLE_HELP, add_allow_unseen, check_output, tell_unseen

HELP = "predict with a saved model"


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a file saved by fastbp train")
    parser.add_argument("data", metavar="DATA.csv", help=TABLE_HELP)
    parser.add_argument("--out", metavar="P.csv", help="where to write (default, and -: standard output)")
    add_allow_unseen(parser)
    parser.add_argument("--proba", action="store_true", help="add a column with the probability of each class")


def run(arguments):
    """Read model and table, predict, write."""
    out = arguments.out or "-"
    if not is_stream(out):
        check_output(out, arguments.model, arguments.data)

    from fastbp.commands.loading import load_model, text_columns
    from fastbp.tabular.reading import TableError, read_table

    model = load_model(arguments.model)
    if arguments.proba and not hasattr(model, "classes_"):
        raise TableError("--proba: this model predicts a quantity, which has no probabilities.")
    frame = read_table(arguments.data, text=text_columns(model))
    unseen = []
    model.encoder_.transform(frame, unseen)
    tell_unseen(unseen, arguments.allow_unseen)
    table = _predictions(model, frame, arguments.proba)
    # 9 digits are what a float32 needs.
    text = table.to_csv(index=False, float_format="%.9g", lineterminator="\n")
    write_out(out, text.encode())
    if not is_stream(out):
        of_what = "" if model.target_name_ is None else f" of {model.target_name_!r}"
        print(f"wrote {len(table)} predictions{of_what} to {arguments.out}")


def _predictions(model, frame, with_probabilities):
    """Return a DataFrame: the predictions, or a column for each quantile, then one for each class's probability."""
    import pandas as pd

    if not hasattr(model, "classes_"):
        values = model.predict(frame)
        names = ["prediction"] if model.quantiles is None else [f"quantile_{level:g}" for level in model.quantiles]
        return pd.DataFrame(values.reshape(len(values), -1), columns=names)
    probabilities = model.predict_proba(frame)
    table = pd.DataFrame({"prediction": model.classes_[probabilities.argmax(axis=1)]})
    if with_probabilities:
        for code, label in enumerate(model.classes_):
            table[f"proba_{label}"] = probabilities[:, code]
    return table
