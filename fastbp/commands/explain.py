"""``fastbp explain``: what each column contributes to a model's predictions for a table."""

from fastbp.commands.arguments import TABLE_HELP, add_allow_unseen, check_output, number, tell_unseen
from fastbp.commands.options import add_json, add_reading_options, asked_types, how_to_read, print_json, tell
from fastbp.io.files import is_stream, write_out

HELP = "show what each column contributes to a saved model's predictions"


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a file saved by fastbp train")
    parser.add_argument("data", metavar="DATA.csv", help=TABLE_HELP)
    parser.add_argument(
        "--row", type=number(int, 1), metavar="N", help="one row, counted from 1 (default: means of the sizes of all)"
    )
    parser.add_argument("--out", metavar="C.csv", help="write the contributions of all rows (-: standard output)")
    add_allow_unseen(parser)
    add_json(parser)
    add_reading_options(parser)


def run(arguments):
    """Read model and table, explain, print or write."""
    if arguments.out is not None and not is_stream(arguments.out):
        check_output(arguments.out, arguments.model, arguments.data)

    from fastbp.commands.loading import load_model, read_for
    from fastbp.tabular.errors import TableError

    model = load_model(arguments.model)
    table = read_for(model, arguments.data, how_to_read(arguments), types=asked_types(arguments))
    tell(table.notes)
    frame = table.frame.to_native() if hasattr(table.frame, "to_native") else table.frame
    if arguments.row is not None and arguments.row > len(frame):
        raise TableError(f"--row {arguments.row}: the table has {len(frame)} rows.")
    if arguments.row is not None:
        frame = frame.iloc[[arguments.row - 1]]
    unseen, odd = [], []
    model.encoder_.transform(frame, unseen, odd)
    tell(odd)
    tell_unseen(unseen, arguments.allow_unseen)
    found = model.explain(frame)
    outputs = _by_output(model, found)
    if arguments.out is not None:
        write_out(arguments.out, _flat(outputs).to_csv(index=False, lineterminator="\n").encode())
        if not is_stream(arguments.out):
            print(f"wrote the contributions of {len(found)} rows to {arguments.out}")
    elif arguments.json:
        print_json(_described(outputs, arguments.row))
    else:
        print(_told(model, outputs, frame, arguments.row))


def _by_output(model, found):
    """Return {output: frame of contributions}; one output is called by what it is."""
    if found.columns.nlevels > 1:
        return {str(name): found[name] for name in dict.fromkeys(found.columns.get_level_values(0))}
    name = f"probability of {model.classes_[1]}" if hasattr(model, "classes_") else model.target_name_ or "prediction"
    return {name: found}


def _flat(outputs):
    """Return one frame, whose columns have the output in front where there are several."""
    import pandas as pd

    if len(outputs) == 1:
        return next(iter(outputs.values()))
    return pd.concat([frame.add_prefix(f"{name}: ") for name, frame in outputs.items()], axis=1)


def _described(outputs, row):
    """Return what is printed, ready for JSON."""
    if row is not None:
        return {"row": row, "contributions": {name: frame.iloc[0].to_dict() for name, frame in outputs.items()}}
    return {
        "rows": len(next(iter(outputs.values()))),
        "mean sizes": {name: _sizes(frame).to_dict() for name, frame in outputs.items()},
    }


def _sizes(frame):
    return frame.drop(columns="(base value)").abs().mean().sort_values(ascending=False, kind="stable")


def _told(model, outputs, frame, row):
    """Return tables of the contributions as text: of one row, or the mean sizes over all."""
    from fastbp.commands.report import format_table

    parts = []
    for name, found in outputs.items():
        if row is None:
            lines = [["column", f"mean size of its contribution to {name}"]]
            lines += [[str(column), f"{value:.4g}"] for column, value in _sizes(found).items()]
        else:
            lines = [["column", "value", f"contribution to {name}"]]
            lines += _of_row(found.iloc[0], frame.iloc[0])
        parts.append(format_table(lines))
    return "\n\n".join(parts)


def _of_row(contributions, values):
    """Return lines (column, value, contribution): the base value, the columns by size, and the sum."""
    base = contributions["(base value)"]
    rest = contributions.drop("(base value)")
    rest = rest.iloc[(-rest.abs()).argsort(kind="stable")]
    lines = [["prediction for a typical row", "", f"{base:.4g}"]]
    for name, value in rest.items():
        shown = " ".join(str(values[name]).split()) if name in values.index else ""
        lines.append([str(name), shown if len(shown) <= 24 else f"{shown[:23]}…", f"{value:+.4g}"])
    return [*lines, ["prediction", "", f"{contributions.sum():.4g}"]]
