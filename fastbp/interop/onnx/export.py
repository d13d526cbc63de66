"""to_onnx: any fitted model as an ONNX graph, which onnxruntime runs without Python."""

from pathlib import Path
from typing import Any

import numpy as np

from fastbp.io.files import replace_file
from fastbp.models.sequential import Sequential


def to_onnx(model: Any, path: str | Path | None = None) -> Any:
    """Return a model as an ONNX model, and write it to a file.

    Parameters
    ----------
    model : Sequential, MLPClassifier, MLPRegressor, TabularClassifier or TabularRegressor
        Built, or fitted.
    path : str or path, optional
        Where to write it; the file appears whole or not at all. None: it is returned only.

    Returns
    -------
    onnx.ModelProto
        Of operator set 18 (and 3 of ai.onnx.ml): onnxruntime 1.15 or later runs it.

        - Of a `Sequential`: an input ``x`` (n, ...) and an output ``output`` (n, ...) in the model's dtype.
        - Of an MLP estimator: ``x`` (n, d); ``label`` (n,) and ``probabilities`` (n, c), or ``prediction``.
        - Of a tabular estimator: an input (n, 1) for every column that it reads, under the column's name (of an array
          of numbers ``x`` (n, d)); outputs as above, in float64. Text and categories are strings, all else is float64:
          booleans are 0 and 1, dates seconds since 1970-01-01 (UTC where training's had zones), times of day and
          durations seconds. NaN is missing; of text the empty string, where that is no category. The inputs' doc
          strings say so for each column, and the metadata (``fastbp``) hold them as JSON.

    Raises
    ------
    ImportError
        Where onnx is not installed.
    TypeError
        For an object that is no model of fastbp.
    ValueError
        For what ONNX cannot say, by name: stateful layers, layers and activations of one's own, a model that is not
        built.

    Notes
    -----
    The numbers agree with `predict` to 1e-5 and better; bits differ, because sums run in another order. onnxruntime has
    some operators in float32 alone: of a float64 model, convolutions, average pooling and gelu are computed in float32.
    Recurrent layers are ONNX's LSTM, GRU and RNN where these mean the same; with masks, other activations than tanh,
    sigmoid and relu, or float64 their steps are written out (Scan).

    A text that training read as a number ("1.234,50 EUR") is given as the number.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(3, "softmax")], input_shape=(2,), seed=0)
    >>> onnx_model = fastbp.to_onnx(model)
    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession(onnx_model.SerializeToString())
    >>> x = np.ones((4, 2), "float32")
    >>> bool(np.allclose(session.run(None, {"x": x})[0], model.predict(x), atol=1e-6))
    True
    """
    check_installed()
    made = emitted(model)
    if path is not None:
        replace_file(path, made.SerializeToString(), durable=True)
    return made


def check_installed():
    """Raise ImportError, with what to do, where onnx is missing."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise ImportError('to_onnx writes ONNX with the package onnx: pip install "fastbp[onnx]"') from None


def emitted(model):
    """Return the ONNX model of a model."""
    if isinstance(model, Sequential):
        return sequential_model(model)
    from fastbp.estimators.base import BaseMLP
    from fastbp.interop.onnx.mlp import mlp_model
    from fastbp.interop.onnx.tabular import tabular_model
    from fastbp.tabular.estimator import BaseTabular

    for kind, make in ((BaseMLP, mlp_model), (BaseTabular, tabular_model)):
        if isinstance(model, kind):
            from sklearn.utils.validation import check_is_fitted

            check_is_fitted(model)
            return make(model)
    raise TypeError(f"to_onnx takes a Sequential or an estimator of fastbp, not {type(model).__name__}.")


def sequential_model(model):
    """Return the ONNX model of a `Sequential`."""
    from fastbp.interop.onnx.emitters import emit_network
    from fastbp.interop.onnx.graph import Graph, model_of, value_info

    if model.engine is None:
        raise ValueError("to_onnx needs a built model: give input_shape=(d,), or call fit or build first.")
    model.tell_changes()
    graph = Graph(model.dtype, ["x"])
    out = graph.rename(emit_network(graph, model, "x"), "output")
    network = model.engine.network
    inputs = [value_info("x", model.dtype, network.input_shape)]
    return model_of(
        graph, inputs, [value_info(out, np.dtype(model.dtype), network.output_shape)], {}, "fastbp Sequential"
    )
