"""What all ranks have to give alike: settings of the training, and the model."""

from typing import Any

from fastbp.models.sequential import Sequential
from fastbp.registry import describe
from fastbp.settings.naming import nearest

_SHOWN = 60  # characters of a value in a message


def check_arguments(model: Any, settings: dict, known: Any) -> None:
    """Raise TypeError for what is no model, and for settings that `fit` does not know."""
    if not isinstance(model, Sequential):
        raise TypeError(f"fastbp.distributed.fit trains a fastbp.Sequential, not {model!r}.")
    for name in settings:
        if name not in known:
            hint = nearest(name, known)
            raise TypeError(f"fastbp.distributed.fit got an unexpected keyword argument {name!r}.{hint}")


def check_same(ranks: Any, told: dict[str, Any]) -> None:
    """Raise ValueError, in all ranks, where what they tell differs: {name: value}."""
    for rank, others in enumerate(ranks.exchange(told)):
        for name, value in told.items():
            if others.get(name) != value:
                mine, theirs = _short(value), _short(others.get(name))
                raise ValueError(f"{name} is {mine} in rank {ranks.rank} and {theirs} in rank {rank}.")


def _short(value):
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def told_of(model: Sequential) -> dict[str, Any]:
    """Return {name: value} of a built and compiled model but for what all ranks take of rank 0's.

    That is its weights, its seed, and its optimizer's settings.
    """
    engine = model.engine
    return told_layers(model.layers) | {
        "the input shape": engine.network.input_shape,
        "the model's dtype": engine.dtype.name,
        "the loss": told_loss(engine.loss),
        "the optimizer": type(engine.optimizer).__name__,
        "the list of metrics": [name for name, _ in engine.metrics],
    }


def told_layers(layers: list) -> dict[str, Any]:
    """Return {name: value} of the settings of layers."""
    described = [describe(layer) for layer in layers]
    told: dict[str, Any] = {"the list of the layers": [layer["class"].partition("/")[2] for layer in described]}
    for number, layer in enumerate(described):
        kind = layer["class"].partition("/")[2]
        told |= {f"{name} of layer {number} ({kind})": value for name, value in layer["settings"].items()}
    return told


def told_loss(loss: Any) -> Any:
    """Return what tells a loss from others: its settings, or the name of a formula of the user's."""
    return describe(loss) if hasattr(loss, "registered") else loss.name
