"""Random Keras models with data, made from a seed: what test_keras_random.py trains in both libraries.

`case_of(seed)` draws a Sequential or a functional model of a kind (tables, sequences, token numbers, images) with
layers that are frozen or not, masks, regularizers and constraints, an optimizer, a loss and metrics with settings,
and weights of rows, of time steps or of classes.  Some settings among them have no counterpart in fastbp.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, losses, metrics, optimizers, regularizers
from keras.constraints import MaxNorm

KINDS = ("table", "table", "sequence", "sequence", "tokens", "images")
ROWS, BATCH = 22, 8
SHAPES = {"table": (4,), "sequence": (4, 4), "tokens": (4,), "images": (5, 4, 2)}
CATEGORIES = 7


@dataclass
class Case:
    """A compiled Keras model and what it is trained on."""

    model: Any
    x: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray | None
    class_weight: dict | None


class Draw:
    """Random choices."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def one(self, *values):
        """Return one of the values."""
        return values[self.rng.integers(len(values))]

    def chance(self, share):
        """Return True with this probability."""
        return bool(self.rng.random() < share)

    def maybe(self, share, value):
        """Return the value with this probability, else None."""
        return value if self.chance(share) else None


def case_of(seed):
    """Return the case of a seed."""
    draw = Draw(seed)
    kind = draw.one(*KINDS)
    x = keras.Input(SHAPES[kind])
    out = STACKS[kind](draw, x)
    steps = len(out.shape) == 3
    if len(out.shape) == 4:
        out, steps = layers.Flatten()(out), False
    elif steps and draw.chance(0.4):
        ends = layers.Flatten(), layers.GlobalMaxPooling1D(), layers.GlobalAveragePooling1D()
        out, steps = draw.one(*ends)(out), False
    head, units, activation, loss = head_of(draw)
    model = keras.Model(x, layers.Dense(units, activation)(out))
    model = as_sequential(model) if draw.chance(0.5) else model
    fill(model, draw.rng)
    freeze(model, draw)
    model.compile(optimizer_of(draw, model), loss, metrics=metrics_of(draw, head, steps), run_eagerly=True)
    x, y = data_of(draw, kind, head, model.output_shape[1:], loss)
    return Case(model, x, y, *weights_of(draw, head, y, model.output_shape[1:], steps))


def as_sequential(model):
    """Return the layers of a functional model without branches as a Sequential one, else the model itself."""
    chain = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    if any(isinstance(layer, layers.Add | layers.Concatenate) for layer in chain):
        return model
    return keras.Sequential([keras.Input(model.input_shape[1:]), *chain])


def weighted(draw, *names):
    """Return regularizers, or none, for these weights of a layer."""
    made = {}
    for name in names:
        kind = draw.one(regularizers.L1(0.003), regularizers.L2(0.02), regularizers.L1L2(0.002, 0.01))
        made |= {f"{name}_regularizer": draw.maybe(0.15, kind)}
    return made


def dense(draw, units=None):
    """Return a Dense layer."""
    constraint = draw.maybe(0.1, draw.one(MaxNorm(0.8), MaxNorm(0.8, axis=-2)))
    return layers.Dense(
        units or 4,
        draw.one("tanh", "relu", "sigmoid", "linear", "softplus", "elu", layers.LeakyReLU(0.2)),
        use_bias=draw.chance(0.8),
        kernel_constraint=constraint,
        **weighted(draw, "kernel", "bias"),
    )


def small(draw):
    """Return a layer that keeps the shape."""
    return draw.one(
        lambda: layers.BatchNormalization(
            momentum=draw.one(0.9, 0.99), epsilon=draw.one(1e-3, 0.1), center=draw.chance(0.8), scale=draw.chance(0.8)
        ),
        lambda: layers.LayerNormalization(epsilon=0.1, center=draw.chance(0.8), **weighted(draw, "gamma")),
        lambda: layers.Activation(draw.one("tanh", "silu", "mish")),
        lambda: draw.one(layers.ReLU(), layers.ReLU(negative_slope=0.1), layers.LeakyReLU(0.2), layers.ELU(0.5)),
        lambda: layers.PReLU("uniform"),
        lambda: layers.Dropout(0.0),
        lambda: layers.RMSNormalization(epsilon=0.1),
    )()


