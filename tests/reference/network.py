"""Plain NumPy float64 networks: forward, backward, penalties, and whole training runs.

Layers are fastbp's specs, read for their settings only. `weights` is a list with one list of arrays a
layer, in the network's order: of a layer with branches first an empty one for the fork, then those of its
branches' layers, then its own. Gradients come in the same form. `masks` is {place in that order: factors
(n, k)} for dropout.
"""

import numpy as np

from tests import oracles
from tests.reference import recurrent, windows
from tests.reference.activations import BACKWARD, FORWARD
from tests.reference.optimizers import UPDATES, clip


def activate(activation, x):
    """out (n, k) = activation(x (n, k))."""
    return x if activation.name == "linear" else FORWARD[activation.name](x, activation.alpha)


def activate_backward(activation, dout, x):
    """dout (n, k), x (n, k) -> dx (n, k)."""
    return dout if activation.name == "linear" else BACKWARD[activation.name](dout, x, activation.alpha)


def dense_forward(layer, weights, x, mask):
    """x (n, ..., d) -> out (n, ..., k), z (n, ..., k)."""
    z = x @ weights[0] + (weights[1] if layer.use_bias else 0.0)
    return activate(layer.activation, z), z


def dense_backward(layer, weights, x, z, dout, mask):
    """dout (n, ..., k) -> dx (n, ..., d), [dkernel (d, k), dbias (k,)]."""
    dz = activate_backward(layer.activation, dout, z)
    rows = dz.reshape(-1, dz.shape[-1])
    return dz @ weights[0].T, [x.reshape(-1, x.shape[-1]).T @ rows, rows.sum(0)][: len(weights)]


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


def reshape_forward(layer, weights, x, mask):
    """x (n, ...) -> out (n, ...), nothing."""
    return x.reshape(len(x), *getattr(layer, "target_shape", (-1,))), None


def reshape_backward(layer, weights, x, z, dout, mask):
    """dout (n, ...) -> dx (n, ...), []."""
    return dout.reshape(x.shape), []


def concatenate_forward(layer, weights, x, mask):
    """x, a list of (n, ..., d_b, ...) -> out (n, ..., sum of d_b, ...), nothing."""
    return np.concatenate(x, layer.axis), None


def concatenate_backward(layer, weights, x, z, dout, mask):
    """dout (n, ..., sum of d_b, ...) -> dx, a list of (n, ..., d_b, ...), []."""
    return np.split(dout, np.cumsum([part.shape[layer.axis] for part in x])[:-1], layer.axis), []


def residual_forward(layer, weights, x, mask):
    """x, a list of two (n, ...) -> out (n, ...), nothing."""
    return x[0] + x[1], None


def residual_backward(layer, weights, x, z, dout, mask):
    """dout (n, ...) -> dx, a list of two (n, ...), []."""
    return [dout, dout], []


def scaling_forward(layer, weights, x, mask):
    """x (n, ...) -> out (n, ...), nothing."""
    return x * weights[0] + (weights[1] if layer.use_bias else 0.0), None


def scaling_backward(layer, weights, x, z, dout, mask):
    """dout (n, ...) -> dx (n, ...), [dscale (...), dbias (...)]."""
    return dout * weights[0], [(dout * x).sum(0), dout.sum(0)][: len(weights)]


def parametric_forward(layer, weights, x, mask):
    """x (n, ...) -> out (n, ...), f(x) (n, ...)."""
    f = activate(layer.activation, x)
    return x + weights[0] * (f - x), f


def parametric_backward(layer, weights, x, f, dout, mask):
    """dout (n, ...) -> dx (n, ...), [dalpha (...)]."""
    dx = activate_backward(layer.activation, weights[0] * dout, x) + (1 - weights[0]) * dout
    return dx, [(dout * (f - x)).sum(0)]


def repeat_forward(layer, weights, x, mask):
    """x (n, ...) -> out (n, members, ...), nothing."""
    return np.repeat(x[:, None], layer.members, axis=1), None


def repeat_backward(layer, weights, x, z, dout, mask):
    """dout (n, members, ...) -> dx (n, ...), []."""
    return dout.sum(1), []


def mean_forward(layer, weights, x, mask):
    """x (n, members, ...) -> out (n, ...), nothing."""
    return x.mean(1), None


