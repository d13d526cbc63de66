"""The MLP estimators as ONNX graphs: the network, and classes as labels."""

import numpy as np

from fastbp.interop.onnx.emitters import emit_network
from fastbp.interop.onnx.graph import Graph, model_of, value_info
from fastbp.interop.onnx.tabular import label_output, labelled


def mlp_model(estimator):
    """Return the ONNX model of a fitted `MLPClassifier` or `MLPRegressor`."""
    estimator._adopt_weights()
    model = estimator.model_
    graph = Graph(model.dtype, ["x"])
    outputs = emit_network(graph, model, "x")
    k = model.output_shape[0]
    found = classes(graph, outputs, estimator) if hasattr(estimator, "classes_") else [values(graph, outputs, k)]
    inputs = [value_info("x", model.dtype, model.engine.network.input_shape)]
    return model_of(graph, inputs, found, {}, f"fastbp {type(estimator).__name__}")


def classes(graph, outputs, estimator):
    """Append "label" and "probabilities" as `predict` and `predict_proba` give them; return their `value_info`s."""
    kind, known = estimator._labels.kind, estimator.classes_
    if kind == "multiclass":
        return labelled(graph, outputs, outputs, known)
    chosen = graph.cast(graph.add("Greater", outputs, 0.5), np.int64)
    if kind == "multilabel-indicator":
        label = value_info(graph.rename(chosen, "label"), np.int64, (len(known),))
        return [label, value_info(graph.rename(outputs, "probabilities"), graph.dtype, (len(known),))]
    chosen = graph.add("Min", graph.add("Squeeze", chosen, np.array([1])), np.int64(len(known) - 1))
    both = graph.concat([graph.add("Sub", 1.0, outputs), outputs])
    label = label_output(graph, chosen, known)
    return [label, value_info(graph.rename(both, "probabilities"), graph.dtype, (2,))]


def values(graph, outputs, k):
    """Append "prediction" (n,) or (n, k); return its `value_info`."""
    if k == 1:
        outputs = graph.add("Squeeze", outputs, np.array([1]))
    return value_info(graph.rename(outputs, "prediction"), graph.dtype, () if k == 1 else (k,))
