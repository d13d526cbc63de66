"""The figures of a report, each drawn from a `Subject`."""

import numpy as np
import pandas as pd

from fastbp.reporting.charts import Chart, bars, short, shown
from fastbp.reporting.page import figure, matrix, table
from fastbp.tabular.calibration import reliability
from fastbp.tabular.quantiles import coverage, pinball_losses

# Lines or classes of a figure, points of a line, dots, and bars, at most.
MOST_LINES, MOST_CORNERS, MOST_DOTS, MOST_BARS = 6, 200, 800, 15
LARGEST_MATRIX = 20
# Columns whose partial dependence is shown.
MOST_DEPENDENCES = 6


def learning_curves(subject):
    """Return the figure of the scores by epoch."""
    curves = subject.curves()
    if not curves:
        return []
    epochs = np.concatenate([curve.epochs for curve in curves])
    scores = np.concatenate([curve.scores for curve in curves]).astype(float)
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        return []
    # A first epoch that is far off would flatten the rest.
    top = min(scores.max(), np.quantile(scores, 0.9) + 2 * (np.quantile(scores, 0.9) - scores.min()))
    chart = Chart((min(epochs), max(epochs)), (scores.min(), top), "epoch", subject.curve_label)
    for number, curve in enumerate(curves):
        named = curve.label is not None
        kept = np.minimum(np.array(curve.scores, float), top)
        chart.line(
            *_thinned(curve.epochs, kept), number if named else 0, curve.label, kind="line" if named else "faint"
        )
        if curve.best in curve.epochs:
            chart.points([curve.best], [kept[list(curve.epochs).index(curve.best)]], 1, "chosen epoch", radius=3)
    caption = "" if curves[0].label else "A line for each network of the ensemble, on the rows that it left out."
    return [figure("learning-curves", "Learning curves", chart.svg("learning curves"), caption)]


def confusion(subject):
    """Return the figure of the confusion matrix, or of the most frequent confusions of many classes."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(subject.truth, subject.decided, labels=np.arange(len(subject.labels)))
    if len(subject.labels) <= LARGEST_MATRIX:
        content = matrix([short(label) for label in subject.labels], counts.tolist())
        return figure(
            "confusion-matrix", "Confusion matrix", content, "Rows are true classes; shades are shares of a row."
        )
    wrong = counts - np.diag(np.diag(counts))
    worst = [divmod(int(i), len(counts)) for i in np.argsort(-wrong, axis=None, kind="stable")[:LARGEST_MATRIX]]
    rows = [(short(subject.labels[t]), short(subject.labels[p]), wrong[t, p]) for t, p in worst if wrong[t, p]]
    return figure("confusion-matrix", "Most frequent confusions", table(["true", "predicted", "rows"], rows))


def roc(subject):
    """Return the figure of ROC curves, each class against the rest (of two classes the second one)."""
    from sklearn.metrics import auc, roc_curve

    chart = Chart((0, 1), (0, 1), "false positive rate", "true positive rate")
    chart.line([0, 1], [0, 1], kind="dash")
    for number, code in enumerate(_judged_classes(subject)):
        false, true, _ = roc_curve(subject.truth == code, subject.predicted[:, code])
        label = f"{short(subject.labels[code])}: AUC {auc(false, true):.3f}"
        chart.line(*_thinned(false, true), number, label)
    return figure("roc", "ROC", chart.svg("ROC curves"), "" if chart.legend else "One class only in these rows.")


def precision_recall(subject):
    """Return the figure of precision by recall."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    chart = Chart((0, 1), (0, 1), "recall", "precision")
    for number, code in enumerate(_judged_classes(subject)):
        hits, scores = subject.truth == code, subject.predicted[:, code]
        precision, recall, _ = precision_recall_curve(hits, scores)
        label = f"{short(subject.labels[code])}: average precision {average_precision_score(hits, scores):.3f}"
        chart.line(*_thinned(recall, precision), number, label)
    return figure("precision-recall", "Precision and recall", chart.svg("precision by recall"))


