"""Activations as ONNX nodes, one function each: (graph, x, alpha) -> name of f(x).  A class may have its own."""

import math

from fastbp.interop.emitters import check_known


def linear(graph, x, alpha):
    """Return x."""
    return x


def leaky_relu(graph, x, alpha):
    """Return x where x > 0, else alpha * x."""
    return graph.add("LeakyRelu", x, alpha=alpha)


def elu(graph, x, alpha):
    """Return x where x > 0, else alpha * (exp(x) - 1)."""
    return graph.add("Elu", x, alpha=alpha)


def gelu(graph, x, alpha):
    """Return x * (1 + erf(x / sqrt 2)) / 2."""
    cdf = graph.add("Add", graph.add("Erf", graph.add("Mul", x, math.sqrt(0.5))), 1.0)
    return graph.add("Mul", graph.add("Mul", x, 0.5), cdf)


def gelu_tanh(graph, x, alpha):
    """Return x * sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))."""
    cubic = graph.add("Mul", graph.add("Mul", graph.add("Mul", x, x), x), 0.044715)
    inner = graph.add("Mul", graph.add("Add", x, cubic), 2 * math.sqrt(2 / math.pi))
    return graph.add("Mul", x, graph.add("Sigmoid", inner))


def silu(graph, x, alpha):
    """Return x * sigmoid(x)."""
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def mish(graph, x, alpha):
    """Return x * tanh(softplus(x))."""
    return graph.add("Mul", x, graph.add("Tanh", graph.add("Softplus", x)))


def hard_sigmoid(graph, x, alpha):
    """Return min(max(x + 3, 0), 6) / 6."""
    return graph.add("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def operator(op, **attributes):
    """Return the function of an activation that ONNX has."""
    return lambda graph, x, alpha: graph.add(op, x, **attributes)


EMITTERS = {
    "linear": linear,
    "sigmoid": operator("Sigmoid"),
    "tanh": operator("Tanh"),
    "relu": operator("Relu"),
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": operator("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805),
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "mish": mish,
    "softplus": operator("Softplus"),
    "exponential": operator("Exp"),
    "hard_sigmoid": hard_sigmoid,
    "softmax": operator("Softmax", axis=-1),
}


def activate(graph, activation, x):
    """Return the name of activation(x); raise ValueError for one that ONNX does not have."""
    emitter = type(activation).emit_onnx
    if emitter is None:
        check_known(activation, EMITTERS, "emit_onnx")
        emitter = EMITTERS[activation.registered[1]]
    return emitter(graph, x, activation.alpha)
