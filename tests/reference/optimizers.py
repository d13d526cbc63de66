"""Updates in plain NumPy, from the formulas in Keras's documentation and the papers, one step at a time.

Each takes the parameters p, the gradient g, `state` (a dict of its own, empty at first), the step's
number t from 1, its learning rate and the settings, and returns the new parameters.  Compiled updates flush denormals:
a moment without gradients stays at ten times the smallest normal number (m += (0 - m) * 0.1), here it goes on to zero.
"""

import numpy as np


def sgd(p, g, state, t, lr, momentum, nesterov):
    """Momentum as an average of gradients; Nesterov's form looks one step ahead."""
    if momentum == 0:
        return p - lr * g
    velocity = state["velocity"] = momentum * state.get("velocity", 0.0) - lr * g
    return p + (momentum * velocity - lr * g if nesterov else velocity)


def adagrad(p, g, state, t, lr, initial_accumulator_value, epsilon):
    """Divide by the root of all squared gradients so far."""
    state["total"] = state.get("total", initial_accumulator_value) + g**2
    return p - lr * g / np.sqrt(state["total"] + epsilon)


def rmsprop(p, g, state, t, lr, rho, momentum, epsilon, centered):
    """Divide by the root of the mean squared gradient, or by the standard deviation."""
    variance = state["square"] = rho * state.get("square", 0.0) + (1 - rho) * g**2
    if centered:
        state["mean"] = rho * state.get("mean", 0.0) + (1 - rho) * g
        variance = np.maximum(variance - state["mean"] ** 2, 0.0)
    step = lr * g / np.sqrt(variance + epsilon)
    state["step"] = momentum * state.get("step", 0.0) + step
    return p - state["step"]


def adam(p, g, state, t, lr, beta_1, beta_2, epsilon, amsgrad):
    """Bias-corrected moments; epsilon as in Kingma and Ba's second form ("epsilon hat")."""
    m = state["m"] = beta_1 * state.get("m", 0.0) + (1 - beta_1) * g
    v = state["v"] = beta_2 * state.get("v", 0.0) + (1 - beta_2) * g**2
    if amsgrad:
        v = state["largest"] = np.maximum(state.get("largest", 0.0), v)
    step_size = lr * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return p - step_size * m / (np.sqrt(v) + epsilon)


def nadam(p, g, state, t, lr, beta_1, beta_2, epsilon):
    """Dozat's algorithm, with its momentum schedule beta_1 * (1 - 0.96**t / 2)."""
    now, following = (beta_1 * (1 - 0.5 * 0.96**k) for k in (t, t + 1))
    product = state["product"] = state.get("product", 1.0) * now
    m = state["m"] = beta_1 * state.get("m", 0.0) + (1 - beta_1) * g
    v = state["v"] = beta_2 * state.get("v", 0.0) + (1 - beta_2) * g**2
    m_hat = following * m / (1 - product * following) + (1 - now) * g / (1 - product)
    return p - lr * m_hat / (np.sqrt(v / (1 - beta_2**t)) + epsilon)


def lion(p, g, state, t, lr, beta_1, beta_2):
    """The sign of an interpolated momentum."""
    m = state.get("m", 0.0)
    state["m"] = beta_2 * m + (1 - beta_2) * g
    return p - lr * np.sign(beta_1 * m + (1 - beta_1) * g)


UPDATES = {
    "sgd": sgd,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adam,
    "nadam": nadam,
    "lion": lion,
}


def clip(g, clipvalue=None, global_clipnorm=None):
    """Return the gradient, limited entry by entry or in its Euclidean norm."""
    if clipvalue is not None:
        return np.clip(g, -clipvalue, clipvalue)
    norm = np.sqrt(np.sum(g**2))
    return g * (global_clipnorm / norm) if global_clipnorm is not None and norm > global_clipnorm else g


def trajectory(name, settings, p, grads, lrs, weight_decay=None, clipvalue=None, global_clipnorm=None):
    """Return the parameters after each step, (steps, P), for gradients (steps, P) and learning rates (steps,)."""
    p, state, path = np.array(p, np.float64), {}, []
    for t, (g, lr) in enumerate(zip(grads, lrs, strict=True), start=1):
        g = clip(np.array(g, np.float64), clipvalue, global_clipnorm)
        p = p - p * (weight_decay or 0.0) * lr
        p = UPDATES[name](p, g, state, t, lr, **settings)
        path.append(p)
    return np.array(path)
