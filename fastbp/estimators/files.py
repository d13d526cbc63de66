"""An estimator as tensors and a JSON-ready description, and back: for the model file, which runs no code."""

import numpy as np

from fastbp._registry import describe, rebuild
from fastbp.losses import Loss
from fastbp.sequential import Sequential

# Fitted attributes by how a file holds them; an estimator has those that its solver and task need.
PLAIN = (
    "n_iter_",
    "t_",
    "n_layers_",
    "n_outputs_",
    "n_features_in_",
    "out_activation_",
    "loss_",
    "best_loss_",
    "loss_curve_",
    "validation_scores_",
    "best_validation_score_",
    "_no_improvement_count",
    "_label_kind",
    "_sparse_labels",
)
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
    """Return the estimator (class `cls`) of which `state_of` returned these."""
    parameters = {name: unpacked(value, custom_objects) for name, value in description["parameters"].items()}
    mlp = cls(**parameters)
    fitted, names = description["fitted"], description["names"]
    if unknown := {*fitted, *names} - {*PLAIN, *NAMES}:
        raise ValueError(f"there is no fitted attribute {min(unknown)!r}.")
    vars(mlp).update(fitted)
    vars(mlp).update({name: np.array(values, dtype) for name, (dtype, values) in names.items()})
    model = {name.removeprefix("model/"): tensor for name, tensor in tensors.items()}
    mlp._hold(Sequential.from_state(model, description["model"], custom_objects))
    if "best_params" in tensors:
        mlp._best_params = tensors["best_params"].copy()
    return mlp


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
    """Return the parameter of which `packed` made `value`."""
    if isinstance(value, dict) and "pairs" in value:
        return dict(value["pairs"])
    if isinstance(value, dict) and "random_state" in value:
        random_state = np.random.RandomState()
        random_state.set_state(value["random_state"])
        return random_state
    if isinstance(value, dict) and "custom" in value:
        if value["custom"] not in custom_objects:
            raise ValueError(f"give load_model(path, custom_objects={{{value['custom']!r}: ...}}) the loss it needs.")
        return custom_objects[value["custom"]]
    return rebuild(value)


def packed_array(array):
    """Return an array of labels or names as its dtype and a list."""
    return [array.dtype.str, array.tolist()]
