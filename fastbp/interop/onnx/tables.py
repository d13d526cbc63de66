"""Layers of tables, and members of ensembles, as ONNX nodes."""

import numpy as np


def columns(graph, site, x):
    """Some columns of a table."""
    chosen = site.spec.columns
    return x if chosen == tuple(range(site.input_shapes[0][0])) else graph.gather(x, chosen)


def scaling(graph, site, x):
    """x * scale + bias."""
    out = graph.add("Mul", x, site.weights["scale"])
    return graph.add("Add", out, site.weights["bias"]) if "bias" in site.weights else out


def parametric_activation(graph, site, x):
    """x + alpha * (f(x) - x)."""
    change = graph.add("Sub", graph.activate(site.spec.activation, x), x)
    return graph.add("Add", x, graph.add("Mul", change, site.weights["alpha"]))


def embedding(graph, site, x):
    """Rows of a table; 0 is a step to skip where the layer masks."""
    out = graph.add("Gather", site.weights["embeddings"], graph.cast(x, np.int64), axis=0)
    return (out, graph.add("Not", graph.add("Equal", x, 0.0))) if site.spec.mask_zero else out


def category_embedding(graph, site, x):
    """A row of each column's own table, side by side."""
    codes = graph.cast(x, np.int64)
    rows = [
        graph.add("Gather", site.weights[f"column_{i}"], graph.gather(codes, i), axis=0)
        for i in range(len(site.spec.cardinalities))
    ]
    return graph.concat(rows)


def one_hot(graph, site, x):
    """A column of zeros and ones for each category of each column."""
    sizes = site.spec.cardinalities
    places = np.repeat(np.arange(len(sizes)), sizes)
    wanted = np.concatenate([np.arange(size) for size in sizes]).astype(graph.dtype)
    return graph.cast(graph.add("Equal", graph.gather(x, places), wanted))


def periodic_embedding(graph, site, x):
    """[x, cos(2 pi frequency x + phase) @ kernel + bias], feature by feature."""
    weights = site.weights
    x = graph.add("Unsqueeze", x, np.array([2]))
    angles = graph.add("Mul", x, (2 * np.pi * weights["frequency"]).astype(graph.dtype))
    waves = graph.add("Cos", graph.add("Add", angles, weights["phase"]))
    mapped = by_feature(graph, waves, weights["kernel"])
    return graph.concat([x, graph.add("Add", mapped, weights["bias"])], axis=2)


def piecewise_linear_embedding(graph, site, x):
    """x * slope + bias + shares @ kernel, feature by feature; features with fewer bins get bins of weight 0."""
    sizes = [len(edges) - 1 for edges in site.spec.bins]
    d, t, k = len(sizes), max(sizes), site.spec.embedding_dim
    low, over, least, most = (np.zeros((d, t), graph.dtype) for _ in range(4))
    kernel, first = np.zeros((d, t, k), graph.dtype), 0
    tables = site.spec.tables(graph.dtype)
    for i, size in enumerate(sizes):
        for table, padded in zip(tables, (low, over, least, most), strict=True):
            padded[i, :size] = table[first : first + size]
        kernel[i, :size] = site.weights["kernel"][first : first + size]
        first += size
    x = graph.add("Unsqueeze", x, np.array([2]))
    shares = graph.add("Mul", graph.add("Sub", x, low), over)
    shares = graph.add("Min", graph.add("Max", shares, least), most)
    line = graph.add("Add", graph.add("Mul", x, site.weights["slope"]), site.weights["bias"])
    return graph.add("Add", line, by_feature(graph, shares, kernel))


def repeat_members(graph, site, x):
    """Every row once for each member."""
    x = graph.add("Unsqueeze", x, np.array([1]))
    return graph.concat([x] * site.spec.members)


def member_dense(graph, site, x):
    """activation(x[:, i] @ kernel[i] + bias[i])."""
    out = by_feature(graph, x, site.weights["kernel"])
    if "bias" in site.weights:
        out = graph.add("Add", out, site.weights["bias"])
    return graph.activate(site.spec.activation, out)


def member_mean(graph, site, x):
    """The mean of the members."""
    return graph.reduce("Mean", x, [1])


def by_feature(graph, x, kernel):
    """Return x[:, i] @ kernel[i] for x (n, d, f), kernel (d, f, k): (n, d, k)."""
    product = graph.add("MatMul", graph.add("Transpose", x, perm=[1, 0, 2]), kernel)
    return graph.add("Transpose", product, perm=[1, 0, 2])


EMITTERS = {
    "CategoryEmbedding": category_embedding,
    "Columns": columns,
    "Embedding": embedding,
    "MemberDense": member_dense,
    "MemberMean": member_mean,
    "OneHot": one_hot,
    "ParametricActivation": parametric_activation,
    "PeriodicEmbedding": periodic_embedding,
    "PiecewiseLinearEmbedding": piecewise_linear_embedding,
    "RepeatMembers": repeat_members,
    "Scaling": scaling,
}
