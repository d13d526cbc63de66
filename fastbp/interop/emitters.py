"""Which function writes a layer down for another program: the table's, or the layer's own."""

from fastbp.layers import LAYERS


def emitter_of(spec, own, emitters, refused):
    """Return the emitter of a layer; raise ValueError where there is none.

    Parameters
    ----------
    spec : Layer
    own : callable, str or None
        What the layer's class says itself: a function, or why there is none.
    emitters : dict of callable
        By the names of layers.
    refused : dict of str
        Why there is none, by the names of layers.
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
