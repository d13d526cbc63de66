"""`fastbp.report`: a model on one page."""

import os
import platform
import re
import sys
from datetime import UTC, datetime
from html import escape
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from fastbp.io.files import write_out
from fastbp.reporting import figures
from fastbp.reporting.page import cards, page, table
from fastbp.reporting.page import figures as side_by_side
from fastbp.reporting.targets import parts_of, subject_of

# Rows that are shown as the worst ones, that are predicted one by one, and that are shown as the slowest ones.
WORST, TIMED, SLOWEST = 10, 24, 3
PACKAGES = ("numpy", "numba", "scikit-learn", "pandas")


class Report:
    """A report on a model.

    Attributes
    ----------
    html : str
        The page: it needs no network, no scripts and no other file.
    """

    def __init__(self, html):
        self.html = html

    def save(self, path):
        """Write the page to a file, which appears whole or not at all.

        Parameters
        ----------
        path : str or path
        """
        write_out(Path(path), self.html.encode())

    def _repr_html_(self):
        """Show the page in a notebook, in a frame of its own."""
        return f'<iframe srcdoc="{escape(self.html, quote=True)}" style="width:100%;height:46rem;border:0"></iframe>'

    def __repr__(self):
        return f"Report({len(self.html) / 1e3:.0f} kB of HTML: save(path) writes it)"


def report(
    model: Any, X: Any, y: Any, out: str | Path | None = None, *, history: Any = None, title: str | None = None
) -> Any:
    """Report on a model: how good it is, what it goes by, where it fails, and how it was made.

    Parameters
    ----------
    model : a tabular estimator, Sequential, or an estimator with scikit-learn's methods
        Fitted.
    X, y : table and target
        Rows to judge by: rows that the model was not trained on.
    out : str or path, optional
        Where to write the page; it appears whole or not at all.
    history : History or dict of lists, optional
        Of `Sequential.fit`, for its learning curves; estimators know theirs.
    title : str, optional

    Returns
    -------
    Report
        With `html`, and `save`; shown in notebooks.

    Raises
    ------
    ValueError
        For data that do not fit the model.
    TypeError
        For what is no model.

    Notes
    -----
    The page holds learning curves; confusion matrix, ROC, precision and recall and calibration of classes; predictions
    and residuals of quantities; coverage of quantiles; importances and the partial dependence of the strongest
    columns; the worst rows with what their predictions went by (tabular estimators), and how long predictions take,
    with the slowest rows; the columns' types and missing values; settings and versions. It holds values of the rows
    that it shows. Of a `TabularMultiTask` each target has its figures, by the rows that have it.

    Examples
    --------
    >>> import fastbp
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = fastbp.TabularRegressor("fast", random_state=0).fit(X[:300], y[:300])
    >>> page = fastbp.report(model, X[300:], y[300:])
    >>> page.html[:15], "Which columns count" in page.html
    ('<!doctype html>', True)
    """
    subject = subject_of(model, X, y, history)
    title = title or f"{type(model).__name__}{_of_target(model)}"
    drawn = (_quality, _columns_that_count, _worst, _speed, _columns, _settings)
    if subject.kind == "targets":
        drawn = (_learning, _each_target, _columns_that_count, _speed, _columns, _settings)
    sections = [section for draw in drawn for section in _listed(draw(subject))]
    n, k = len(subject.truth), len(subject.labels)
    what = {"classes": f"{k} classes", "quantity": "a quantity", "quantiles": "quantiles", "targets": f"{k} targets"}
    if subject.kind == "quantity" and k > 1:
        what["quantity"] = f"{k} quantities"
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    head = f'<p class="soft">{what[subject.kind]}, judged by {n:,} rows; {now}</p>'
    if subject.kind != "targets":
        head += cards(_scores(subject))
    made = Report(page(title, head, sections))
    if out is not None:
        made.save(out)
    return made


def _of_target(model):
    name = getattr(model, "target_name_", None) or ", ".join(getattr(model, "target_names_", []))
    return f": {name}" if name else ""


def _listed(sections):
    """Return one section, some or None as a list."""
    return sections if isinstance(sections, list) else [] if sections is None else [sections]


def _scores(subject):
    """Return (name, text) of the scores for the rows."""
    from sklearn import metrics

    if subject.kind == "quantiles":
        loss = float(subject.losses().mean())
        low, high = subject.predicted[:, 0], subject.predicted[:, -1]
        inside = np.mean((subject.truth[:, 0] >= low) & (subject.truth[:, 0] <= high))
        return [
            ("mean pinball loss", f"{loss:.4g}"),
            (f"within quantiles {subject.labels[0]} to {subject.labels[-1]}", f"{inside:.1%}"),
        ]
    if subject.kind == "quantity":
        error = subject.predicted - subject.truth
        pairs = [("RMSE", f"{np.sqrt(np.square(error).mean()):.4g}"), ("MAE", f"{np.abs(error).mean():.4g}")]
        if len(error) > 1:
            pairs.append(("R²", f"{metrics.r2_score(subject.truth, subject.predicted):.4f}"))
        return pairs
    pairs = [
        ("accuracy", f"{np.mean(subject.decided == subject.truth):.1%}"),
        ("log loss", f"{subject.losses().mean():.4f}"),
        ("F1 (macro)", f"{metrics.f1_score(subject.truth, subject.decided, average='macro', zero_division=0.0):.4f}"),
    ]
    present = [code for code in np.unique(subject.truth) if len(np.unique(subject.truth)) > 1]
    areas = [metrics.roc_auc_score(subject.truth == code, subject.predicted[:, code]) for code in present]
    return pairs + ([("ROC AUC", f"{np.mean(areas):.4f}")] if areas else [])