def table(draw, x):
    """Dense layers, blocks of branches, and a model within the model."""
    for _ in range(draw.rng.integers(1, 4)):
        x = draw.one(dense_block, small_block, residual, side_by_side, inner_model)(draw, x)
    return x


def dense_block(draw, x):
    """One Dense layer."""
    return dense(draw)(x)


def small_block(draw, x):
    """One layer that keeps the shape."""
    return small(draw)(x)


def residual(draw, x):
    """A block and its input, added."""
    block = dense(draw, x.shape[-1])(small(draw)(x) if draw.chance(0.3) else x)
    return layers.Add()([x, block] if draw.chance(0.8) else [block, x])


def side_by_side(draw, x):
    """Two branches side by side."""
    return layers.Concatenate()([dense(draw)(x), draw.one(dense(draw)(x), x)])


def inner_model(draw, x):
    """A Sequential within the model."""
    return keras.Sequential([keras.Input(x.shape[1:]), dense(draw), small(draw)])(x)


def recurrent(draw, sequences):
    """Return a recurrent layer."""
    # Mostly unrolled, for JAX compiles each loop over time steps anew, and the steps themselves but once.
    settings = {"return_sequences": sequences, "use_bias": draw.chance(0.8), "unroll": draw.chance(0.85)}
    kind = draw.one(layers.SimpleRNN, layers.LSTM, layers.GRU)
    if kind is layers.GRU:
        settings["reset_after"] = draw.chance(0.5)
    settings |= weighted(draw, "kernel", "recurrent")
    if draw.chance(0.3):
        return layers.Bidirectional(kind(4, **settings), draw.one("concat", "sum", "ave"))
    return kind(4, go_backwards=not sequences and draw.chance(0.2), zero_output_for_mask=draw.chance(0.2), **settings)


def sequence(draw, x):
    """Perhaps masking, then layers of time steps."""
    if draw.chance(0.65):
        x = layers.Masking(draw.one(0.0, 0.0, -1.0))(x)
    return of_steps(draw, x)


def tokens(draw, x):
    """An embedding, then layers of time steps."""
    x = layers.Embedding(CATEGORIES, 4, mask_zero=draw.chance(0.65), **weighted(draw, "embeddings"))(x)
    return of_steps(draw, x)


def of_steps(draw, x):
    """Layers of time steps; the last recurrent one perhaps ends them."""
    for _ in range(draw.rng.integers(1, 3)):
        x = draw.one(
            lambda x: recurrent(draw, True)(x),
            lambda x: recurrent(draw, True)(x),
            lambda x: dense(draw)(x),
            lambda x: small(draw)(x),
            lambda x: residual(draw, x),
            lambda x: side_by_side(draw, x),
            lambda x: layers.Conv1D(4, 2, padding="causal", activation="tanh")(x),
        )(x)
    return recurrent(draw, False)(x) if draw.chance(0.5) else x


def images(draw, x):
    """Convolutions and pooling."""
    for _ in range(draw.rng.integers(1, 3)):
        x = draw.one(
            lambda x: layers.Conv2D(
                4, draw.one(2, 3), padding=draw.one("same", "valid"), activation=draw.one("relu", "tanh"),
                **weighted(draw, "kernel"),
            )(x),
            lambda x: layers.DepthwiseConv2D(2, padding="same", **weighted(draw, "depthwise"))(x),
            lambda x: draw.one(layers.MaxPooling2D, layers.AveragePooling2D)(2, padding="same")(x),
            lambda x: small(draw)(x),
        )(x)  # fmt: skip
    return draw.one(layers.GlobalAveragePooling2D(), layers.GlobalMaxPooling2D(), layers.Flatten())(x)