def mean_backward(layer, weights, x, z, dout, mask):
    """dout (n, ...) -> dx (n, members, ...), []."""
    return np.repeat(dout[:, None], x.shape[1], axis=1) / x.shape[1], []


def member_dense_forward(layer, weights, x, mask):
    """x (n, m, d) -> out (n, m, k), z (n, m, k)."""
    z = np.einsum("nmd,mdk->nmk", x, weights[0]) + (weights[1] if layer.use_bias else 0.0)
    return activate(layer.activation, z), z


def member_dense_backward(layer, weights, x, z, dout, mask):
    """dout (n, m, k) -> dx (n, m, d), [dkernel (m, d, k), dbias (m, k)]."""
    dz = activate_backward(layer.activation, dout, z)
    grads = [np.einsum("nmd,nmk->mdk", x, dz), dz.sum(0)]
    return np.einsum("nmk,mdk->nmd", dz, weights[0]), grads[: len(weights)]


def periodic_forward(layer, weights, x, mask):
    """x (n, d) -> out (n, d, e), the angles (n, d, f)."""
    kernel, bias, frequency, phase = weights
    angles = 2 * np.pi * frequency * x[:, :, None] + phase
    embedded = np.einsum("ndf,dfk->ndk", np.cos(angles), kernel) + bias
    return np.concatenate([x[:, :, None], embedded], 2), angles


def periodic_backward(layer, weights, x, angles, dout, mask):
    """dout (n, d, e) -> dx (n, d), [dkernel (d, f, e - 1), dbias (d, e - 1), dfrequency, dphase (d, f)]."""
    kernel, _, frequency, _ = weights
    dembedded = dout[:, :, 1:]
    dangles = -np.sin(angles) * np.einsum("ndk,dfk->ndf", dembedded, kernel)
    dkernel = np.einsum("ndf,ndk->dfk", np.cos(angles), dembedded)
    dfrequency = 2 * np.pi * (dangles * x[:, :, None]).sum(0)
    dx = dout[:, :, 0] + 2 * np.pi * (dangles * frequency).sum(2)
    return dx, [dkernel, dembedded.sum(0), dfrequency, dangles.sum(0)]


def piecewise_forward(layer, weights, x, mask):
    """x (n, d) -> out (n, d, k), the shares of the bins: a list of (n, bins)."""
    kernel, slope, bias = weights
    shares, out, first = [], x[:, :, None] * slope + bias, 0
    for i, edges in enumerate(layer.bins):
        share = (x[:, i, None] - edges[:-1]) / np.diff(edges)
        share[:, 1:] = np.maximum(share[:, 1:], 0)
        share[:, :-1] = np.minimum(share[:, :-1], 1)
        out[:, i] += share @ kernel[first : first + share.shape[1]]
        first += share.shape[1]
        shares.append(share)
    return out, shares


def piecewise_backward(layer, weights, x, shares, dout, mask):
    """dout (n, d, k) -> dx (n, d), [dkernel (bins, k), dslope (d, k), dbias (d, k)]."""
    kernel, slope, _ = weights
    dx, dkernel, first = (dout * slope).sum(2), [], 0
    for i, (edges, share) in enumerate(zip(layer.bins, shares, strict=True)):
        dkernel.append(share.T @ dout[:, i])
        inside = np.ones_like(share)
        inside[:, 1:] *= share[:, 1:] > 0
        inside[:, :-1] *= share[:, :-1] < 1
        dshare = dout[:, i] @ kernel[first : first + share.shape[1]].T
        dx[:, i] += (dshare * inside / np.diff(edges)).sum(1)
        first += share.shape[1]
    return dx, [np.concatenate(dkernel), (dout * x[:, :, None]).sum(0), dout.sum(0)]


def columns_forward(layer, weights, x, mask):
    """x (n, d) -> out (n, k), nothing."""
    return x[:, layer.columns], None


def columns_backward(layer, weights, x, z, dout, mask):
    """dout (n, k) -> dx (n, d), []."""
    return dout @ np.eye(x.shape[1])[list(layer.columns)], []


def embedding_forward(layer, weights, x, mask):
    """x (n, ...) -> out (n, ..., dim), nothing."""
    return weights[0][x.astype(int)], None


def embedding_backward(layer, weights, x, z, dout, mask):
    """dout (n, ..., dim) -> dx (n, ...) = 0, [dtable (c, dim)]."""
    table = np.zeros_like(weights[0])
    np.add.at(table, x.astype(int), dout)
    return np.zeros_like(x), [table]


