"""The first steps of every export: find the function that writes a layer, and the layer's weights."""

from fastbp.activations import ACTIVATIONS
from fastbp.layers import LAYERS


def emitter_of(spec, attribute, emitters, refused):
    """Return the emitter of a layer; raise ValueError where there is none.

    Parameters
    ----------
    spec : Layer
    attribute : str
        Of the class: its own emitter, or a text that says why there is none.
    emitters : dict of callable
        The emitters by the names of layers.
    refused : dict of str
        By the names of layers: why there is no emitter.
    """
    kind, own = spec.registered[1], getattr(type(spec), attribute)
    if isinstance(own, str):
        raise ValueError(own)
    if own is not None:
        return own
    if not LAYERS[kind].__module__.startswith("fastbp."):
        raise ValueError(f"it is a layer of your own, whose kernels are Python: give its class `{attribute}`.")
    if kind not in emitters:
        raise ValueError(refused.get(kind, "it is not known there."))
    return emitters[kind]


def check_known(activation, known, own):
    """Raise ValueError where an activation is none of the `known` names; `own` names the attribute that would help."""
    name = activation.registered[1]
    if ACTIVATIONS[name].__module__ != "fastbp.activations":
        why = f"is a function of your own: give its class `{own}`, or"
    elif name not in known:
        why = "is not known there:"
    else:
        return
    raise ValueError(f"the activation {name!r} {why} use one of {', '.join(known)}.")


def weights_of(placed, views):
    """Return {name: array} of a placed layer's parameters and buffers."""
    params = (*placed.build.params, *placed.build.buffers)
    return {param.name: views[f"{placed.name}/{param.name}"] for param in params}
