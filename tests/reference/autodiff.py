"""JAX float64 networks and losses, for automatic derivatives of what fastbp computes by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from tests import oracles
from tests.reference import recurrent_jax, windows_autodiff

ACTIVATIONS = {
    "linear": lambda x, a: x,
    "sigmoid": lambda x, a: jax.nn.sigmoid(x),
    "tanh": lambda x, a: jnp.tanh(x),
    "relu": lambda x, a: jax.nn.relu(x),
    "leaky_relu": lambda x, a: jax.nn.leaky_relu(x, a),
    "elu": lambda x, a: jax.nn.elu(x, a),
    "selu": lambda x, a: jax.nn.selu(x),
    "gelu": lambda x, a: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x, a: jax.nn.gelu(x, approximate=True),
    "silu": lambda x, a: jax.nn.silu(x),
    "mish": lambda x, a: jax.nn.mish(x),
    "softplus": lambda x, a: jax.nn.softplus(x),
    "hard_sigmoid": lambda x, a: jnp.clip(x + 3, 0, 6) / 6,
    "exponential": lambda x, a: jnp.exp(x),
    "softmax": lambda x, a: jax.nn.softmax(x, axis=-1),
}


def _activate(activation, x):
    return ACTIVATIONS[activation.name](x, activation.alpha)


def _dense(layer, weights, x, mask):
    return _activate(layer.activation, x @ weights[0] + (weights[1] if layer.use_bias else 0.0))


def _member_dense(layer, weights, x, mask):
    z = jnp.einsum("nmd,mdk->nmk", x, weights[0]) + (weights[1] if layer.use_bias else 0.0)
    return _activate(layer.activation, z)


def _periodic(layer, weights, x, mask):
    kernel, bias, frequency, phase = weights
    waves = jnp.cos(2 * jnp.pi * frequency * x[:, :, None] + phase)
    return jnp.concatenate([x[:, :, None], jnp.einsum("ndf,dfk->ndk", waves, kernel) + bias], 2)


def _piecewise(layer, weights, x, mask):
    kernel, slope, bias = weights
    columns, first = [], 0
    for i, edges in enumerate(layer.bins):
        share = (x[:, i, None] - np.array(edges[:-1])) / np.diff(edges)
        last = share.shape[1] - 1
        share = jnp.where((jnp.arange(last + 1) > 0) & (share < 0), 0.0, share)
        share = jnp.where((jnp.arange(last + 1) < last) & (share > 1), 1.0, share)
        columns.append(x[:, i, None] * slope[i] + bias[i] + share @ kernel[first : first + last + 1])
        first += last + 1
    return jnp.stack(columns, 1)


def _alpha_dropout(layer, weights, x, mask):
    if mask is None:
        return x
    low = -1.0507009873554805 * 1.6732632423543772
    a = ((1 - layer.rate) * (1 + layer.rate * low**2)) ** -0.5
    return a * (x * mask + low * (1 - mask)) - a * low * layer.rate


def _layer_norm(layer, weights, x, mask):
    weights = list(weights)
    mean = x.mean(-1, keepdims=True)
    xhat = (x - mean) / jnp.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + layer.epsilon)
    out = xhat * weights.pop(0) if layer.scale else xhat
    return out + weights.pop(0) if layer.center else out


def _convolution(layer, weights, x, mask):
    return windows_autodiff.convolution(layer, weights, x, _activate)


LAYERS = {
    "Dense": _dense,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": lambda layer, weights, x, mask: (
        x / jnp.sqrt((x**2).mean(-1, keepdims=True) + layer.epsilon) * weights[0]
    ),
    "SpatialDropout1D": lambda layer, weights, x, mask: x if mask is None else x * mask,
    "SpatialDropout2D": lambda layer, weights, x, mask: x if mask is None else x * mask,
    "AlphaDropout": _alpha_dropout,
    "GaussianNoise": lambda layer, weights, x, mask: x if mask is None else x + mask,
    "Activation": lambda layer, weights, x, mask: _activate(layer.activation, x),
    "Dropout": lambda layer, weights, x, mask: x if mask is None else x * mask,
    "PReLU": lambda layer, weights, x, mask: jnp.where(x > 0, x, weights[0] * x),
    "Flatten": lambda layer, weights, x, mask: x.reshape(len(x), -1),
    "Reshape": lambda layer, weights, x, mask: x.reshape(len(x), *layer.target_shape),
    # Of a layer with branches, x is the list of their outputs.
    "Concatenate": lambda layer, weights, x, mask: jnp.concatenate(x, layer.axis),
    "Residual": lambda layer, weights, x, mask: x[0] + x[1],
    "Columns": lambda layer, weights, x, mask: x[:, np.array(layer.columns)],
    "Embedding": lambda layer, weights, x, mask: weights[0][x.astype(int)],
    "CategoryEmbedding": lambda layer, weights, x, mask: jnp.hstack(
        [table[x[:, i].astype(int)] for i, table in enumerate(weights)]
    ),
    "OneHot": lambda layer, weights, x, mask: jnp.hstack(
        [jax.nn.one_hot(x[:, i].astype(int), size, dtype=x.dtype) for i, size in enumerate(layer.cardinalities)]
    ),
    "Scaling": lambda layer, weights, x, mask: x * weights[0] + (weights[1] if layer.use_bias else 0.0),
    "ParametricActivation": lambda layer, weights, x, mask: x + weights[0] * (_activate(layer.activation, x) - x),
    "RepeatMembers": lambda layer, weights, x, mask: jnp.repeat(x[:, None], layer.members, axis=1),
    # Losses see the members; the tests that want predictions take the mean.
    "MemberMean": lambda layer, weights, x, mask: x,
    "SoftmaxBlocks": lambda layer, weights, x, mask: x,
    "MemberDense": _member_dense,
    "PeriodicEmbedding": _periodic,
    "PiecewiseLinearEmbedding": _piecewise,
    **windows_autodiff.LAYERS,
    **dict.fromkeys(windows_autodiff.CONVOLUTIONS, _convolution),
    **recurrent_jax.LAYERS,
    **oracles.AUTODIFF,
}


def outputs(model, params, x, masks=None):
    """Return the outputs (n, k) of a model's layers with the flat parameters `params` (P,)."""
    weights = [[] for _ in model.engine.network.layers]
    for placed in model.engine.network.params:
        weights[placed.layer].append(params[placed.start : placed.stop].reshape(placed.param.shape))
    return _chain(model.layers, iter(enumerate(weights)), x, masks or {})


