"""A graph of ONNX nodes while it is built: names of values, constants, nodes."""

from contextlib import contextmanager
from typing import Any

import numpy as np

from fastbp.interop.onnx.activations import activate

# onnxruntime has had these versions since 2022; nothing here needs a later one.
OPSET, ML_OPSET, IR_VERSION = 18, 3, 8
ML = "ai.onnx.ml"
# onnxruntime has these operators for float32 alone: a float64 model casts their inputs, and casts their outputs back.
SINGLE_ONLY = frozenset({"AveragePool", "Conv", "Erf"})


class Graph:
    """Nodes and constants of a graph; values are known by their names.

    Parameters
    ----------
    dtype : dtype
        The dtype that Python's numbers among inputs get, float32 or float64.
    names : iterable of str
        Taken already: those of the graph's inputs.
    parent : Graph, optional
        Of the body of a loop: the graph around it, which holds the constants.

    Examples
    --------
    >>> graph = Graph("float32", ["x"])
    >>> graph.add("Mul", "x", 2.0)
    'Mul'
    >>> graph.add("Mul", "Mul", "x")
    'Mul_1'
    """

    def __init__(self, dtype, names=(), parent=None):
        self.dtype, self.nodes = np.dtype(dtype), []
        self.constants = {} if parent is None else parent.constants
        self._names = set(names) if parent is None else parent._names
        self._known = {} if parent is None else parent._known

    def body(self):
        """Return a graph for the body of a loop, which may read the values of this one."""
        return Graph(self.dtype, parent=self)

    @contextmanager
    def of(self, dtype):
        """Context in which Python's numbers have another dtype."""
        before, self.dtype = self.dtype, np.dtype(dtype)
        yield
        self.dtype = before

    def name(self, hint):
        """Return a new name: the hint, or the hint with a number."""
        name, number = hint, 0
        while name in self._names:
            number += 1
            name = f"{hint}_{number}"
        self._names.add(name)
        return name

    def constant(self, value, hint="constant"):
        """Return the name of a constant: NumPy's arrays and numbers as they are, Python's in the graph's dtype."""
        # np.float64 is one of Python's floats.
        typed = isinstance(value, np.ndarray | np.generic) and not isinstance(value, float)
        array = np.ascontiguousarray(value if typed else np.asarray(value, self.dtype))
        array = array.reshape(np.shape(value))  # NumPy makes scalars vectors there
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self.name(hint)
            self.constants[self._known[key]] = array
        return self._known[key]

    def add(self, op: str, *inputs: Any, domain: str = "", outputs: int = 1, **attributes: Any):
        """Append a node; return the name of its output, or a list of names.

        Parameters
        ----------
        op : str
        *inputs : str, number, array or None
            Names of values; others become constants, None is left out.
        domain : str
        outputs : int, default 1
        **attributes
        """
        if op in SINGLE_ONLY and self.dtype == np.float64:
            inputs = [self.cast(one, np.float32) if isinstance(one, str) else np.float32(one) for one in inputs]
            return self.cast(self._node(op, inputs, domain, 1, attributes)[0], self.dtype)
        names = self._node(op, inputs, domain, outputs, attributes)
        return names[0] if outputs == 1 else names

    def _node(self, op, inputs, domain, outputs, attributes):
        from onnx import helper

        inputs = ["" if one is None else one if isinstance(one, str) else self.constant(one) for one in inputs]
        names = [self.name(op) for _ in range(outputs)]
        attributes = {name: value for name, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op, inputs, names, domain=domain, name=names[0], **attributes))
        return names

    def cast(self, x, dtype=None):
        """Return x in another dtype, by default the graph's."""
        return self.add("Cast", x, to=tensor_type(dtype or self.dtype))

    def gather(self, x, places, axis=1):
        """Return entries of x along an axis, at these places; all of them in order are x itself where `places` says."""
        return self.add("Gather", x, np.asarray(places, np.int64), axis=axis)

    def reshape(self, x, *shape):
        """Return x (n, ...) as (n, *shape); one of the sizes may be -1."""
        return self.add("Reshape", x, np.array([0, *shape], np.int64))

    def concat(self, values, axis=1):
        """Return values joined along an axis; a single value stays as it is."""
        return values[0] if len(values) == 1 else self.add("Concat", *values, axis=axis)

    def reduce(self, op, x, axes, keepdims=False):
        """Return a sum, mean or maximum over axes."""
        return self.add(f"Reduce{op}", x, np.array(axes, np.int64), keepdims=int(keepdims))

    def reverse(self, x, axis):
        """Return x with the order of an axis turned round."""
        starts, ends, axes, steps = (np.array([number], np.int64) for number in (-1, -(2**62), axis, -1))
        return self.add("Slice", x, starts, ends, axes, steps)

    def activate(self, activation: Any, x: str) -> str:
        """Return activation(x); raise ValueError for an activation object that ONNX does not have."""
        return activate(self, activation, x)

    def rename(self, x, hint):
        """Return a new name for x, near the hint: an output of the graph."""
        from onnx import helper

        name = self.name(hint)
        self.nodes.append(helper.make_node("Identity", [x], [name], name=f"to {name}"))
        return name


def tensor_type(dtype):
    """Return ONNX's number for a NumPy dtype; of str, that of texts."""
    from onnx import TensorProto, helper

    return TensorProto.STRING if dtype is str else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def value_info(name, dtype, shape, doc=""):
    """Return what declares an input or output; the shape is without the rows."""
    from onnx import helper

    return helper.make_tensor_value_info(name, tensor_type(dtype), ["n", *shape], doc)


def model_of(graph, inputs, outputs, properties, doc=""):
    """Return the checked ONNX model of a graph with these `value_info`s, and texts by name."""
    from onnx import checker, helper, numpy_helper

    import fastbp

    constants = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    made = helper.make_graph(graph.nodes, "fastbp", inputs, outputs, constants)
    model = helper.make_model(
        made,
        producer_name="fastbp",
        producer_version=fastbp.__version__,
        doc_string=doc,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)],
    )
    helper.set_model_props(model, properties)
    checker.check_model(model)
    return model