def tables_forward(layer, weights, x, mask):
    """x (n, t) -> out (n, sum of dims), nothing."""
    return np.hstack([table[x[:, i].astype(int)] for i, table in enumerate(weights)]), None


def tables_backward(layer, weights, x, z, dout, mask):
    """dout (n, sum of dims) -> dx (n, t) = 0, [dtable (c, dim) of each column]."""
    parts = np.split(dout, np.cumsum([table.shape[1] for table in weights])[:-1], axis=1)
    return np.zeros_like(x), [
        np.eye(len(table))[x[:, i].astype(int)].T @ part
        for i, (table, part) in enumerate(zip(weights, parts, strict=True))
    ]


def one_hot_forward(layer, weights, x, mask):
    """x (n, t) -> out (n, sum of cardinalities), nothing."""
    return np.hstack([np.eye(size)[x[:, i].astype(int)] for i, size in enumerate(layer.cardinalities)]), None


def one_hot_backward(layer, weights, x, z, dout, mask):
    """dx (n, t) = 0, []."""
    return np.zeros_like(x), []


def noise_forward(layer, weights, x, mask):
    """x (n, ...), the noise as mask -> out (n, ...), nothing."""
    return (x if mask is None else x + mask), None


def noise_backward(layer, weights, x, z, dout, mask):
    """dout (n, ...) -> dx (n, ...), []."""
    return dout, []


def alpha_forward(layer, weights, x, mask):
    """x (n, ...), what is kept as mask -> out (n, ...), a."""
    if mask is None:
        return x, 1.0
    low = -1.0507009873554805 * 1.6732632423543772
    a = 1 / np.sqrt((1 - layer.rate) * (1 + layer.rate * low**2))
    return a * np.where(mask, x, low) - a * low * layer.rate, a


def alpha_backward(layer, weights, x, a, dout, mask):
    """dout (n, ...) -> dx (n, ...), []."""
    return (dout if mask is None else dout * a * mask), []


def layer_norm_forward(layer, weights, x, mask):
    """x (n, ..., d) -> out (n, ..., d), xhat and 1 / sqrt(variance + epsilon)."""
    centered = x - (0.0 if kind(layer) == "RMSNormalization" else x.mean(-1, keepdims=True))
    inverse = 1 / np.sqrt((centered**2).mean(-1, keepdims=True) + layer.epsilon)
    out = centered * inverse
    if getattr(layer, "scale", True):
        out = out * weights[0]
    return out + (weights[-1] if getattr(layer, "center", False) else 0.0), (centered * inverse, inverse)


def layer_norm_backward(layer, weights, x, kept, dout, mask):
    """dout (n, ..., d) -> dx (n, ..., d), [dgamma (d,), dbeta (d,)]."""
    xhat, inverse = kept
    scales, shifts = getattr(layer, "scale", True), getattr(layer, "center", False)
    g = dout * weights[0] if scales else dout
    mean = 0.0 if kind(layer) == "RMSNormalization" else g.mean(-1, keepdims=True)
    dx = inverse * (g - mean - xhat * (g * xhat).mean(-1, keepdims=True))
    axes = tuple(range(x.ndim - 1))
    return dx, [(dout * xhat).sum(axes)] * scales + [dout.sum(axes)] * shifts