def _chain(layers, places, x, masks):
    for layer in layers:
        if layer.branches:
            next(places)  # the fork
            x = [_chain(branch, places, x, masks) for branch in layer.branches]
        place, arrays = next(places)
        x = LAYERS[layer.registered[1]](layer, arrays, x, masks.get(place))
    return x


def _log_probabilities(loss, out):
    return jax.nn.log_softmax(out, axis=1) if loss.from_logits else jnp.log(out)


def _huber(loss, out, y):
    error = jnp.abs(out - y)
    return jnp.where(error <= loss.delta, error**2 / 2, loss.delta * (error - loss.delta / 2)).mean(1)


def _binary_crossentropy(loss, out, y):
    t = y * (1 - loss.label_smoothing) + loss.label_smoothing / 2
    if loss.from_logits:
        return -(t * jax.nn.log_sigmoid(out) + (1 - t) * jax.nn.log_sigmoid(-out)).mean(1)
    return -(t * jnp.log(out) + (1 - t) * jnp.log1p(-out)).mean(1)


def _categorical_crossentropy(loss, out, y):
    t = y * (1 - loss.label_smoothing) + loss.label_smoothing / out.shape[1]
    return -(t * _log_probabilities(loss, out)).sum(1)


def _quantile(loss, out, y):
    error, tau = y.reshape(-1, 1) - out, jnp.array(loss.quantiles)
    return jnp.maximum(tau * error, (tau - 1) * error).mean(1)


