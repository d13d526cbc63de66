"""Random networks of tables, sequences and images, made from a seed: what exports are tried on."""

import numpy as np

import fastbp

ACTIVATIONS = ["relu", "tanh", "mish", "gelu", "softplus", "selu", "silu"]


class Draw:
    """Random choices."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def one(self, *values):
        """Return one of the values."""
        return values[self.rng.integers(len(values))]

    @property
    def activation(self):
        """The name of an activation."""
        return self.one(*ACTIVATIONS)


def random_network(seed):
    """Return a network of random layers and weights, and rows for it; some steps of sequences are zero."""
    draw = Draw(seed)
    shape, layers = draw.one(table, sequence, images)(draw)
    model = fastbp.Sequential(layers, input_shape=shape, seed=0)
    for name, view in model.views.items():
        positive = "variance" in name or "gamma" in name
        view[...] = draw.rng.uniform(0.3, 1.2, view.shape) if positive else draw.rng.normal(0, 0.4, view.shape)
    x = draw.rng.normal(size=(5, *shape)).astype("float32")
    if len(shape) == 2:
        x *= draw.rng.random((5, shape[0], 1)) < 0.7
    return model, x


def several(draw, *makers):
    """Return the layers of one to three random makers."""
    return [draw.one(*makers)() for _ in range(draw.rng.integers(1, 4))]


def table(draw):
    """Dense layers, what stands between them, and branches."""
    layers = several(
        draw,
        lambda: fastbp.Dense(int(draw.rng.integers(1, 9)), draw.activation),
        lambda: draw.one(fastbp.LayerNormalization(), fastbp.BatchNormalization(), fastbp.Dropout(0.3)),
        lambda: draw.one(fastbp.PReLU(), fastbp.Scaling(), fastbp.ParametricActivation(draw.activation)),
        lambda: fastbp.Concatenate([[fastbp.Dense(3, draw.activation)], []]),
    )
    return (int(draw.rng.integers(2, 9)),), [*layers, fastbp.Dense(3, "softmax")]


def sequence(draw):
    """Recurrent layers of all kinds, with a mask or without."""
    merge = draw.one("concat", "sum", "mul", "ave")
    layers = several(
        draw,
        lambda: fastbp.LSTM(3, return_sequences=True, go_backwards=draw.one(True, False)),
        lambda: fastbp.GRU(3, return_sequences=True, reset_after=draw.one(True, False)),
        lambda: fastbp.Bidirectional(fastbp.SimpleRNN(2, draw.activation, return_sequences=True), merge),
        lambda: draw.one(fastbp.Dense(3, "tanh"), fastbp.Conv1D(3, 3, padding="causal", activation=draw.activation)),
    )
    end = draw.one(fastbp.Flatten(), fastbp.LSTM(4), fastbp.GlobalMaxPooling1D())
    masking = draw.one([fastbp.Masking()], [])
    return (int(draw.rng.integers(6, 12)), int(draw.rng.integers(1, 4))), [*masking, *layers, end, fastbp.Dense(2)]


def images(draw):
    """Convolution and pooling of all kinds."""
    layers = several(
        draw,
        lambda: fastbp.Conv2D(4, draw.one(1, 2, 3), strides=draw.one(1, 2), padding="same", activation=draw.activation),
        lambda: fastbp.DepthwiseConv2D(3, padding="same", dilation_rate=2),
        lambda: draw.one(fastbp.MaxPooling2D(2, padding="same"), fastbp.AveragePooling2D(3, 2, padding="same")),
        lambda: draw.one(fastbp.ZeroPadding2D(1), fastbp.BatchNormalization()),
    )
    end = draw.one(fastbp.Flatten(), fastbp.GlobalAveragePooling2D())
    size = tuple(int(number) for number in draw.rng.integers(8, 12, 2))
    return (*size, int(draw.rng.integers(1, 4))), [*layers, end, fastbp.Dense(3, "sigmoid")]
