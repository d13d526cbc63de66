"""Pictures of what estimators tell of themselves, with matplotlib.

Each function takes the DataFrame that a method of a tabular estimator returns, and draws into `ax`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# Bars of a picture, at most.
MOST_BARS = 15
UP, DOWN, PLAIN = "#d1495b", "#2e86ab", "#2e86ab"
BASE, REPEATED = "(base value)", "(repeated rows)"


def plot_importances(frame: pd.DataFrame, *, ax: Any = None) -> Any:
    """Draw the importances of the strongest columns, with two standard errors on both sides.

    Parameters
    ----------
    frame : DataFrame
        Of `importances`.
    ax : matplotlib Axes, optional
        By default a new figure's.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        Where matplotlib is not installed.

    Examples
    --------
    >>> import fastbp
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> clf = fastbp.TabularClassifier("fast", random_state=0).fit(X, y)
    >>> ax = fastbp.explain.plot_importances(clf.importances())
    >>> ax.get_xlabel()
    'rise of the loss where the column is shuffled'
    """
    _check(frame, ["importance", "standard_error"], "importances")
    strongest = frame.sort_values("importance", ascending=False, kind="stable").head(MOST_BARS)[::-1]
    ax = _axes(ax, len(strongest))
    ax.barh([str(name) for name in strongest.index], strongest["importance"], color=PLAIN)
    ax.errorbar(
        strongest["importance"],
        np.arange(len(strongest)),
        xerr=2 * strongest["standard_error"],
        fmt="none",
        ecolor="gray",
        capsize=2,
    )
    ax.set_xlabel("rise of the loss where the column is shuffled")
    return ax


def plot_contributions(frame: pd.DataFrame, row: Any = None, *, output: Any = None, ax: Any = None) -> Any:
    """Draw what the columns contribute to one row's prediction, or how much they contribute in the mean.

    Parameters
    ----------
    frame : DataFrame
        Of `explain`.
    row : int, optional
        Its place in the frame. By default bars are the means of the sizes over all rows.
    output : label, optional
        Which of several classes, quantiles or targets.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        Where matplotlib is not installed.
    ValueError
        For a frame of several outputs without `output`.

    Examples
    --------
    >>> import fastbp
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> reg = fastbp.TabularRegressor("fast", random_state=0).fit(X, y)
    >>> ax = fastbp.explain.plot_contributions(reg.explain(X[:20]), row=3)
    >>> len(ax.patches)
    10
    """
    if frame.columns.nlevels > 1:
        known = list(dict.fromkeys(frame.columns.get_level_values(0)))
        if output not in known:
            raise ValueError(f"output={output!r}: it is one of {', '.join(map(repr, known))}.")
        frame = frame[output]
    _check(frame, [BASE], "explain")
    values = frame.drop(columns=BASE)
    shown = values.abs().mean() if row is None else values.iloc[row]
    order = np.argsort(-np.abs(shown.to_numpy()), kind="stable")[:MOST_BARS][::-1]
    shown = shown.iloc[order]
    ax = _axes(ax, len(shown))
    ax.barh([str(name) for name in shown.index], shown, color=[UP if value > 0 else DOWN for value in shown])
    ax.axvline(0, color="gray", linewidth=0.8)
    if row is None:
        ax.set_xlabel("mean size of the contribution")
    else:
        base, total = frame[BASE].iloc[row], frame.iloc[row].sum()
        ax.set_xlabel(f"contribution: from the base value {base:.4g} to the prediction {total:.4g}")
    return ax


def plot_partial_dependence(frame: pd.DataFrame, *, ax: Any = None) -> Any:
    """Draw the mean prediction by a column's value.

    Parameters
    ----------
    frame : DataFrame
        Of `partial_dependence`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        Where matplotlib is not installed.

    Examples
    --------
    >>> import fastbp
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> reg = fastbp.TabularRegressor("fast", random_state=0).fit(X, y)
    >>> ax = fastbp.explain.plot_partial_dependence(reg.partial_dependence(X, "bmi"))
    >>> ax.get_xlabel()
    'bmi'
    """
    import pandas as pd

    ax = _axes(ax, 6)
    known = frame[~pd.isna(frame.index)]
    is_line = pd.api.types.is_numeric_dtype(known.index) or pd.api.types.is_datetime64_any_dtype(known.index)
    for output in frame.columns:
        if is_line:
            ax.plot(known.index, known[output], marker=".", label=str(output))
        else:
            ax.plot([str(value) for value in known.index], known[output], "o", label=str(output))
        if len(known) < len(frame):
            missing = frame[output].iloc[-1]
            ax.axhline(missing, linestyle=":", color=ax.lines[-1].get_color(), label=f"{output}, missing")
    if not is_line:
        ax.tick_params(axis="x", rotation=45)
    ax.set_xlabel(str(frame.index.name))
    ax.set_ylabel("mean prediction")
    if len(frame.columns) > 1 or len(known) < len(frame):
        ax.legend()
    return ax


def _check(frame, columns, method):
    if not hasattr(frame, "columns") or not set(columns) <= set(frame.columns):
        raise ValueError(f"this takes the DataFrame that {method} returns.")


def _axes(ax, n_bars):
    if ax is not None:
        return ax
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('pictures need matplotlib: pip install "fastbp[plot]".') from None
    import matplotlib

    if matplotlib.get_backend().lower() == "agg":  # pyplot would hold each figure until it is closed
        return Figure(figsize=(6.4, 1 + 0.32 * n_bars), layout="constrained").subplots()
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(6.4, 1 + 0.32 * n_bars), layout="constrained")[1]
