"""A piece of a network as an engine of its own, with the weights of the whole."""

from fastbp.engine.engine import Engine
from fastbp.engine.layer_ownership import copies, walk
from fastbp.settings.naming import nearest


def part_of(engine, specs, input_shape, *, trainable=True, names=None):
    """Return a new `Engine` of some of an engine's layers, in their order, with copies of their weights.

    Parameters
    ----------
    engine : Engine
    specs : list of layers
        Of `engine.layers`, or from within them.
    input_shape : tuple of int
    trainable : bool, default True
        False spares a backward pass the gradients of the parameters.
    names : dict, optional
        {id of a spec: name} of layers that are not the engine's.
    """
    own = copies(specs)
    names = names_of(engine) | (names or {})
    for spec, copied in zip(walk(specs), walk(own), strict=True):
        if id(spec) in names:
            copied.name = names[id(spec)]
        if not trainable and type(copied).gradient is not None:
            copied.trainable = False
    made = Engine(own, input_shape, engine.seed, engine.dtype)
    for name, view in made.views.items():
        view[...] = engine.views[name]
    return made


def names_of(engine):
    """Return {id of a spec: its layer's name}."""
    return {id(placed.spec): placed.name for placed in engine.network.layers}


def layer_names(engine):
    """Return the names of the layers (forks left out), in the order of a forward pass."""
    specs = {id(spec) for spec in walk(engine.layers)}
    return [placed.name for placed in engine.network.layers if id(placed.spec) in specs]


def part_to(engine, name):
    """Return the engine of what leads to the outputs of the layer `name`, or raise ValueError."""
    known = layer_names(engine)
    if name not in known:
        raise ValueError(f"there is no layer {name!r}.{nearest(name, known)} The layers are {', '.join(known)}.")
    (wanted,) = (placed.spec for placed in engine.network.layers if placed.name == name)
    return part_of(engine, _chain_to(engine.layers, wanted), engine.network.input_shape)


def _chain_to(specs, wanted):
    """Return the layers that a row passes on its way through `wanted`, or None where it is not among them."""
    for place, spec in enumerate(specs):
        if spec is wanted:
            return [*specs[: place + 1]]
        for branch in spec.branches or ():
            found = _chain_to(branch, wanted)
            if found is not None:
                return [*specs[:place], *found]
    return None