STACKS = {"table": table, "sequence": sequence, "tokens": tokens, "images": images}


def head_of(draw):
    """Return what the targets are, units and activation of the last layer, and a loss for them."""
    head = draw.one("numbers", "yes or no", "labels", "classes", "one-hot")
    logits, smoothing = draw.chance(0.4), draw.one(0.0, 0.1)
    if head == "numbers":
        loss = draw.one(
            "mse", "mae", losses.huber, losses.MeanSquaredError(), losses.MeanSquaredError("sum"),
            losses.MeanAbsoluteError("mean"), "log_cosh",
        )  # fmt: skip
        return head, draw.one(1, 2), "linear", loss
    if head in ("yes or no", "labels"):
        loss = losses.BinaryCrossentropy(from_logits=logits, label_smoothing=smoothing)
        loss = loss if logits or draw.chance(0.5) else draw.one("binary_crossentropy", losses.binary_crossentropy)
        return head, 1 if head == "yes or no" else 3, "linear" if logits else "sigmoid", loss
    if head == "classes":
        loss = losses.SparseCategoricalCrossentropy(from_logits=logits, ignore_class=draw.maybe(0.05, 1))
        loss = loss if logits or draw.chance(0.5) else "sparse_categorical_crossentropy"
    else:
        loss = losses.CategoricalCrossentropy(from_logits=logits, label_smoothing=smoothing)
        loss = loss if logits or draw.chance(0.5) else "categorical_crossentropy"
    return head, 3, "linear" if logits else "softmax", loss


METRICS = {
    "numbers": lambda draw: draw.one(
        "mse", "mae", metrics.RootMeanSquaredError(), metrics.MeanAbsoluteError("off"), "cosine_similarity",
        metrics.R2Score(draw.one("uniform_average", "variance_weighted_average")), "accuracy",
    ),
    "yes or no": lambda draw: draw.one(
        "accuracy", "acc", metrics.BinaryAccuracy(threshold=0.6), metrics.Recall(thresholds=0.55), metrics.AUC(),
        metrics.Precision(), "recall", metrics.AUC(curve="PR"), metrics.Accuracy(), "mse",
    ),
    "labels": lambda draw: draw.one(
        "accuracy", metrics.BinaryAccuracy(), metrics.Recall(class_id=1), metrics.Precision(thresholds=[0.3, 0.6]),
        metrics.F1Score(draw.one("micro", "macro", "weighted"), 0.5), metrics.F1Score(), metrics.Recall(top_k=2),
        metrics.AUC(), metrics.categorical_accuracy,
    ),
    "classes": lambda draw: draw.one(
        "accuracy", "acc", metrics.SparseCategoricalAccuracy(), metrics.SparseTopKCategoricalAccuracy(2),
        "sparse_categorical_crossentropy",
    ),
    "one-hot": lambda draw: draw.one(
        "accuracy", metrics.CategoricalAccuracy("cat"), metrics.TopKCategoricalAccuracy(k=2), metrics.Precision(),
        metrics.Recall(thresholds=0.3), metrics.Recall(class_id=2, name="of_two"), metrics.FBetaScore("macro", 2.0),
        metrics.F1Score("weighted"), metrics.Precision(top_k=1),
    ),
}  # fmt: skip


def metrics_of(draw, head, steps):
    """Return some metrics, in a list or a list of lists: of time steps none that Keras has of rows alone."""
    found = [METRICS[head](draw) for _ in range(draw.rng.integers(0, 3))]
    if steps:
        found = [metric for metric in found if not isinstance(metric, metrics.FBetaScore | metrics.R2Score)]
    found = list({getattr(metric, "name", str(metric)): metric for metric in found}.values())
    return draw.one(found, found, [found], None)


