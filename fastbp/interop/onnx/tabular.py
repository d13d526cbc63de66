"""Whole estimators as ONNX graphs: preprocessing, networks, calibration, targets and classes."""

import json

import numpy as np

from fastbp.interop.onnx import repeats
from fastbp.interop.onnx.columns import TableInputs, described, encode
from fastbp.interop.onnx.emitters import emit_network
from fastbp.interop.onnx.graph import Graph, model_of, value_info
from fastbp.tabular.calibration import SMALLEST
from fastbp.tabular.several import Quantities


def tabular_model(estimator):
    """Return the ONNX model of a fitted `TabularClassifier` or `TabularRegressor`."""
    inputs = TableInputs(estimator.encoder_)
    graph = Graph(np.float64, inputs.names)
    outputs = graph.cast(ensemble_outputs(graph, estimator.ensemble_, encode(graph, inputs)))
    found = (
        classes_of(graph, outputs, estimator)
        if hasattr(estimator, "classes_")
        else values_of(graph, outputs, estimator)
    )
    properties = {"fastbp": json.dumps(about(estimator))}
    return model_of(graph, inputs.declared(), found, properties, f"fastbp {type(estimator).__name__}")


def about(estimator):
    """Return what the graph's metadata tell of an estimator, ready for JSON."""
    coders = estimator.encoder_.coders
    facts = {
        "estimator": type(estimator).__name__,
        "target": estimator.target_name_,
        "columns": [{"name": coder.name, "takes": described(coder)} for coder in coders],
    }
    if hasattr(estimator, "classes_"):
        facts["classes"] = [str(label) for label in estimator.classes_.tolist()]
    elif estimator.quantiles is not None:
        facts["quantiles"] = [float(level) for level in estimator.quantiles]
    return facts


def ensemble_outputs(graph, ensemble, x):
    """Return the mean outputs (n, k) of the networks, calibrated, with the targets of repeated rows."""
    with graph.of(np.float32):
        outputs = [emit_network(graph, network, x) for network in ensemble.networks]
        total = outputs[0]
        for one in outputs[1:]:
            total = graph.add("Add", total, one)
        total = graph.add("Div", total, float(len(outputs)))
        if ensemble.temperature != 1.0:
            logarithms = graph.add("Log", graph.add("Max", total, float(SMALLEST)))
            total = graph.add("Softmax", graph.add("Div", logarithms, ensemble.temperature), axis=-1)
    if ensemble.repeats is None:
        return total
    width = ensemble.networks[0].engine.network.input_shape[0]
    return repeats.mixed(graph, total, x, ensemble.repeats, width)


def classes_of(graph, shares, estimator):
    """Append the outputs "label" (n,) and "probabilities" (n, k); return their `value_info`s."""
    total = graph.reduce("Sum", shares, [1], keepdims=True)
    return labelled(graph, graph.add("Div", shares, total), estimator.classes_)


def labelled(graph, probabilities, classes):
    """Append "label" (n,), the class of the largest of "probabilities" (n, k); return their `value_info`s."""
    chosen = graph.add("ArgMax", probabilities, axis=1, keepdims=0)
    return [
        label_output(graph, chosen, classes),
        value_info(graph.rename(probabilities, "probabilities"), graph.dtype, (len(classes),)),
    ]


def label_output(graph, chosen, classes):
    """Append the output "label" of the numbers of classes (n,); return its `value_info`."""
    labels = onnx_labels(classes)
    kind = str if labels.dtype == object else labels.dtype
    return value_info(graph.rename(graph.add("Gather", labels, chosen, axis=0), "label"), kind, ())


def onnx_labels(classes):
    """Return classes as ONNX has them: texts, booleans, int64 or float64."""
    kind = np.asarray(classes).dtype.kind
    if kind == "u":
        return classes.astype(np.uint64)
    if kind in "bif":
        return classes.astype({"b": bool, "i": np.int64, "f": np.float64}[kind])
    return np.array([str(label) for label in classes.tolist()], dtype=object)


def values_of(graph, outputs, estimator):
    """Append the output "prediction", (n,), (n, t) or (n, q); return its `value_info`."""
    target = estimator._target
    parts = target.parts if isinstance(target, Quantities) else (target,)
    mean, scale, low, high = np.array([[part.mean, part.scale, part.low, part.high] for part in parts]).T
    limited = clipped(graph, outputs, (low - mean) / scale, (high - mean) / scale)
    values = clipped(graph, graph.add("Add", graph.add("Mul", limited, scale), mean), low, high)
    k = estimator.ensemble_.networks[0].output_shape[0]
    if estimator.quantiles is not None:
        values = graph.add("TopK", values, np.array([k]), largest=0, outputs=2)[0]
    elif k == 1:
        return [value_info(graph.rename(graph.add("Squeeze", values, np.array([1])), "prediction"), graph.dtype, ())]
    return [value_info(graph.rename(values, "prediction"), graph.dtype, (k,))]


def clipped(graph, x, low, high):
    """Return x limited to low and high."""
    return graph.add("Min", graph.add("Max", x, low), high)