def calibration(subject):
    """Return the figure of how often predictions of some certainty are right."""
    found = reliability(subject.predicted, subject.truth)
    known = found.rows > 0
    chart = Chart((0, 1), (0, 1), "probability of the prediction", "share that is right")
    chart.line([0, 1], [0, 1], kind="dash")
    chart.line(found.confidence[known], found.accuracy[known])
    for x, y, rows in zip(found.confidence[known], found.accuracy[known], found.rows[known], strict=True):
        chart.points([x], [y], radius=2 + 5 * np.sqrt(rows / found.rows.max()))
    caption = f"Expected calibration error {found.error:.4f}; larger dots stand for more rows."
    return figure("calibration", "Calibration", chart.svg("calibration"), caption)


def certainty(subject):
    """Return the figure of the probabilities of predictions that were right and wrong."""
    top, right = subject.predicted.max(axis=1), subject.decided == subject.truth
    edges = np.linspace(min(1 / len(subject.labels), top.min()), 1, 21)
    counts = [np.histogram(top[rows], edges)[0] for rows in (right | ~right, ~right)]
    chart = Chart((edges[0], 1), (0, counts[0].max()), "probability of the prediction", "rows")
    for colour, (heights, label) in enumerate(zip(counts, ("all", "wrong"), strict=True)):
        chart.columns(edges, heights, colour)
        chart._label(label, colour)
    return figure("certainty", "How sure the predictions are", chart.svg("probabilities of predictions"))


def predictions(subject):
    """Return figures of predictions by truth, of residuals by prediction and of their distribution, for each target."""
    made = []
    for number, label in enumerate(subject.labels[:MOST_LINES]):
        end = f"-{number}" if len(subject.labels) > 1 else ""
        truth, predicted = subject.truth[:, number], subject.predicted[:, number]
        dots, residual, of = _some(len(truth), MOST_DOTS), truth - predicted, f" of {label}" if end else ""
        ends = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
        chart = Chart(ends, ends, "predicted", "true")
        chart.line(ends, ends, kind="dash")
        chart.points(predicted[dots], truth[dots])
        made.append(figure(f"predictions{end}", f"Predictions{of}", chart.svg(f"true by predicted values{of}")))
        chart = Chart(_ends(predicted), _ends(residual), "predicted", "true minus predicted")
        chart.line(_ends(predicted), [0, 0], kind="dash")
        chart.points(predicted[dots], residual[dots])
        made.append(figure(f"residuals{end}", f"Residuals{of}", chart.svg(f"residuals by prediction{of}")))
        heights, edges = np.histogram(residual, min(40, max(8, int(np.sqrt(len(residual))))))
        chart = Chart(_ends(edges), (0, heights.max()), "true minus predicted", "rows")
        chart.columns(edges, heights)
        caption = f"Mean {shown(float(residual.mean()))}, standard deviation {shown(float(residual.std()))}."
        svg = chart.svg(f"distribution of residuals{of}")
        made.append(figure(f"residual-histogram{end}", f"Distribution of residuals{of}", svg, caption))
    return made


def quantile_figures(subject):
    """Return figures of the quantiles' coverage, their loss, and the intervals of some rows."""
    truth, levels = subject.truth[:, 0], np.array(subject.levels)
    shares, losses = coverage(subject.predicted, truth), pinball_losses(subject.predicted, truth, levels)
    chart = Chart((0, 1), (0, 1), "quantile", "share of rows at most that")
    chart.line([0, 1], [0, 1], kind="dash")
    chart.line(levels, shares)
    chart.points(levels, shares, radius=4)
    rows = [
        (f"{level:g}", f"{share:.3f}", shown(loss)) for level, share, loss in zip(levels, shares, losses, strict=True)
    ]
    content = chart.svg("coverage of quantiles") + table(["quantile", "coverage", "pinball loss"], rows)
    made = [figure("coverage", "Coverage of the quantiles", content, "A calibrated quantile lies on the dashed line.")]
    some = _some(len(truth), 60)
    some = some[np.argsort(subject.predicted[some].mean(axis=1), kind="stable")]
    low, high = subject.predicted[some, 0], subject.predicted[some, -1]
    places = np.arange(len(some))
    chart = Chart(
        (0, len(some) - 1), _ends(np.concatenate([low, high, truth[some]])), "rows, by prediction", "value", x_ticks=[]
    )
    for place, below, above in zip(places, low, high, strict=True):
        chart.line([place, place], [below, above], kind="faint")
    inside = (truth[some] >= low) & (truth[some] <= high)
    chart.points(places[inside], truth[some][inside], 2, "within")
    chart.points(places[~inside], truth[some][~inside], 1, "outside", radius=3)
    caption = f"From quantile {levels[0]:g} to {levels[-1]:g}, and the true values, of {len(some)} rows."
    return [*made, figure("intervals", "Intervals", chart.svg("intervals of some rows"), caption)]


