"""The network of a recipe for an encoded table: embeddings, a trained scale for each column, dense layers."""

import numpy as np

import fastbp

# A column of numbers becomes itself and 3 maps of waves, and 4 piecewise linear functions.
WAVES_WIDTH, PIECES_WIDTH = 4, 4
CODE_WIDTH = 8
ACTIVATIONS = {"classification": "selu", "regression": "mish"}


def table_network(encoder, x, objective, recipe, hidden, seed):
    """Return a network for encoded rows, its initial values adapted to them.

    Parameters
    ----------
    encoder : TableEncoder
        Fitted.
    x : (n, d) float32
        Training rows, some thousands of them.
    objective : Objective
    recipe : Recipe
    hidden : tuple of int
        One of the recipe's.
    seed : int

    Returns
    -------
    Sequential
    """
    layers = [*_columns(encoder, x, recipe), fastbp.Scaling(learning_rate_factor=6.0)]
    for units in hidden:
        layers.append(_dense(units))
        layers.append(fastbp.ParametricActivation(ACTIVATIONS[objective.task], learning_rate_factor=0.1))
        if recipe.dropout:
            layers.append(fastbp.Dropout(recipe.dropout))
    layers.append(_dense(objective.n_outputs, objective.activation))
    if objective.sizes is not None:
        layers.append(fastbp.SoftmaxBlocks(objective.sizes))
    network = fastbp.Sequential(layers, input_shape=x.shape[1:], seed=seed)
    fastbp.initialize_from_data(network, x)
    return network


def _columns(encoder, x, recipe):
    """Return the layers that make one row of numbers of the three groups of columns."""
    n_dense = encoder.n_numeric + encoder.n_plain
    branches = []
    if encoder.n_numeric:
        numbers = range(encoder.n_numeric)
        branches += [[fastbp.Columns(numbers), *layers] for layers in _of_numbers(x[:, numbers], recipe)]
    if encoder.n_plain:
        branches.append([fastbp.Columns(range(encoder.n_numeric, n_dense))])
    if encoder.n_codes:
        codes = fastbp.Columns(range(n_dense, n_dense + encoder.n_codes))
        vectors = fastbp.CategoryEmbedding(encoder.cardinalities, CODE_WIDTH, "random_normal")
        branches.append([codes, vectors, fastbp.Flatten()])
    return branches[0] if len(branches) == 1 else [fastbp.Concatenate(branches)]


def _of_numbers(x, recipe):
    """Return what numeric columns x (n, d) become, side by side: a list of lists of layers."""
    embeddings = []
    if recipe.n_frequencies:
        embeddings.append(fastbp.PeriodicEmbedding(recipe.n_frequencies, WAVES_WIDTH, learning_rate_factor=0.1))
    if recipe.n_knots:
        places = [knots(column, recipe.n_knots) for column in x.T]
        embeddings.append(fastbp.PiecewiseLinearEmbedding(places, PIECES_WIDTH, learning_rate_factor=0.3))
    return [[embedding, fastbp.Flatten()] for embedding in embeddings] or [[]]


def knots(values, n):
    """Return the values (at least two, increasing) at which functions of a column (m,) may bend.

    They are n + 1 quantiles of its rows, and as many quantiles of its distinct values (or all of these values).  If
    most rows have the same value, there are four times as many of the latter, because most values are in few rows
    (adult's log loss falls by 4 %).

    Examples
    --------
    >>> import numpy as np
    >>> knots(np.array([0.0] * 90 + [1.0, 2.0, 3.0, 4.0]), 4)
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    distinct = np.unique(values)
    pieces = min(4 * n if is_spiked(values) else n, len(distinct) - 1)
    places = np.concatenate([_quantiles(values, n), _quantiles(distinct, pieces)])
    found = np.unique(places.astype(np.float32)).tolist()
    return found if len(found) > 1 else [found[0], found[0] + 1.0]


def is_spiked(values):
    """Has a column (m,) one value from its first quartile to its third?"""
    return np.quantile(values, 0.25) == np.quantile(values, 0.75)


def _quantiles(values, n):
    """Return n + 1 quantiles, from the smallest value to the largest."""
    return np.quantile(values, np.linspace(0, 1, n + 1))


def _dense(units, activation=None):
    """Return a dense layer in RealMLP's parametrisation, whose initial values the training rows decide."""
    return fastbp.Dense(
        units,
        activation=activation,
        kernel_initializer="unit_variance",
        bias_initializer="minus_random_products",
        parametrization="ntk",
        bias_learning_rate_factor=0.1,
        bias_decay_factor=0.0,
    )