def optimizer_of(draw, model):
    """Return an optimizer with settings; epsilons are large, so that rounding in gradients near 0 stays small."""
    schedules = optimizers.schedules
    rate = draw.one(
        0.05, 0.05, schedules.ExponentialDecay(0.05, 2, 0.7, staircase=draw.chance(0.5)),
        schedules.CosineDecay(0.02, 5, 0.1, warmup_target=0.06, warmup_steps=2),
        schedules.PiecewiseConstantDecay([2], [0.05, 0.02]),
    )  # fmt: skip
    decay, momentum = {"weight_decay": 0.1}, draw.one(0.0, 0.5, 0.9)
    settings = draw.one({}, {}, {"clipvalue": 0.05}, {"global_clipnorm": 0.3}, decay, decay)
    if draw.chance(0.05):
        rate = schedules.PolynomialDecay(0.05, 9)
    if draw.chance(0.05):
        settings = draw.one({"clipnorm": 0.3}, {"use_ema": True}, {"gradient_accumulation_steps": 2})
    made = draw.one(
        lambda: optimizers.SGD(rate, momentum=momentum, nesterov=draw.chance(0.5), **settings),
        lambda: optimizers.Adam(rate, beta_1=0.8, epsilon=0.01, amsgrad=draw.chance(0.5), **settings),
        lambda: optimizers.AdamW(rate, epsilon=0.01, **decay | settings),
        lambda: optimizers.RMSprop(rate, momentum=momentum, epsilon=0.01, centered=draw.chance(0.5), **settings),
        lambda: optimizers.Adagrad(rate, epsilon=0.01, **settings),
        lambda: optimizers.Nadam(rate, epsilon=0.01, **settings),
    )()
    if made.weight_decay and draw.chance(0.5):
        made.exclude_from_weight_decay(*draw.one((None, ["bias"]), ([model.trainable_variables[-1]], None)))
    return made


def fill(model, rng):
    """Draw all weights."""
    model.set_weights([
        rng.uniform(0.5, 1.5, variable.shape) if "moving" in variable.path or "gamma" in variable.path
        else rng.standard_normal(variable.shape) / np.sqrt(max(variable.shape[0], 2))
        for variable in model.weights
    ])  # fmt: skip


def freeze(model, draw):
    """Freeze some layers, but not the last one."""
    for layer in model.layers[:-1]:
        if draw.chance(0.2):
            layer.trainable = False


def data_of(draw, kind, head, shape, loss):
    """Return inputs with masked time steps, and targets for outputs of this shape."""
    rng, x = draw.rng, draw.rng.standard_normal((ROWS, *SHAPES[kind])).astype(np.float32)
    if kind == "tokens":
        x = rng.integers(1, CATEGORIES, x.shape).astype(np.float32)
    if kind in ("sequence", "tokens"):
        # Every row keeps a step: Keras's mean over none is NaN.
        padding = draw.one(0, 0, -1) if kind == "sequence" else 0
        x[(rng.random(x.shape[:2]) < 0.3) & (np.arange(x.shape[1]) != 2)] = padding
    if head == "numbers":
        return x, rng.standard_normal((ROWS, *shape)).astype(np.float32)
    if head in ("yes or no", "labels"):
        return x, rng.integers(0, 2, (ROWS, *shape)).astype(np.float32)
    classes = rng.integers(0, 3, (ROWS, *shape[:-1]))
    return x, classes if head == "classes" else np.eye(3, dtype=np.float32)[classes]


def weights_of(draw, head, y, shape, steps):
    """Return weights of rows or time steps, and of classes; Keras takes one of the two."""
    rng = draw.rng
    if draw.chance(0.4):
        return rng.uniform(0, 2, y.shape[:2] if steps else ROWS).astype(np.float32), None
    if not steps and head in ("yes or no", "classes", "one-hot") and draw.chance(0.4):
        return None, {0: 0.5, 1: 2.0} | ({2: 1.5} if head != "yes or no" else {})
    return None, None
