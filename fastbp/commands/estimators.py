"""The options of ``fastbp train`` that an estimator takes, and the estimator."""

from fastbp.tabular.errors import TableError


def add_estimator_options(parser):
    """Declare the options."""
    metrics = "log_loss, accuracy or roc_auc; rmse or mae"
    parser.add_argument(
        "--verbose",
        choices=("auto", "0", "1", "2"),
        default="auto",
        help="progress: 0 none, 1 a bar on a terminal (auto), 2 lines",
    )
    parser.add_argument("--metric", metavar="NAME", help=f"by which the best epochs are chosen: {metrics}")
    parser.add_argument("--class-weight", metavar="balanced|CLASS=FACTOR,...", help="factors on the rows of classes")
    parser.add_argument("--quantiles", metavar="Q,...", help="predict these quantiles, such as 0.1,0.5,0.9")


def new_estimator(task, arguments, y):
    """Return the estimator of a task, not fitted, for the target y (n,)."""
    from fastbp.tabular.model import ESTIMATORS

    classes = task == "classification"
    kind = ESTIMATORS["TabularClassifier" if classes else "TabularRegressor"]
    settings = {"time_limit": arguments.time_limit, "random_state": arguments.seed}
    settings["verbose"] = arguments.verbose if arguments.verbose == "auto" else int(arguments.verbose)
    settings |= _checked_metric(arguments.metric, task)
    if arguments.class_weight is not None:
        if not classes:
            raise TableError("--class-weight: this target is a quantity, which has no classes.")
        settings["class_weight"] = _class_weight(arguments.class_weight, y)
    if arguments.quantiles is not None:
        if classes:
            raise TableError("--quantiles: this target is classes (see --task).")
        settings["quantiles"] = _quantiles(arguments.quantiles)
    return kind(arguments.preset, **settings)


def _checked_metric(metric, task):
    from fastbp.tabular.objectives import CLASSIFICATION_METRICS, REGRESSION_METRICS

    known = CLASSIFICATION_METRICS if task == "classification" else REGRESSION_METRICS
    if metric is not None and metric not in known:
        raise TableError(f"--metric {metric}: the metrics of {task} are {', '.join(known)}.")
    return {} if metric is None else {"eval_metric": metric}


def _class_weight(text, y):
    """Return "balanced", or {class: factor} of "no=1,yes=5"."""
    if text == "balanced":
        return text
    classes = {str(label): label for label in set(y.tolist())}
    factors = dict.fromkeys(classes.values(), 1.0)
    for pair in text.split(","):
        name, _, factor = pair.rpartition("=")
        if name not in classes:
            known = ", ".join(sorted(classes)[:10])
            raise TableError(f"--class-weight: {pair!r} is not CLASS=FACTOR; the classes are {known}.")
        factors[classes[name]] = _number(factor, "--class-weight")
        if factors[classes[name]] < 0:
            raise TableError(f"--class-weight: {pair!r} has a negative factor.")
    return factors


def _quantiles(text):
    from fastbp.losses.quantile import checked_quantiles

    levels = [_number(level, "--quantiles") for level in text.split(",")]
    try:
        checked_quantiles(levels)
    except ValueError as error:
        raise TableError(f"--quantiles {text}: {error}") from None
    return levels


def _number(text, option):
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise TableError(f"{option}: {text!r} is not a number.")
    return value
