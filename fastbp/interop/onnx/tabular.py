"""Whole estimators as ONNX graphs: preprocessing, networks, calibration, targets and classes."""

import json

import numpy as np

from fastbp.interop.onnx import repeats
from fastbp.interop.onnx.columns import TableInputs, described, encode
from fastbp.interop.onnx.core import by_block
from fastbp.interop.onnx.emitters import emit_network
from fastbp.interop.onnx.graph import Graph, model_of, value_info
from fastbp.tabular.calibration import SMALLEST
from fastbp.tabular.mixed_targets import Mixture
from fastbp.tabular.multicolumn_targets import Quantities
from fastbp.tabular.target import Classes


def tabular_model(estimator):
    """Return the ONNX model of a fitted `TabularClassifier` or `TabularRegressor`."""
    inputs = TableInputs(estimator.encoder_)
    graph = Graph(np.float64, inputs.names)
    outputs = graph.cast(ensemble_outputs(graph, estimator.ensemble_, encode(graph, inputs)))
    found = ends(graph, outputs, estimator)
    properties = {"fastbp": json.dumps(about(estimator))}
    return model_of(graph, inputs.declared(), found, properties, f"fastbp {type(estimator).__name__}")


def about(estimator):
    """Return the facts of an estimator for the graph's metadata, ready for JSON."""
    coders = estimator.encoder_.coders
    facts = {
        "estimator": type(estimator).__name__,
        "target": estimator.target_name_,
        "columns": [{"name": coder.name, "takes": described(coder)} for coder in coders],
    }
    if isinstance(estimator._target, Mixture):
        facts["target"] = estimator.tasks_
        classes = zip(estimator._target.names, estimator._target.parts, strict=True)
        facts["classes"] = {
            name: [str(label) for label in part.classes.tolist()] for name, part in classes if isinstance(part, Classes)
        }
    elif hasattr(estimator, "classes_"):
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
        total = calibrated(graph, total, ensemble)
    if ensemble.repeats is None:
        return total
    width = ensemble.networks[0].engine.network.input_shape[0]
    return repeats.mixed(graph, total, x, ensemble.repeats, width)


def calibrated(graph, shares, ensemble):
    """Return shares (n, k) tempered: all of them, or each block of classes by its own temperature."""
    if np.ndim(ensemble.temperature) == 0:
        return shares if ensemble.temperature == 1.0 else tempered(graph, shares, ensemble.temperature)
    temperatures = iter(ensemble.temperature.tolist())
    sizes = ensemble.networks[0].engine.layers[-1].sizes
    return by_block(graph, shares, sizes, lambda block, size: tempered(graph, block, next(temperatures)))


def tempered(graph, shares, temperature):
    """Return ``p ** (1 / temperature)``, normalised."""
    logarithms = graph.add("Log", graph.add("Max", shares, float(SMALLEST)))
    return graph.add("Softmax", graph.add("Div", logarithms, float(temperature)), axis=-1)


def ends(graph, outputs, estimator):
    """Append the outputs of a graph; return their `value_info`s. With mixed targets, names begin with the target's."""
    target = estimator._target
    if not isinstance(target, Mixture):
        if hasattr(estimator, "classes_"):
            return classes_of(graph, outputs, target)
        parts = target.parts if isinstance(target, Quantities) else (target,)
        return values_of(graph, outputs, parts, estimator.quantiles)
    blocks = graph.add("Split", outputs, np.array(target.sizes), axis=1, outputs=len(target.sizes))
    found = []
    for name, part, block in zip(target.names, target.parts, np.atleast_1d(blocks).tolist(), strict=True):
        make = classes_of if isinstance(part, Classes) else values_of
        found += make(graph, block, part if isinstance(part, Classes) else [part], start=f"{name}_")
    return found


def classes_of(graph, outputs, part, start=""):
    """Append the outputs "label" (n,) and "probabilities" (n, k) of `Classes`; return their `value_info`s."""
    shares = outputs
    if part.factors is not None:
        shares = graph.add("Div", outputs, np.where(part.factors > 0, part.factors, 1.0))
    total = graph.reduce("Sum", shares, [1], keepdims=True)
    return labelled(graph, outputs, graph.add("Div", shares, total), part.classes, start)


def labelled(graph, outputs, probabilities, classes, start=""):
    """Append "label" (n,), the class of the largest of outputs (n, k), and "probabilities"; return their infos."""
    chosen = graph.add("ArgMax", outputs, axis=1, keepdims=0)
    return [
        label_output(graph, chosen, classes, start),
        value_info(graph.rename(probabilities, f"{start}probabilities"), graph.dtype, (len(classes),)),
    ]


def label_output(graph, chosen, classes, start=""):
    """Append the output "label" of the numbers of classes (n,); return its `value_info`."""
    labels = onnx_labels(classes)
    kind = str if labels.dtype == object else labels.dtype
    return value_info(graph.rename(graph.add("Gather", labels, chosen, axis=0), f"{start}label"), kind, ())


def onnx_labels(classes):
    """Return classes as ONNX has them: texts, booleans, int64 or float64."""
    kind = np.asarray(classes).dtype.kind
    if kind == "u":
        return classes.astype(np.uint64)
    if kind in "bif":
        return classes.astype({"b": bool, "i": np.int64, "f": np.float64}[kind])
    return np.array([str(label) for label in classes.tolist()], dtype=object)


def values_of(graph, outputs, parts, quantiles=None, start=""):
    """Append the output "prediction", (n,), (n, t) or (n, q), of quantities; return its `value_info`."""
    mean, scale, low, high = np.array([[part.mean, part.scale, part.low, part.high] for part in parts]).T
    limited = clipped(graph, outputs, (low - mean) / scale, (high - mean) / scale)
    values = clipped(graph, graph.add("Add", graph.add("Mul", limited, scale), mean), low, high)
    k = len(parts) if quantiles is None else len(quantiles)
    if quantiles is not None:
        values = graph.add("TopK", values, np.array([k]), largest=0, outputs=2)[0]
    elif k == 1:
        values = graph.add("Squeeze", values, np.array([1]))
    shape = () if k == 1 and quantiles is None else (k,)
    return [value_info(graph.rename(values, f"{start}prediction"), graph.dtype, shape)]


def clipped(graph, x, low, high):
    """Return x limited to low and high."""
    return graph.add("Min", graph.add("Max", x, low), high)
