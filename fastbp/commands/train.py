"""``fastbp train``: a network from a table, in one file with its preprocessing."""

from pathlib import Path

from fastbp.commands.arguments import TABLE_HELP, check_output, number, widths

HELP = "train a network on a table and save it"


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
    parser.add_argument("--hidden", type=widths, default=(128, 64), metavar="N,N", help="hidden units (128,64)")
    parser.add_argument("--epochs", type=number(int, 1), default=200, metavar="N", help="at most (200)")
    parser.add_argument(
        "--batch-size", type=number(int, 1), metavar="N", help="default: about rows / 100, a power of two, 16 to 256"
    )
    parser.add_argument(
        "--lr",
        type=number(float, 0, open_low=True),
        default=2e-3,
        metavar="X",
        help="learning rate of Adam at the start (0.002)",
    )
    parser.add_argument(
        "--dropout", type=number(float, 0, 1, open_high=True), default=0.0, metavar="P", help="after hidden layers (0)"
    )
    parser.add_argument(
        "--valid",
        type=number(float, 0, 0.5, open_low=True),
        default=0.2,
        metavar="PART",
        help="part of the rows kept for validation and early stopping (0.2)",
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
    """Read, train, report, save."""
    out = Path(arguments.out) if arguments.out else default_model_path(arguments.data)
    check_output(out, arguments.data)

    from fastbp.tabular.reading import read_table

    frame = read_table(arguments.data)
    print(f"{arguments.data}: {len(frame)} rows, {len(frame.columns)} columns", flush=True)
    training = _train(frame, arguments)
    print(_stopping_line(training.history))
    print()
    _print_scores(training)
    training.model.save(out)
    print()
    print(f"saved {out} ({out.stat().st_size / 1e6:.2f} MB): network and preprocessing")


def _train(frame, arguments):
    from fastbp.tabular.trainer import Settings, train_table
    from fastbp.threads import set_num_threads

    settings = Settings(
        task=arguments.task,
        hidden=arguments.hidden,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.lr,
        dropout=arguments.dropout,
        valid=arguments.valid,
        seed=arguments.seed,
    )
    if arguments.threads:
        set_num_threads(arguments.threads)
    try:
        return train_table(frame, arguments.target, settings, verbose=1, tell=_tell)
    finally:
        if arguments.threads:
            set_num_threads(None)


def _tell(line):
    print(line, flush=True)


def _stopping_line(history):
    losses = history.history.get("val_loss", [])
    if not losses:
        return "stopped in the first epoch"
    best = min(range(len(losses)), key=losses.__getitem__)
    return f"{len(losses)} epochs; the weights of epoch {best + 1} are kept, with the lowest validation loss"


def _print_scores(training):
    from fastbp.commands import report

    columns = {}
    for name, (features, target) in (("train", training.train), ("validation", training.valid)):
        columns[name] = report.scores(training.model, training.model.outputs(features), target)
    print(report.side_by_side(columns))