def _sparse_categorical_crossentropy(loss, out, y):
    return _categorical_crossentropy(loss, out, jax.nn.one_hot(y, out.shape[1], dtype=out.dtype))


# The loss of each row (n,), from the model's outputs (n, k) and the user's targets.
LOSSES = {
    "mean_squared_error": lambda loss, out, y: ((out - y) ** 2).mean(1),
    "mean_absolute_error": lambda loss, out, y: jnp.abs(out - y).mean(1),
    "huber": _huber,
    "poisson": lambda loss, out, y: (out - y * jnp.log(out + 1e-7)).mean(1),
    "hinge": lambda loss, out, y: jnp.maximum(1 - y * out, 0).mean(1),
    "binary_crossentropy": _binary_crossentropy,
    "categorical_crossentropy": _categorical_crossentropy,
    "sparse_categorical_crossentropy": _sparse_categorical_crossentropy,
    "quantile": _quantile,
    "vector_jacobian": lambda loss, out, y: (out * y).sum(1),
}


def random_targets(loss, rng, n, k):
    """Return targets that suit the loss, as a user gives them: (n, k), or class numbers (n,)."""
    if loss.name == "sparse_categorical_crossentropy":
        return rng.integers(0, k, n)
    if loss.name == "categorical_crossentropy":
        return np.eye(k)[rng.integers(0, k, n)]
    if loss.name == "binary_crossentropy":
        return rng.integers(0, 2, (n, k)).astype(float)
    if loss.name == "hinge":
        return rng.choice([-1.0, 1.0], (n, k))
    if loss.name == "poisson":
        return rng.poisson(2.0, (n, k)).astype(float)
    return rng.standard_normal((n, 1) if loss.name == "quantile" else (n, k))


def _penalty(model, params):
    total = 0.0
    for placed in model.engine.network.params:
        if model.engine.network.layers[placed.layer].spec.trainable:
            w = params[placed.start : placed.stop]
            # A quarter of the time went into tracing terms that are 0.
            if placed.param.l1:
                total += placed.param.l1 * jnp.abs(w).sum()
            if placed.param.l2:
                total += placed.param.l2 * (w**2).sum()
    return total


def trainable_entries(model):
    """Return which entries of the flat parameters are trained, (P,) of bool."""
    trained = np.zeros(model.params.size, bool)
    for placed in model.engine.network.params:
        trained[placed.start : placed.stop] = model.engine.network.layers[placed.layer].spec.trainable
    return trained


def value_and_grad(model, x, y, row_weights=None, masks=None):
    """Return the mean loss with penalties, and its flat gradient (P,), zero for frozen layers."""
    x, weights = jnp.asarray(x, jnp.float64), jnp.ones(len(x)) if row_weights is None else jnp.asarray(row_weights)
    y = y if np.asarray(y).dtype.kind in "iu" else jnp.asarray(y, jnp.float64)

    def mean_loss(params):
        losses = LOSSES[model.loss.name](model.loss, outputs(model, params, x, masks), y)
        return (losses * weights).mean() + _penalty(model, params)

    value, grad = jax.jit(jax.value_and_grad(mean_loss))(jnp.asarray(model.params, jnp.float64))
    return float(value), np.asarray(grad) * trainable_entries(model)


def vjp(model, x, dout, masks=None):
    """Return the outputs (n, k), dx (n, d) and the flat gradient (P,), zero for frozen layers."""

    @jax.jit
    def run(params, x, dout):
        out, pull = jax.vjp(lambda p, x: outputs(model, p, x, masks), params, x)
        return out, *pull(dout)

    arrays = (jnp.asarray(a, jnp.float64) for a in (model.params, x, dout))
    out, grad, dx = (np.asarray(a) for a in run(*arrays))
    return out, dx, grad * trainable_entries(model)
