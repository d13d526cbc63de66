"""The first steps of every export: find the function that writes a layer, and the layer's weights."""

from fastbp.activations import ACTIVATIONS
from fastbp.layers import LAYERS


def emitter_of(spec, own, emitters, refused):
    """Return the emitter of a layer; raise ValueError where there is none.

    Parameters
    ----------
    spec : Layer
    own : callable, str or None
        The class's own emitter, or a text that says why there is none.
    emitters : dict of callable
        The emitters by the names of layers.
    refused : dict of str
        By the names of layers: why there is no emitter.
    """
    kind = spec.registered[1]
    if isinstance(own, str):
        raise ValueError(own)
    if own is not None:
        return own
    if not LAYERS[kind].__module__.startswith("fastbp."):
        raise ValueError("it is a layer of your own, whose kernels are Python.")
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
