"""Keras's metrics and their settings become fastbp's: names where both mean the same, else objects of scoring.py."""

import re

from fastbp.interop.kerasdescribed import check_keras_s, settings_left
from fastbp.metrics.functions import METRICS
from fastbp.metrics.scoring import (
    AUC,
    Accuracy,
    BinaryAccuracy,
    F1Score,
    FBetaScore,
    MeanAbsoluteError,
    MeanSquaredError,
    Precision,
    R2Score,
    Recall,
    RootMeanSquaredError,
    TopKCategoricalAccuracy,
)

# {Keras's class: (fastbp's class, its settings, {another setting: the value that asks for nothing})}.
OBJECTS = {
    "BinaryAccuracy": (BinaryAccuracy, ("threshold",), {}),
    "TopKCategoricalAccuracy": (TopKCategoricalAccuracy, ("k",), {}),
    "SparseTopKCategoricalAccuracy": (TopKCategoricalAccuracy, ("k",), {"from_sorted_ids": False}),
    "CategoricalAccuracy": (Accuracy, (), {}),
    "SparseCategoricalAccuracy": (Accuracy, (), {}),
    "Precision": (Precision, ("thresholds", "top_k", "class_id"), {}),
    "Recall": (Recall, ("thresholds", "top_k", "class_id"), {}),
    "FBetaScore": (FBetaScore, ("average", "beta", "threshold"), {}),
    "F1Score": (F1Score, ("average", "threshold"), {}),
    "R2Score": (R2Score, ("class_aggregation",), {"num_regressors": 0}),
    "AUC": (
        AUC,
        ("num_thresholds", "from_logits"),
        {"curve": "ROC", "summation_method": "interpolation", "multi_label": False},
    ),
    "MeanSquaredError": (MeanSquaredError, (), {"reduction": "sum_over_batch_size"}),
    "MeanAbsoluteError": (MeanAbsoluteError, (), {"reduction": "sum_over_batch_size"}),
    "RootMeanSquaredError": (RootMeanSquaredError, (), {}),
}
SHORT = {"mse": "MeanSquaredError", "mae": "MeanAbsoluteError"}
# Names of metrics that mean the same in Keras beside any loss, and of metrics that heed masks in Keras, too.
EQUAL = tuple(name for name, function in METRICS.items() if function.in_keras)
MASKED = ("accuracy", *(name for name in EQUAL if METRICS[name].in_keras == "masked"))


def metrics_of(value, loss):
    """Return fastbp's metrics, names and objects, for the entry "metrics" of `get_compile_config()`."""
    return [of_name(part, loss) if isinstance(part, str) else of_description(part, loss) for part in flat(value)]


def flat(value):
    """Return the metrics in nested lists and dicts, all of which belong to the model's only output."""
    if isinstance(value, dict) and "class_name" not in value:
        value = [value[name] for name in sorted(value)]
    if isinstance(value, list | tuple):
        return [part for parts in value for part in flat(parts)]
    return [] if value is None else [value]


def of_description(described, loss):
    """Return fastbp's metric of a description of a function or an object."""
    kind, config = described["class_name"], described["config"]
    if isinstance(config, str):
        return of_name(config, loss)
    if kind == "__lambda__":
        raise ValueError("a metric that is a function of your own has no counterpart in fastbp: write it for fastbp.")
    check_keras_s(described)
    if described["module"] == "keras.losses":
        raise ValueError(
            f"as a metric the loss object {kind} is the mean over batches, which has no counterpart in fastbp: use the "
            "metric or the function of this name."
        )
    return made(kind, config)


def of_name(name, loss):
    """Return fastbp's metric that Keras means by a name: of a class, of a function, or a short one."""
    if name.lower() in ("accuracy", "acc"):
        # Beside other losses fastbp's "accuracy" splits outputs where the loss does, and Keras's splits them at 0.5.
        return name if name == "accuracy" and loss.accuracy == "sparse_categorical_accuracy" else Accuracy(name=name)
    kind = SHORT.get(name.lower()) or next((kind for kind in OBJECTS if name in (kind, keras_name(kind))), name)
    if keras_name(kind) in EQUAL:
        return keras_name(kind)
    return made(kind, {"name": name} | ({"average": None} if kind in ("F1Score", "FBetaScore") else {}))


def made(kind, config):
    """Return fastbp's metric of Keras's class `kind` with the settings of `config`; defaults are the same."""
    if kind not in OBJECTS and keras_name(kind) in EQUAL:
        settings_left(config, (), {"reduction": "sum_over_batch_size", "name": keras_name(kind)}, ("dtype",))
        return keras_name(kind)
    if kind not in OBJECTS:
        others = [name for name in EQUAL if name not in map(keras_name, OBJECTS)]
        known = ", ".join(["accuracy", *OBJECTS, *others])
        raise ValueError(f"the metric {kind!r} has no counterpart in fastbp. These have: {known}.")
    metric, names, neutral = OBJECTS[kind]
    try:
        found = metric(**settings_left(config, (*names, "name"), neutral, ("dtype",)))
    except ValueError as error:
        raise ValueError(f"the metric {kind}: {error}") from None
    return found.name if found.name in EQUAL and found == metric() else found


def keras_name(kind):
    """Return Keras's name of a class in lower case: "top_k_categorical_accuracy" of "TopKCategoricalAccuracy"."""
    words = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()
