"""``fastbp predict``: a model's predictions for a table, as a CSV with one line a row."""

import sys

from fastbp.commands.arguments import TABLE_HELP, add_allow_unseen, check_output, tell_unseen

HELP = "predict with a saved model"


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a file saved by fastbp train")
    parser.add_argument("data", metavar="DATA.csv", help=TABLE_HELP)
    parser.add_argument("--out", metavar="P.csv", help="where to write (default: standard output)")
    add_allow_unseen(parser)
    parser.add_argument("--proba", action="store_true", help="add a column with the probability of each class")


def run(arguments):
    """Read model and table, predict, write."""
    if arguments.out:
        check_output(arguments.out, arguments.model, arguments.data)
    import pandas as pd

    from fastbp.commands.loading import load_model
    from fastbp.tabular.reading import TableError, read_table

    model = load_model(arguments.model)
    if arguments.proba and model.task != "classification":
        raise TableError("--proba: this model predicts a quantity, which has no probabilities.")
    frame = read_table(arguments.data, text=model.text_columns)
    unseen = []
    outputs = model.outputs(frame, unseen)
    tell_unseen(unseen, arguments.allow_unseen)
    table = pd.DataFrame({"prediction": model.decide(outputs)})
    if arguments.proba:
        for code, label in enumerate(model.target.labels):
            table[f"proba_{label}"] = outputs[:, code]
    # 9 digits are what a float32 needs.
    table.to_csv(arguments.out or sys.stdout, index=False, float_format="%.9g", lineterminator="\n")
    if arguments.out:
        print(f"wrote {len(table)} predictions of {model.target.name!r} to {arguments.out}")