def importances(found):
    """Return the figure of importances, of (frame, caption)."""
    frame, caption = found
    strongest = frame.sort_values("importance", ascending=False, kind="stable").head(MOST_BARS)
    svg = bars(
        list(strongest.index),
        strongest["importance"].clip(lower=0).tolist(),
        "importance",
        "importances of columns",
        (2 * strongest["standard_error"]).tolist(),
    )
    return figure("importances", "Which columns count", svg, caption)


def dependences(subject, frame):
    """Return figures of the partial dependence of the strongest columns."""
    strongest = frame["importance"].sort_values(ascending=False, kind="stable")
    names = [name for name, value in strongest.items() if value > 0][:MOST_DEPENDENCES]
    target = getattr(subject, "name", None)  # one of several
    end, title = ("", "By {}") if target is None else (f"-{subject.number}", f"{short(target)} by {{}}")
    return [
        _dependence(f"dependence-{number}{end}", title.replace("{}", short(str(name))), subject.dependence(name))
        for number, name in enumerate(names)
    ]


def _dependence(identity, title, frame):
    known, column = frame[~pd.isna(frame.index)], str(frame.index.name)
    values, outputs = known.index, list(frame.columns)[:MOST_LINES]
    is_date = pd.api.types.is_datetime64_any_dtype(values)
    is_line = (is_date or pd.api.types.is_numeric_dtype(values)) and not pd.api.types.is_bool_dtype(values)
    caption = ""
    if len(known) < len(frame):
        caption = "Where it is missing: " + ", ".join(shown(float(frame[output].iloc[-1])) for output in outputs) + "."
    if not is_line:
        names = [str(value) for value in values[:MOST_BARS]]
        content = bars(names, known[outputs[-1]].tolist()[:MOST_BARS], _mean_label(outputs, -1), column, signed=True)
        return figure(identity, title, content, caption)
    x = values.astype("datetime64[s]").astype(np.int64).to_numpy(float) if is_date else values.to_numpy(float)
    y = known[outputs].to_numpy(float)
    ticks = None
    if is_date and len(x):
        ticks = [(place, str(values[i])[:10]) for i, place in enumerate(x) if i in {0, len(x) - 1}]
    label = _mean_label(outputs, 0) if len(outputs) == 1 else "mean prediction"
    chart = Chart(_ends(x), _ends(y), short(column), label, x_ticks=ticks)
    for number, output in enumerate(outputs):
        chart.line(x, y[:, number], number, str(output) if len(outputs) > 1 else None)
        chart.points(x, y[:, number], number)
    return figure(identity, title, chart.svg(f"partial dependence on {column}"), caption)


def _mean_label(outputs, place):
    return f"mean prediction: {short(outputs[place])}"


def _judged_classes(subject):
    """Return the codes of classes that some rows have and others have not: of two classes the second, of more the
    most frequent ones."""
    counts = np.bincount(subject.truth, minlength=len(subject.labels))
    codes = [1] if len(counts) == 2 else np.argsort(-counts, kind="stable")[:MOST_LINES].tolist()
    return [code for code in codes if 0 < counts[code] < len(subject.truth)]


def _ends(values):
    return float(np.min(values)), float(np.max(values))


def _some(n, most):
    return np.linspace(0, n - 1, min(n, most)).round().astype(int)


def _thinned(x, y):
    some = _some(len(x), MOST_CORNERS)
    return np.asarray(x)[some], np.asarray(y)[some]
