"""Plain NumPy float64 networks: forward, backward, penalties, and whole training runs.

Layers are fastbp's specs, read for their settings only. `weights` is a list with one list of arrays a
layer; gradients come in the same form. `masks` is {layer's index: factors (n, k)} for dropout.
"""

import numpy as np

from reference.activations import BACKWARD, FORWARD
from reference.optimizers import UPDATES, clip


def activate(activation, x):
    """out (n, k) = activation(x (n, k))."""
    return x if activation.name == "linear" else FORWARD[activation.name](x, activation.alpha)


def activate_backward(activation, dout, x):
    """dout (n, k), x (n, k) -> dx (n, k)."""
    return dout if activation.name == "linear" else BACKWARD[activation.name](dout, x, activation.alpha)


def dense_forward(layer, weights, x, mask):
    """x (n, d) -> out (n, k), z (n, k)."""
    z = x @ weights[0] + (weights[1] if layer.use_bias else 0.0)
    return activate(layer.activation, z), z


def dense_backward(layer, weights, x, z, dout, mask):
    """dout (n, k) -> dx (n, d), [dkernel (d, k), dbias (k,)]."""
    dz = activate_backward(layer.activation, dout, z)
    return dz @ weights[0].T, [x.T @ dz, dz.sum(0)][: len(weights)]


def activation_forward(layer, weights, x, mask):
    """x (n, k) -> out (n, k), nothing."""
    return activate(layer.activation, x), None


def activation_backward(layer, weights, x, z, dout, mask):
    """dout (n, k) -> dx (n, k), []."""
    return activate_backward(layer.activation, dout, x), []


def dropout_forward(layer, weights, x, mask):
    """x (n, k) -> out (n, k), nothing; no mask: the identity."""
    return (x if mask is None else x * mask), None


def dropout_backward(layer, weights, x, z, dout, mask):
    """dout (n, k) -> dx (n, k), []."""
    return (dout if mask is None else dout * mask), []


def prelu_forward(layer, weights, x, mask):
    """x (n, k), alpha (k,) -> out (n, k), nothing."""
    return np.maximum(x, 0) + weights[0] * np.minimum(x, 0), None


def prelu_backward(layer, weights, x, z, dout, mask):
    """dout (n, k) -> dx (n, k), [dalpha (k,)]."""
    return np.where(x > 0, dout, weights[0] * dout), [(dout * np.minimum(x, 0)).sum(0)]


LAYERS = {
    "Dense": (dense_forward, dense_backward),
    "Activation": (activation_forward, activation_backward),
    "Dropout": (dropout_forward, dropout_backward),
    "PReLU": (prelu_forward, prelu_backward),
}
REGULARIZERS = {"Dense": ("kernel_regularizer", "bias_regularizer"), "PReLU": ("alpha_regularizer",)}


def kind(layer):
    """Return the name of a layer spec's registry row."""
    return layer.registered[1]


def forward(layers, weights, x, masks=None):
    """x (n, d) -> out (n, k), and the tape [(x, z, mask) of each layer] that `backward` reads."""
    tape = []
    for index, (layer, arrays) in enumerate(zip(layers, weights, strict=True)):
        mask = (masks or {}).get(index)
        out, z = LAYERS[kind(layer)][0](layer, arrays, x, mask)
        tape.append((x, z, mask))
        x = out
    return x, tape


def backward(layers, weights, tape, dout):
    """dout (n, k) -> dx (n, d), and the gradients of the weights."""
    grads = []
    for layer, arrays, (x, z, mask) in zip(layers[::-1], weights[::-1], tape[::-1], strict=True):
        dout, of_layer = LAYERS[kind(layer)][1](layer, arrays, x, z, dout, mask)
        grads.insert(0, of_layer)
    return dout, grads


def mean_squared_error(out, y):
    """Return the loss of each row (n,) and dout (n, k)."""
    error = out - y.reshape(out.shape)
    return (error**2).mean(1), 2 * error / out.shape[1]


def binary_crossentropy(out, y):
    """Return the loss of each row (n,) and dout (n, k)."""
    y = y.reshape(out.shape)
    return -(y * np.log(out) + (1 - y) * np.log(1 - out)).mean(1), (out - y) / (out * (1 - out)) / out.shape[1]