LAYERS = {
    "Dense": (dense_forward, dense_backward),
    "LayerNormalization": (layer_norm_forward, layer_norm_backward),
    "RMSNormalization": (layer_norm_forward, layer_norm_backward),
    "GaussianNoise": (noise_forward, noise_backward),
    "AlphaDropout": (alpha_forward, alpha_backward),
    "SpatialDropout1D": (dropout_forward, dropout_backward),
    "SpatialDropout2D": (dropout_forward, dropout_backward),
    "Activation": (activation_forward, activation_backward),
    "Dropout": (dropout_forward, dropout_backward),
    "PReLU": (prelu_forward, prelu_backward),
    "Flatten": (reshape_forward, reshape_backward),
    "Reshape": (reshape_forward, reshape_backward),
    "Concatenate": (concatenate_forward, concatenate_backward),
    "Residual": (residual_forward, residual_backward),
    "Columns": (columns_forward, columns_backward),
    "Embedding": (embedding_forward, embedding_backward),
    "CategoryEmbedding": (tables_forward, tables_backward),
    "OneHot": (one_hot_forward, one_hot_backward),
    "Scaling": (scaling_forward, scaling_backward),
    "ParametricActivation": (parametric_forward, parametric_backward),
    "RepeatMembers": (repeat_forward, repeat_backward),
    "MemberMean": (mean_forward, mean_backward),
    "MemberDense": (member_dense_forward, member_dense_backward),
    "PeriodicEmbedding": (periodic_forward, periodic_backward),
    "PiecewiseLinearEmbedding": (piecewise_forward, piecewise_backward),
    **windows.LAYERS,
    **recurrent.LAYERS,
    **oracles.REFERENCE,
}
REGULARIZERS = {
    "Dense": ("kernel_regularizer", "bias_regularizer"),
    "MemberDense": ("kernel_regularizer", "bias_regularizer"),
    "PReLU": ("alpha_regularizer",),
    "Embedding": ("embeddings_regularizer",),
    "Conv1D": ("kernel_regularizer", "bias_regularizer"),
    "Conv2D": ("kernel_regularizer", "bias_regularizer"),
    "DepthwiseConv2D": ("depthwise_regularizer", "bias_regularizer"),
    **recurrent.REGULARIZERS,
    "LayerNormalization": ("gamma_regularizer", "beta_regularizer"),
    **oracles.REGULARIZERS,
}


def kind(layer):
    """Return the name of a layer spec's registry row."""
    return layer.registered[1]


def in_order(layers):
    """Return the specs in the order of `weights`; None for a fork."""
    specs = []
    for layer in layers:
        if layer.branches:
            specs.append(None)
        for branch in layer.branches:
            specs += in_order(branch)
        specs.append(layer)
    return specs


def forward(layers, weights, x, masks=None):
    """x (n, d) -> out (n, k), and the tape that `backward` reads."""
    return _forward(layers, iter(enumerate(weights)), x, masks or {})


def _forward(layers, places, x, masks):
    tape = []
    for layer in layers:
        branches = []
        if layer.branches:
            next(places)
            branches = [_forward(branch, places, x, masks) for branch in layer.branches]
            x = [out for out, _ in branches]
        place, arrays = next(places)
        mask = masks.get(place)
        out, z = LAYERS[kind(layer)][0](layer, arrays, x, mask)
        tape.append((layer, arrays, x, z, mask, [of_branch for _, of_branch in branches]))
        x = out
    return x, tape


def backward(tape, dout):
    """dout (n, k) -> dx (n, d), and the gradients of the weights."""
    grads = []
    for layer, arrays, x, z, mask, branches in reversed(tape):
        dout, of_layer = LAYERS[kind(layer)][1](layer, arrays, x, z, dout, mask)
        grads.insert(0, of_layer)
        if branches:
            ends = [backward(branch, d) for branch, d in zip(branches, dout, strict=True)]
            dout = sum(dx for dx, _ in ends)
            grads = [[], *(of_layer for _, of_branch in ends for of_layer in of_branch), *grads]
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
    for layer, arrays in zip(in_order(layers), weights, strict=True):
        of_layer = [np.zeros_like(w) for w in arrays]
        for i, name in enumerate(REGULARIZERS.get(layer and kind(layer), ())[: len(arrays)]):
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
    _, grads = backward(tape, dout * row_weights[:, None] / len(x))
    penalty, of_penalty = penalties(layers, weights)
    grads = [
        [(g + p) * layer.trainable for g, p in zip(of_layer, of_pen, strict=True)]
        for layer, of_layer, of_pen in zip(in_order(layers), grads, of_penalty, strict=True)
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
    weights = [[] for _ in model.engine.network.layers]
    for placed in model.engine.network.params:
        weights[placed.layer].append(model.views[placed.name].astype(np.float64))
    return weights


def limit_norms(layers, weights):
    """Scale each output's weights in constrained kernels, in place."""
    for layer, arrays in zip(in_order(layers), weights, strict=True):
        filters = getattr(layer, "depthwise_constraint", None)
        constraint = filters or getattr(layer, "kernel_constraint", None)
        if constraint is not None and layer.trainable:
            norms = np.sqrt((arrays[0] ** 2).sum(tuple(range(arrays[0].ndim - (2 if filters else 1)))))
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
    pairs = zip(in_order(layers), weights, strict=True)
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
