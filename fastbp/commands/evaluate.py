"""``fastbp evaluate``: how good a model's predictions are for a table with the answers in it."""

from fastbp.commands.arguments import TABLE_HELP, add_allow_unseen
from fastbp.commands.options import (
    add_json,
    add_reading_options,
    print_json,
)

HELP = "measure a saved model on a table with the target in it"


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a file saved by fastbp train")
    parser.add_argument("data", metavar="DATA.csv", help=TABLE_HELP)
    add_allow_unseen(parser)
    add_json(parser)
    add_reading_options(parser)


def run(arguments):
    """Read model and table, predict, print the report."""
    from fastbp.commands.loading import load_model, read_answered

    model = load_model(arguments.model)
    if hasattr(model, "tasks_"):
        from fastbp.commands.multitask import evaluate

        evaluate(model, arguments)
        return
    name = model.target_name_
    features, column = read_answered(model, arguments)
    outcome = _Outcome(model, features, column)
    if arguments.json:
        print_json({"data": arguments.data, "model": arguments.model, "target": name, **outcome.scores()})
        return
    text = outcome.report()
    task = "classification" if hasattr(model, "classes_") else "regression"
    print(f"{arguments.data}: {len(features)} rows, {task} of {name!r}")
    print()
    print(text)


class _Outcome:
    """True and predicted values of a table's rows."""

    def __init__(self, model, features, column):
        from fastbp.commands.loading import codes_of, target_form
        from fastbp.tabular.task import number_values

        self.model = model
        self.classes = hasattr(model, "classes_")
        self.truth = codes_of(model.classes_, column) if self.classes else number_values(column, target_form(model))
        self.predicted = model.predict_proba(features) if self.classes else model.predict(features)

    def report(self):
        """Return the report as text."""
        from fastbp.commands import report

        if self.classes:
            labels, chosen = [str(label) for label in self.model.classes_], self.model._chosen(self.predicted)
            return report.class_report(self.truth, self.predicted, labels, chosen)
        if self.model.quantiles is None:
            return report.side_by_side({"": report.quantity_scores(self.truth, self.predicted)})
        return report.quantile_report(self.truth, self.predicted, self.model.quantiles)

    def scores(self):
        """Return the scores by name."""
        from fastbp.commands import report
        from fastbp.tabular.quantiles import pinball_losses

        if self.classes:
            return report.class_scores(self.truth, self.predicted, self.model._chosen(self.predicted))
        if self.model.quantiles is None:
            return report.quantity_scores(self.truth, self.predicted)
        losses = pinball_losses(self.predicted, self.truth, self.model.quantiles)
        levels = [f"pinball loss {level:g}" for level in self.model.quantiles]
        return {"rows": len(self.truth), **dict(zip(levels, losses, strict=True))}
