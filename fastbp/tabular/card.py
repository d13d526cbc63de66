"""The card of a tabular estimator: its columns, scores on rows that it had not seen, and limits."""

import numpy as np

from fastbp.models.card import card_text, facts, general, table
from fastbp.tabular.categories import CategoryCoder
from fastbp.tabular.mixed_targets import Mixture
from fastbp.tabular.multicolumn_targets import Quantities
from fastbp.tabular.numeric import DateCoder

# Classes, and categories of a column, that a card names.
MOST_NAMED = 10


def tabular_card(estimator, *, license=None, date=None):
    """Return the card of a fitted `TabularClassifier` or `TabularRegressor`."""
    target = "" if estimator.target_name_ is None else f" of {estimator.target_name_!r}"
    sections = {
        "Model": facts(of_model(estimator) | general(license, date)),
        "Target": facts(of_target(estimator)),
        "Columns": table([["column", "type", "role", "in training"], *column_rows(estimator)]),
        "Scores": of_scores(estimator),
        "Limits": [f"- {line}" for line in limits(estimator)],
    }
    return card_text(f"Model card: {type(estimator).__name__}{target}", sections)


def of_model(estimator):
    """Return facts of the networks."""
    ensemble, reading = estimator.ensemble_, estimator.reading_
    networks = ensemble.networks
    temperatures = [f"{value:.3g}" for value in np.atleast_1d(ensemble.temperature)]
    return {
        "kind": f"{len(networks)} networks of {networks[0].count_params():,} parameters, preset {estimator.preset!r}",
        "calibration": f"temperature {few(temperatures)}" if has_classes(estimator) else "none",
        "repeated rows": "used" if ensemble.repeats is not None else "not used",
        "trained with": f"fastbp {reading['fastbp']}" if "fastbp" in reading else "fastbp, from Python",
        "size": f"{sum(network.params.nbytes for network in networks) / 1e6:.2f} MB of parameters",
    }


def targets_of(estimator):
    """Return {name: Classes or Quantity} of what is predicted."""
    target = estimator._target
    if isinstance(target, Mixture):
        return dict(zip(target.names, target.parts, strict=True))
    if isinstance(target, Quantities):
        return {f"target {number}": part for number, part in enumerate(target.parts)}
    return {estimator.target_name_: target}


def of_target(estimator):
    """Return facts of what is predicted."""
    found = {} if estimator.target_name_ is None else {"name": estimator.target_name_}
    if getattr(estimator, "quantiles", None) is not None:
        found["quantiles"] = few(estimator.quantiles)
    for name, part in targets_of(estimator).items():
        of = "" if name == estimator.target_name_ else f" of {name}"
        if hasattr(part, "classes"):
            found[f"classes{of}"] = few(part.classes.tolist())
        else:
            found[f"range in training{of}"] = f"{part.low:.6g} to {part.high:.6g}, mean {part.mean:.6g}"
    return found


def few(values):
    """Return values as text, of many the first ones."""
    shown = ", ".join(map(str, values[:MOST_NAMED]))
    return shown if len(values) <= MOST_NAMED else f"{shown}, ... ({len(values)} in all)"


def columns_of(estimator):
    """Return {name, type, role} of all columns of training, as ``fastbp train`` noted them or as the encoder knows."""
    if estimator.reading_.get("columns"):
        return estimator.reading_["columns"]
    encoder, rows = estimator.encoder_, []
    for name in encoder.feature_names_in:
        kind = encoder.forms[name].describe() if name in encoder.forms else encoder.kinds.get(name, "not used")
        role = f"left out: {encoder.dropped[name]}" if name in encoder.dropped else "feature"
        rows.append({"name": name, "type": kind, "role": role})
    return rows


def column_rows(estimator):
    """Return (name, type, role, what training held) of all columns."""
    coders = {coder.name: coder for coder in estimator.encoder_.coders}
    return [
        [row["name"], row["type"], row["role"], held(coders[row["name"]]) if row["name"] in coders else ""]
        for row in columns_of(estimator)
    ]


def held(coder):
    """Return what a column held in training."""
    missing = "; some missing" if coder.expects_missing else ""
    if isinstance(coder, CategoryCoder):
        rare = ", and rarer ones" if coder.vocabulary.rare else ""
        return f"{few(coder.vocabulary.texts)}{rare}{missing}"
    if not coder.scales:
        return f"one value{missing}"
    median, width = coder.scales[0]
    if isinstance(coder, DateCoder):
        days = width / 86_400
        return f"median {np.datetime64(int(median), 's')}, half of them within {days:,.0f} days{missing}"
    return f"median {median:.4g}, half of them within {width:.4g}{missing}"


def of_scores(estimator):
    """Return lines on what was scored on rows that a network had not trained on."""
    scores = estimator.reading_.get("scores")
    metric = estimator._objective(estimator._target).metric
    if not scores:
        scores = {metric: estimator.best_score_} | getattr(estimator, "best_scores_", {})
    rows = [[name, value if value is not None else "unknown"] for name, value in scores.items()]
    told = "Of rows that the networks did not train on; a little too good, for they chose each network's best epoch."
    return [told, "", *table([["score", "value"], *rows])]


def has_classes(estimator):
    """Does it predict classes?"""
    return any(hasattr(part, "classes") for part in targets_of(estimator).values())


def limits(estimator):
    """Return what to know before the model is used."""
    told = ["It holds for rows like those of training: where people, machines or times differ, score it anew."]
    if has_classes(estimator):
        told.append("Classes that training did not have are never predicted.")
        if getattr(estimator, "class_weight", None) is not None:
            told.append(
                f"class_weight={estimator.class_weight!r}: predictions favour classes that weigh more; probabilities "
                "are for rows as they come."
            )
    if not all(hasattr(part, "classes") for part in targets_of(estimator).values()):
        told.append("Predicted quantities never leave the range that the target had in training.")
    if any(isinstance(coder, CategoryCoder) for coder in estimator.encoder_.coders):
        told.append("Categories that training did not have are taken for missing (or rare) ones.")
    if surprised := [coder.name for coder in estimator.encoder_.coders if not coder.expects_missing]:
        told.append(f"Missing values were not in training, and are guesses, in {len(surprised)} columns.")
    if estimator.encoder_.dropped:
        told.append(f"Not used: {few(list(estimator.encoder_.dropped))}.")
    if estimator.ensemble_.repeats is not None:
        told.append("The file holds a hash number of each training row, with the sums of their targets.")
    told.append("Whether it treats groups of people alike was not looked at.")
    return told
