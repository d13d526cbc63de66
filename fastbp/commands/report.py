"""Scores of predictions, from scikit-learn's metrics, and the tables that show them."""

import numpy as np

from fastbp.tabular.calibration import reliability
from fastbp.tabular.quantiles import coverage, pinball_losses

LARGEST_MATRIX = 30
LONGEST_NAME = 16


def quantity_scores(truth, predicted):
    """Return {name: value} for true and predicted quantities (n,)."""
    from sklearn import metrics

    return {
        "rows": len(truth),
        "RMSE": metrics.root_mean_squared_error(truth, predicted),
        "MAE": metrics.mean_absolute_error(truth, predicted),
        "R2": metrics.r2_score(truth, predicted) if len(truth) > 1 else np.nan,
    }


def class_scores(codes, probabilities, predicted=None):
    """Return {name: value} for the true classes' codes (n,) and probabilities (n, k), float64.

    predicted (n,) are the codes of the classes that the model takes; by default the most probable ones.
    Precision, recall and F1 are macro averages over the classes in these rows or predicted for them; ROC AUC
    is the mean over the classes that some rows have and others have not (one against the rest), NaN where
    there is none.  The Brier score is the mean squared error of the probabilities, summed over classes (of two
    classes: of one of them); the calibration error that of `fastbp.tabular.calibration.reliability`.
    """
    from sklearn import metrics

    every = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1) if predicted is None else predicted
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        codes, predicted, average="macro", zero_division=0.0
    )
    return {
        "rows": len(codes),
        "accuracy": metrics.accuracy_score(codes, predicted),
        "precision (macro)": precision,
        "recall (macro)": recall,
        "F1 (macro)": f1,
        "log loss": metrics.log_loss(codes, probabilities, labels=every),
        "ROC AUC": _roc_auc(codes, probabilities),
        "Brier score": _brier(codes, probabilities),
        "calibration error": reliability(probabilities, codes).error,
    }


def _brier(codes, probabilities):
    squares = np.square(probabilities - np.eye(probabilities.shape[1])[codes]).sum(axis=1).mean()
    return float(squares / 2 if probabilities.shape[1] == 2 else squares)


def _roc_auc(codes, probabilities):
    from sklearn.metrics import roc_auc_score

    present = np.unique(codes)
    if len(present) < 2:
        return np.nan
    return float(np.mean([roc_auc_score(codes == code, probabilities[:, code]) for code in present]))


def class_report(codes, probabilities, labels, predicted=None):
    """Return the report of ``fastbp evaluate`` on classes as text."""
    predicted = probabilities.argmax(axis=1) if predicted is None else predicted
    return "\n\n".join(
        [
            side_by_side({"": class_scores(codes, probabilities, predicted)}),
            _class_table(codes, predicted, labels),
            _reliability_table(codes, probabilities),
            _confusions(codes, predicted, labels),
        ]
    )


def quantile_report(truth, predicted, levels):
    """Return the report of ``fastbp evaluate`` on quantiles (n, q) as text."""
    columns = (coverage(predicted, truth), pinball_losses(predicted, truth, levels))
    rows = [["quantile", "rows at most that", "pinball loss"]]
    rows += [[f"{level:g}", f"{share:.4f}", f"{loss:.6g}"] for level, share, loss in zip(levels, *columns, strict=True)]
    return f"rows  {len(truth)}\n\n{format_table(rows)}"


def _reliability_table(codes, probabilities):
    found = reliability(probabilities, codes)
    rows = [["probability of the prediction", "rows", "mean", "right"]]
    for i in np.flatnonzero(found.rows):
        ends = f"{found.edges[i]:.1f} to {found.edges[i + 1]:.1f}"
        rows.append([ends, str(found.rows[i]), f"{found.confidence[i]:.4f}", f"{found.accuracy[i]:.4f}"])
    return "reliability\n" + format_table(rows)


def _class_table(codes, predicted, labels):
    from sklearn.metrics import precision_recall_fscore_support

    every = np.arange(len(labels))
    columns = precision_recall_fscore_support(codes, predicted, labels=every, zero_division=0.0)
    rows = [["class", "precision", "recall", "F1", "rows"]]
    for label, precision, recall, f1, support in zip(labels, *columns, strict=True):
        rows.append([_short(label), f"{precision:.4f}", f"{recall:.4f}", f"{f1:.4f}", str(support)])
    return format_table(rows)


def _confusions(codes, predicted, labels):
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(codes, predicted, labels=np.arange(len(labels)))
    if len(labels) > LARGEST_MATRIX:
        return _worst_confusions(counts, labels)
    names = [_short(label) for label in labels]
    rows = [["true \\ predicted", *names]]
    rows += [[name, *map(str, line)] for name, line in zip(names, counts, strict=True)]
    return "confusion matrix\n" + format_table(rows)


def _worst_confusions(counts, labels, most=20):
    wrong = counts - np.diag(np.diag(counts))
    worst = [divmod(int(i), len(labels)) for i in np.argsort(-wrong, axis=None, kind="stable")[:most]]
    rows = [["true", "predicted", "rows"]]
    rows += [[_short(labels[t]), _short(labels[p]), str(wrong[t, p])] for t, p in worst if wrong[t, p]]
    return f"most frequent confusions ({len(labels)} classes are too many for a matrix)\n" + format_table(rows)


def side_by_side(columns):
    """Return {title: scores} as a table, one line a score."""
    titles = list(columns)
    rows = [["", *titles]] if any(titles) else []
    for name in columns[titles[0]]:
        rows.append([name, *(_number(columns[title][name], name) for title in titles)])
    return format_table(rows)


def target_scores(scores):
    """Return {target: scores} as a table, one line a score of a target."""
    rows = [["target", "score", "value"]]
    for target, own in scores.items():
        rows += [[target, name, _number(np.nan if value is None else value, name)] for name, value in own.items()]
    return format_table(rows)


def format_table(rows):
    """Return rows of text as aligned lines: the first column to the left, the others to the right.

    Examples
    --------
    >>> print(format_table([["", "train"], ["accuracy", "0.9"]]))
              train
    accuracy    0.9
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([f"{first:<{widths[0]}}", *cells]).rstrip())
    return "\n".join(lines)


def _number(value, name):
    if isinstance(value, int):
        return str(value)
    if np.isnan(value):
        return "n/a"
    return f"{value:.6g}" if name in ("RMSE", "MAE") else f"{value:.4f}"


def _short(label):
    label = " ".join(label.split())
    return label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "…"