def sparse_categorical_crossentropy(out, y):
    """Return the loss of each row (n,) and dout (n, k)."""
    chosen = np.eye(out.shape[1])[y]
    return -np.log((out * chosen).sum(1)), -chosen / out


LOSSES = {
    function.__name__: function
    for function in (mean_squared_error, binary_crossentropy, sparse_categorical_crossentropy)
}


def penalties(layers, weights):
    """Return the sum of the penalties of trainable layers, and their gradients."""
    total, grads = 0.0, []
    for layer, arrays in zip(layers, weights, strict=True):
        of_layer = [np.zeros_like(w) for w in arrays]
        for i, name in enumerate(REGULARIZERS.get(kind(layer), ())[: len(arrays)]):
            regularizer = getattr(layer, name)
            if regularizer is not None and layer.trainable:
                l1, l2 = regularizer.factors
                total += l1 * np.abs(arrays[i]).sum() + l2 * (arrays[i] ** 2).sum()
                of_layer[i] = l1 * np.sign(arrays[i]) + 2 * l2 * arrays[i]
        grads.append(of_layer)
    return total, grads


def value_and_grad(layers, weights, x, y, loss, row_weights=None, masks=None):
    """Return the mean loss with penalties, and its gradient; zero for frozen layers."""
    out, tape = forward(layers, weights, x, masks)
    losses, dout = LOSSES[loss](out, y)
    row_weights = np.ones(len(x)) if row_weights is None else row_weights
    _, grads = backward(layers, weights, tape, dout * row_weights[:, None] / len(x))
    penalty, of_penalty = penalties(layers, weights)
    grads = [
        [(g + p) * layer.trainable for g, p in zip(of_layer, of_pen, strict=True)]
        for layer, of_layer, of_pen in zip(layers, grads, of_penalty, strict=True)
    ]
    return (losses * row_weights).mean() + penalty, grads


def flatten(weights):
    """Return all arrays as one vector (P,)."""
    return np.concatenate([w.ravel() for arrays in weights for w in arrays])


def unflatten(flat, like):
    """Return the parts of a vector (P,) in the shapes of the weights `like`."""
    parts, start = [], 0
    for arrays in like:
        parts.append([])
        for w in arrays:
            parts[-1].append(flat[start : start + w.size].reshape(w.shape))
            start += w.size
    return parts


def weights_of(model):
    """Return copies of a model's parameters, in float64, as a list of arrays for each layer."""
    weights = [[] for _ in model.layers]
    for placed in model.engine.network.params:
        weights[placed.layer].append(model.views[placed.name].astype(np.float64))
    return weights


def limit_norms(layers, weights):
    """Scale the columns of constrained kernels, in place."""
    for layer, arrays in zip(layers, weights, strict=True):
        constraint = getattr(layer, "kernel_constraint", None)
        if constraint is not None and layer.trainable:
            norms = np.sqrt((arrays[0] ** 2).sum(0))
            arrays[0] *= np.minimum(1.0, constraint.max_value / norms)


def train(
    layers, weights, batches, loss, update, settings, lrs, weight_decay=None, clipvalue=None, global_clipnorm=None
):
    """Make a step with every batch (x, y, row weights or None, masks).

    `update` names an optimizer of reference.optimizers with its own `settings`; `lrs` (steps,).

    Returns
    -------
    losses : list of float, before each step
    path : (steps, P), the parameters after each step
    """
    pairs = zip(layers, weights, strict=True)
    trainable = flatten([[np.full_like(w, layer.trainable) for w in arrays] for layer, arrays in pairs])
    losses, path, state, p = [], [], {}, flatten(weights)
    for t, ((x, y, row_weights, masks), lr) in enumerate(zip(batches, lrs, strict=True), start=1):
        value, grads = value_and_grad(layers, unflatten(p, weights), x, y, loss, row_weights, masks)
        g = clip(flatten(grads), clipvalue, global_clipnorm)
        stepped = UPDATES[update](p - p * (weight_decay or 0.0) * lr, g, state, t, lr, **settings)
        p = np.where(trainable, stepped, p)
        limit_norms(layers, unflatten(p, weights))
        losses.append(value)
        path.append(p)
    return losses, np.array(path)
