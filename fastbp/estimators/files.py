"""An estimator as tensors and a JSON-ready description, and back: for the model file, which runs no code."""

import numpy as np

from fastbp.estimators.names import activation_of
from fastbp.io import filechecks
from fastbp.layers import Dense, Dropout
from fastbp.losses import Loss
from fastbp.models.sequential import Sequential
from fastbp.registry import describe, rebuild

# Numbers in the state of a Mersenne twister.
WORDS = 624
# Of an array of labels: text of a fixed width takes more than it takes in the file.
MOST_BYTES = 2**28


def _figures(values, name):
    """A list of figures, or None."""
    if values is not None:
        filechecks.listed(values, name, filechecks.number_or_none)


# Fitted attributes by how a file holds them, with the check of a value; an estimator has those that its solver and task
# need.
PLAIN = {
    **dict.fromkeys(("n_iter_", "t_", "n_layers_", "n_outputs_", "n_features_in_"), filechecks.whole),
    "out_activation_": filechecks.text,
    **dict.fromkeys(("loss_", "best_loss_", "best_validation_score_"), filechecks.number_or_none),
    **dict.fromkeys(("loss_curve_", "validation_scores_"), _figures),
    "_no_improvement_count": filechecks.whole,
    "_label_kind": lambda kind, name: filechecks.text(kind, name, {"binary", "multiclass", "multilabel-indicator"}),
    "_sparse_labels": filechecks.flag,
}
NAMES = ("classes_", "feature_names_in_")


def state_of(mlp):
    """Return the tensors and the description of a fitted estimator; its callbacks are left out."""
    tensors, model = mlp.model_.get_state()
    tensors = {f"model/{name}": tensor for name, tensor in tensors.items()}
    if hasattr(mlp, "_best_params"):
        tensors["best_params"] = mlp._best_params
    parameters = mlp.get_params(deep=False) | {"callbacks": None}
    description = {
        "kind": "estimator",
        "class": type(mlp).__name__,
        "parameters": {name: packed(value) for name, value in parameters.items()},
        "fitted": {name: getattr(mlp, name) for name in PLAIN if hasattr(mlp, name)},
        "names": {name: packed_array(getattr(mlp, name)) for name in NAMES if hasattr(mlp, name)},
        "model": model,
    }
    return tensors, description


def estimator_from(cls, tensors, description, custom_objects):
    """Return the estimator (class `cls`) that `state_of` described."""
    mlp = with_parameters(cls, description["parameters"], custom_objects)
    fitted, names = description["fitted"], description["names"]
    if unknown := {*fitted, *names} - {*PLAIN, *NAMES}:
        raise ValueError(f"there is no fitted attribute {min(unknown)!r}.")
    for name, value in fitted.items():
        PLAIN[name](value, name)
    vars(mlp).update(fitted)
    vars(mlp).update({name: unpacked_array(value, name) for name, value in names.items()})
    model = {name.removeprefix("model/"): tensor for name, tensor in tensors.items()}
    mlp._hold(_checked(mlp, Sequential.from_state(model, description["model"], custom_objects)))
    if "best_params" in tensors:
        best = filechecks.shaped(tensors["best_params"], "best_params", mlp.model_.params.shape, mlp.model_.dtype)
        mlp._best_params = best.copy()
    return mlp


def _checked(mlp, model):
    """Return the network of a file, or raise ValueError where it is none that its estimator can have."""
    network = model.engine.network
    for layer in network.layers:
        if type(layer.spec) not in (Dense, Dropout) or (type(layer.spec) is Dense and not layer.spec.use_bias):
            raise ValueError(f"{type(mlp).__name__} has no layer {layer.spec!r}.")
    filechecks.agree("the features", network.input_shape, (mlp.n_features_in_,))
    filechecks.agree("the outputs", network.output_shape, (mlp.n_outputs_,))
    filechecks.agree("the layers", sum(type(layer.spec) is Dense for layer in network.layers) + 1, mlp.n_layers_)
    last = network.output_activation
    filechecks.agree("the last activation", last and last.name, activation_of(mlp.out_activation_).name)
    if hasattr(mlp, "feature_names_in_"):
        filechecks.agree("the features' names", mlp.feature_names_in_.shape, network.input_shape)
    mlp._check_outputs()
    return model


def with_parameters(cls, parameters, custom_objects):
    """Return a new estimator with the parameters that a file describes, checked as `fit` checks them."""
    parameters = {name: unpacked(value, custom_objects) for name, value in parameters.items()}
    # Lists come back as tuples.
    lists = {name: list(value) if isinstance(value, tuple) else value for name, value in parameters.items()}
    cls(**lists)._validate_params()
    return cls(**parameters)


def packed(value):
    """Return a parameter as JSON can hold it."""
    if isinstance(value, dict):
        return {"pairs": [[describe(key), describe(factor)] for key, factor in value.items()]}
    if isinstance(value, np.random.RandomState):
        state = value.get_state(legacy=False)
        return {"random_state": state | {"state": state["state"] | {"key": state["state"]["key"].tolist()}}}
    if isinstance(value, Loss) and not hasattr(value, "registered"):
        return {"custom": value.name}
    return describe(value)


def unpacked(value, custom_objects):
    """Return the parameter that `packed` turned into `value`."""
    if isinstance(value, dict) and "pairs" in value:
        return dict(value["pairs"])
    if isinstance(value, dict) and "random_state" in value:
        random_state = np.random.RandomState()
        random_state.set_state(_checked_state(value["random_state"]))
        return random_state
    if isinstance(value, dict) and "custom" in value:
        if value["custom"] not in custom_objects:
            raise ValueError(f"give load_model(path, custom_objects={{{value['custom']!r}: ...}}) the loss it needs.")
        return custom_objects[value["custom"]]
    return rebuild(value)


def _checked_state(state):
    """Return the state of a `RandomState`, or raise ValueError: NumPy trusts it, and reads from behind its end."""
    filechecks.text(state["bit_generator"], "bit_generator", {"MT19937"})
    filechecks.whole(state["has_gauss"], "has_gauss", 0, 1)
    filechecks.real(state["gauss"], "gauss")
    filechecks.whole(state["state"]["pos"], "pos", 0, WORDS)
    filechecks.listed(
        state["state"]["key"], "key", lambda word, name: filechecks.whole(word, name, 0, 2**32 - 1), WORDS
    )
    return state


def unpacked_array(value, name):
    """Return the array (n,) of labels or names that `packed_array` turned into `value`."""
    kind, values = filechecks.listed(value, name, lambda part, name: None, 2)
    dtype = np.dtype(filechecks.text(kind, f"the dtype of {name}"))
    filechecks.listed(values, name, _label)
    if dtype.kind not in "biufOSU" or dtype.itemsize * len(values) > MOST_BYTES:
        raise ValueError(f"{name} has the dtype {dtype}.")
    return np.array(values, dtype)


def _label(value, name):
    if type(value) not in (str, int, float, bool):
        raise ValueError(f"{name} is no text, number or boolean.")


def packed_array(array):
    """Return an array of labels or names as its dtype and a list."""
    return [array.dtype.str, array.tolist()]