def _quality(subject):
    made = figures.learning_curves(subject)
    if subject.kind == "classes":
        drawn = (figures.confusion, figures.roc, figures.precision_recall, figures.calibration, figures.certainty)
        made += [draw(subject) for draw in drawn]
    elif subject.kind == "quantiles":
        made += figures.quantile_figures(subject)
    else:
        made += figures.predictions(subject)
    return "quality", "How good it is", side_by_side(made)


def _learning(subject):
    made = figures.learning_curves(subject)
    return ("learning", "How it learnt", side_by_side(made)) if made else None


def _each_target(subject):
    """Return the sections of each target: how good it is, and its worst rows; ids end in the target's number."""
    sections = []
    for one in subject.targets:
        told = f"<p class=soft>{one.kind}, {len(one.truth):,} rows have it</p>" + cards(_scores(one))
        for name, title, html in (_quality(one), _worst(one)):
            # A page holds each id once.
            numbered = re.sub(r'(<figure id="[^"]*)', rf"\1-{one.number}", html)
            sections.append((f"{name}-{one.number}", f"{one.name}: {title.lower()}", told + numbered))
            told = ""
    return sections


def _columns_that_count(subject):
    found = subject.importances()
    if found is None:
        return None
    made = [figures.importances(found)]
    for one in parts_of(subject):
        made += figures.dependences(one, found[0])
    told = "<p class=soft>By the strongest columns: the mean prediction where the column has one value in all rows.</p>"
    return "columns-that-count", "What it goes by", side_by_side(made) + told


def _worst(subject):
    losses = subject.losses()
    rows = np.argsort(-losses, kind="stable")[:WORST]
    reasons = subject.reasons(rows)
    header, lines = ["row", "true", "predicted", "loss"], []
    for row, reason in zip(rows, reasons, strict=True):
        if subject.kind == "classes":
            code = subject.decided[row]
            truth = f"{subject.labels[subject.truth[row]]} ({subject.predicted[row, subject.truth[row]]:.2g})"
            predicted = f"{subject.labels[code]} ({subject.predicted[row, code]:.2g})"
        else:
            truth, predicted = (
                ", ".join(f"{v:.5g}" for v in values[row]) for values in (subject.truth, subject.predicted)
            )
        lines.append(
            [subject.row_names[row], truth, predicted, f"{losses[row]:.4g}", *([reason] if any(reasons) else [])]
        )
    told = "Probabilities stand in brackets. " if subject.kind == "classes" else ""
    if any(reasons):
        header.append("largest contributions to the prediction")
        told += "Contributions start from the prediction for a typical row."
    return "worst-rows", "The worst rows", f"<p class=soft>{told}</p>" + table(header, lines, words=(4,))


def _speed(subject):
    """Time predictions: of all rows, and of some rows one by one, the best of three of each."""
    n = len(subject.truth)
    some = np.linspace(0, n - 1, min(n, TIMED)).round().astype(int)
    single = [subject.rows([row]) for row in some]
    subject.predict(single[0])
    seconds = np.array([min(_seconds(subject, one) for _ in range(3)) for one in single])
    every = _seconds(subject, subject.rows(np.arange(n)))
    slowest = [str(subject.row_names[some[i]]) for i in np.argsort(-seconds, kind="stable")[:SLOWEST]]
    pairs = [
        ("rows a second, all at once", f"{n / max(every, 1e-9):,.0f}"),
        ("one row alone, median", f"{np.median(seconds) * 1e3:.3g} ms"),
        (
            f"slowest of {len(some)}: rows {', '.join(slowest)}",
            f"{seconds.max() * 1e3:.3g} ms",
        ),
    ]
    return "speed", "How fast it predicts", cards(pairs)


def _seconds(subject, rows):
    started = perf_counter()
    subject.predict(rows)
    return perf_counter() - started


def _columns(subject):
    rows = list(subject.columns())
    if not rows:
        return None
    header = ["column", "type", "missing", "different", "values"]
    return "columns", "The columns", table(header, rows, words=(1, 4))


def _settings(subject):
    rows = [*subject.facts, *((name, repr(value)) for name, value in subject.settings.items())]
    rows += [("fastbp", _version("fastbp")), ("Python", sys.version.split()[0])]
    rows += [(name, _version(name)) for name in PACKAGES]
    rows += [("system", platform.platform()), ("cores", os.cpu_count())]
    return "settings", "Settings and environment", table(["", ""], rows, words=(1,))


def _version(name):
    if name == "fastbp":
        import fastbp

        return fastbp.__version__
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
