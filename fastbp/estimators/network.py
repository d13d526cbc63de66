"""The network beneath an estimator: a `Sequential` whose first weights are drawn as scikit-learn draws them."""

import numpy as np

from fastbp.estimators.names import activation_of
from fastbp.layers import Dense, Dropout
from fastbp.models.sequential import Sequential
from fastbp.regularizers import L2


def hidden_sizes(hidden_layer_sizes):
    """Return the sizes of the hidden layers as a list."""
    sizes = list(hidden_layer_sizes) if hasattr(hidden_layer_sizes, "__iter__") else [hidden_layer_sizes]
    if np.any(np.array(sizes) <= 0):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return sizes


def layers_of(mlp, objective, n_outputs):
    """Return the layer specs that the estimator's parameters mean."""
    activation, layers = activation_of(mlp.activation), []
    # scikit-learn's alpha / 2 * |W|^2; each step divides it by its batch's weights.
    penalty = L2(0.5 * mlp.alpha) if mlp.alpha else None
    for size in hidden_sizes(mlp.hidden_layer_sizes):
        layers.append(Dense(size, activation, kernel_regularizer=penalty))
        if mlp.dropout:
            layers.append(Dropout(mlp.dropout))
    return [*layers, Dense(n_outputs, activation_of(objective.out_activation), kernel_regularizer=penalty)]


def new_model(mlp, layers, n_features, dtype):
    """Return a `Sequential` with new weights: uniform, biases too, in an interval by the layer's width."""
    factor = 2.0 if activation_of(mlp.activation).name == "sigmoid" else 6.0
    draw = mlp._random_state.uniform
    weights, fan_in = [], n_features
    for layer in layers:
        if isinstance(layer, Dense):
            bound = np.sqrt(factor / (fan_in + layer.units))
            weights += [draw(-bound, bound, (fan_in, layer.units)), draw(-bound, bound, layer.units)]
            fan_in = layer.units
    # Drawn last and only where masks need it: without dropout, the draws are scikit-learn's.
    seed = int(mlp._random_state.randint(2**31 - 1)) if mlp.dropout else 0
    model = Sequential(layers, input_shape=(n_features,), seed=seed, dtype=dtype.name)
    model.set_weights(weights)
    return model


def model_with_layers(model, layers):
    """Return `model`, or where its layers differ (in activation, penalty, dropout) one that goes on from it."""
    if model.layers == layers:
        return model
    engine = model.engine
    changed = Sequential(layers, input_shape=engine.network.input_shape, seed=model.seed, dtype=model.dtype.name)
    weights = model.get_weights()
    if [w.shape for w in weights] != [view.shape for view in changed.views.values()]:
        raise ValueError(
            "hidden_layer_sizes differs from the previous call to fit: with warm_start=True or partial_fit the "
            "weights are kept, and their shapes with them."
        )
    changed.set_weights(weights)
    if engine.optimizer is not None:
        changed.compile(model.optimizer, model.loss)
        changed.engine.state[:], changed.engine.step = engine.state, engine.step
    return changed
