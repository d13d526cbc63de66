"""Names that users write: those of Keras stand for fastbp's, and of a wrong one the nearest in meaning is suggested."""

import difflib

# Keras's short names, and its names for what has another one here; case, "_" and "-" do not count (`plain`).
ALIASES = {
    "loss": {
        "mse": "mean_squared_error",
        "mae": "mean_absolute_error",
        "bce": "binary_crossentropy",
        "cce": "categorical_crossentropy",
        "scce": "sparse_categorical_crossentropy",
    },
    "metric": {
        "acc": "accuracy",
        "categoricalaccuracy": "sparse_categorical_accuracy",
        "mse": "mean_squared_error",
        "mae": "mean_absolute_error",
        "rmse": "root_mean_squared_error",
    },
    "activation": {"swish": "silu"},
    "initializer": {
        "normal": "random_normal",
        "uniform": "random_uniform",
        "zero": "zeros",
        "one": "ones",
        "orthogonalinitializer": "orthogonal",
    },
}
# What others call it: suggested, not taken, for not all of them mean quite the same.
MEANINGS = {
    "loss": {
        "l1": "mean_absolute_error",
        "l1loss": "mean_absolute_error",
        "l2": "mean_squared_error",
        "l2loss": "mean_squared_error",
        "squarederror": "mean_squared_error",
        "rmse": "mean_squared_error",
        "smoothl1": "huber",
        "pinball": "quantile",
        "logloss": "binary_crossentropy",
        "logistic": "binary_crossentropy",
        "bcewithlogits": "binary_crossentropy",
        "nll": "sparse_categorical_crossentropy",
        "nllloss": "sparse_categorical_crossentropy",
        "crossentropy": "sparse_categorical_crossentropy",
        "crossentropyloss": "sparse_categorical_crossentropy",
        "ce": "sparse_categorical_crossentropy",
    },
    "metric": {
        "accurate": "accuracy",
        "errorrate": "accuracy",
        "roc": "auc",
        "rocauc": "auc",
        "auroc": "auc",
        "rocaucscore": "auc",
        "r2": "r2_score",
        "rsquared": "r2_score",
        "f1": "f1_score",
        "fscore": "f1_score",
        "sensitivity": "recall",
        "tpr": "recall",
        "ppv": "precision",
        "crossentropy": "log_loss",
        "bce": "log_loss",
        "binarycrossentropy": "log_loss",
        "categoricalcrossentropy": "log_loss",
        "sparsecategoricalcrossentropy": "log_loss",
        "nll": "log_loss",
    },
    "activation": {
        "logistic": "sigmoid",
        "identity": "linear",
        "none": "linear",
        "exp": "exponential",
        "hardswish": "silu",
        "rectifier": "relu",
        "relu6": "relu",
    },
    "optimizer": {
        "momentum": "sgd",
        "nesterov": "sgd",
        "gradientdescent": "sgd",
        "adadelta": "adagrad",
        "adamax": "adam",
        "amsgrad": "adam",
        "nadamw": "nadam",
    },
    "initializer": {
        "xavier": "glorot_uniform",
        "xavieruniform": "glorot_uniform",
        "xaviernormal": "glorot_normal",
        "kaiming": "he_uniform",
        "kaiminguniform": "he_uniform",
        "kaimingnormal": "he_normal",
        "gaussian": "random_normal",
    },
    "regularizer": {"ridge": "l2", "weightdecay": "l2", "lasso": "l1", "elasticnet": "l1_l2"},
}


def plain(name):
    """Return a name in small letters, without "_", "-" and spaces.

    Examples
    --------
    >>> plain("GlorotUniform") == plain("glorot_uniform")
    True
    """
    return "".join(letter for letter in name.lower() if letter not in "_- ")


def canonical(name, names, kind):
    """Return which of `names` (of a family `kind`) is meant by `name`, or None.

    Examples
    --------
    >>> canonical("MSE", ["mean_squared_error"], "loss"), canonical("mase", ["mean_squared_error"], "loss")
    ('mean_squared_error', None)
    """
    if name in names:
        return name
    meant = ALIASES.get(kind, {}).get(plain(name))
    if meant in names:
        return meant
    return next((known for known in names if plain(known) == plain(name)), None)


def nearest(name, names, kind=None):
    """Return " Did you mean 'x'?" for the one of `names` that is nearest in meaning or in letters, or "".

    Examples
    --------
    >>> nearest("val_acc", ["val_auc", "val_accuracy"])
    " Did you mean 'val_accuracy'?"
    >>> nearest("xavier", ["glorot_uniform", "zeros"], "initializer")
    " Did you mean 'glorot_uniform'?"
    """
    found = _nearest(str(name), [str(known) for known in names], kind)
    return f" Did you mean {found!r}?" if found else ""


def _nearest(name, names, kind):
    words = ALIASES.get(kind, {}) | MEANINGS.get(kind, {})
    if words.get(plain(name)) in names:
        return words[plain(name)]
    begun = [known for known in names if len(name) > 2 and plain(known).startswith(plain(name))]
    if len(begun) == 1:
        return begun[0]
    if found := difflib.get_close_matches(name, names, n=1):
        return found[0]
    # In other letters, or near to another word for it.
    spelled = {plain(known): known for known in names}
    spelled |= {word: known for word, known in words.items() if known in names}
    close = difflib.get_close_matches(plain(name), spelled, n=1)
    return spelled[close[0]] if close else None
