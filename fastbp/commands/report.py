"""Scores of predictions, from scikit-learn's metrics, and the tables that show them."""

import numpy as np

LARGEST_MATRIX = 30
LONGEST_NAME = 16


def scores(model, outputs, target):
    """Return {name: value} for a model's outputs (n, k) and the target's column (a narwhals Series).

    Precision, recall and F1 are macro averages over the classes in these rows or predicted for them; ROC AUC
    is the mean over the classes that some rows have and others have not (one against the rest), NaN where
    there is none.
    """
    if model.task == "regression":
        return _regression_scores(model.target.decode(model.target.encode(target)), model.decide(outputs))
    return _class_scores(model.target.encode(target), outputs.argmax(axis=1), outputs)


def _regression_scores(truth, predicted):
    from sklearn import metrics

    return {
        "rows": len(truth),
        "RMSE": metrics.root_mean_squared_error(truth, predicted),
        "MAE": metrics.mean_absolute_error(truth, predicted),
        "R2": metrics.r2_score(truth, predicted) if len(truth) > 1 else np.nan,
    }


def _class_scores(codes, predicted, probabilities):
    from sklearn import metrics

    probabilities = probabilities.astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # float32 rows sum to 1 within 1e-7 only
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        codes, predicted, average="macro", zero_division=0.0
    )
    return {
        "rows": len(codes),
        "accuracy": metrics.accuracy_score(codes, predicted),
        "precision (macro)": precision,
        "recall (macro)": recall,
        "F1 (macro)": f1,
        "log loss": metrics.log_loss(codes, probabilities, labels=np.arange(probabilities.shape[1])),
        "ROC AUC": _roc_auc(codes, probabilities),
    }


def _roc_auc(codes, probabilities):
    from sklearn.metrics import roc_auc_score

    present = np.unique(codes)
    if len(present) < 2:
        return np.nan
    return float(np.mean([roc_auc_score(codes == code, probabilities[:, code]) for code in present]))


def full_report(model, outputs, target):
    """Return the report of ``fastbp evaluate`` as text."""
    summary = side_by_side({"": scores(model, outputs, target)})
    if model.task == "regression":
        return summary
    codes, predicted, labels = model.target.encode(target), outputs.argmax(axis=1), model.target.labels
    return "\n\n".join([summary, _class_table(codes, predicted, labels), _confusions(codes, predicted, labels)])


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
