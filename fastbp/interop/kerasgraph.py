"""A Keras model as nested chains: which layers follow each other, where branches part and where they meet.

It is read from `get_config()`, which Keras saves: for a functional model it names each layer's inputs.  Operations that
compute masks there (such as "not_equal") are no part of the chain, because kerasmasks.py follows masks from layer to
layer.  Keras is not imported.
"""

from itertools import count
from typing import Any, NamedTuple

MERGES = ("Add", "Concatenate")
MODELS = ("Sequential", "Functional")
SHARED = "shared weights have no counterpart in fastbp."


class Node(NamedTuple):
    """A Keras layer, its name in the whole model, and the branches that meet in it, each a list of nodes."""

    layer: Any
    name: str
    branches: tuple = ()


def kind_of(layer):
    """Return the name of a layer's class if it is one of Keras's own, else None."""
    return type(layer).__name__ if type(layer).__module__.split(".")[0] == "keras" else None


def chain_of(model):
    """Return the list of nodes of a Sequential or functional Keras model; models within it are unfolded.

    Every layer occurs once, and names differ: where models within the model have two layers of one name, the second
    gets a number.
    """
    if kind_of(model) not in MODELS:
        raise TypeError(f"from_keras takes a keras.Sequential or a functional keras.Model, not {model!r}.")
    chain = nodes_of(model)
    layers = [id(node.layer) for node in nodes_in_order(chain)]
    if twice := [node.name for node in nodes_in_order(chain) if layers.count(id(node.layer)) > 1]:
        raise ValueError(f"Keras layer {twice[0]!r} stands in the model more than once: {SHARED}")
    known = {node.name for node in nodes_in_order(chain)}
    return apart(chain, set(), known)


def nodes_of(model):
    """Return the nodes of a model; a model within it is replaced by its nodes."""
    if not model.built:
        raise ValueError(f"the Keras model {model.name!r} is not built: begin it with keras.Input, or call it once.")
    graph = kind_of(model) == "Functional"
    return unfolded(Graph(model).chain() if graph else [Node(layer, layer.name) for layer in model.layers])


def unfolded(nodes):
    """Return nodes, each model among them replaced by its own nodes, and inputs left out."""
    found = []
    for node in nodes:
        kind = kind_of(node.layer)
        if kind in MODELS:
            found += nodes_of(node.layer)
        elif kind != "InputLayer":
            found.append(node._replace(branches=tuple(unfolded(branch) for branch in node.branches)))
    return found


def apart(chain, taken, known):
    """Return a chain with names that differ from those `taken` and from each other; `known`: all names of the model."""
    renamed = []
    for node in chain:
        branches = tuple(apart(branch, taken, known) for branch in node.branches)
        name = node.name
        if name in taken:
            name = next(other for n in count(1) if (other := f"{node.name}_{n}") not in taken | known)
        taken.add(name)
        renamed.append(node._replace(name=name, branches=branches))
    return renamed


def nodes_in_order(chain):
    """Return the nodes of a chain in the order of `Network`: those of branches come before the one where they meet."""
    found = []
    for node in chain:
        for branch in node.branches:
            found += nodes_in_order(branch)
        found.append(node)
    return found


def layers_in_order(chain):
    """Return the layers of a chain in the order of `Network`."""
    return [node.layer for node in nodes_in_order(chain)]


class Graph:
    """The layers of a functional model by name, with the names of those that each one reads."""

    def __init__(self, model):
        try:
            config = model.get_config()
        except (NotImplementedError, TypeError, ValueError) as error:
            raise ValueError(f"the Keras model {model.name!r} does not describe itself: {error}") from None
        self.name, self.layers = model.name, {layer.name: layer for layer in model.layers}
        self.described = {described["name"]: described for described in config["layers"]}
        self.input = self._only(config["input_layers"], "input")
        self.output = self._only(config["output_layers"], "output")

    def chain(self):
        """Return the nodes from the input to the output; every layer stands once."""
        chain = self._between(self.input, self.output)
        found = [node.name for node in nodes_in_order(chain)]
        if twice := [name for name in found if found.count(name) > 1]:
            raise ValueError(
                f"the output of Keras layer {twice[0]!r} is read within a block of branches and behind it, which "
                "Residual and Concatenate cannot say."
            )
        return chain

    def _between(self, start, end):
        """Return the nodes after `start`, up to `end`; every way from the input to `end` goes through `start`."""
        if end == start:
            return []
        fork, sources = self._fork(end), self._sources(end)
        branches = tuple(self._between(fork, source) for source in sources) if len(sources) > 1 else ()
        return [*self._between(start, fork), Node(self.layers[end], end, branches)]

    def _fork(self, name):
        """Return the last layer through which all ways to this one lead: its only input, or where its branches part."""
        spines = [self._spine(source) for source in self._sources(name)]
        return next(layer for layer in spines[0] if all(layer in spine for spine in spines))

    def _spine(self, name):
        """Return the layers that all ways from the input to this one go through, itself first."""
        spine = [name]
        while self._sources(spine[-1]):
            spine.append(self._fork(spine[-1]))
        return spine

    def _sources(self, name):
        """Return the names of the layers whose outputs a layer reads."""
        if name not in self.layers:
            raise ValueError(
                f"the Keras model {self.name!r} computes {name!r} ({self.described[name]['class_name']}) by a function "
                "of keras.ops, or an operator such as +, which has no counterpart in fastbp: use a layer, as in "
                "keras.layers.Add()([x, y])."
            )
        check_masks_given(self.layers[name])
        return sources_of(self.described[name])

    def _only(self, places, what):
        """Return the name of the only input or output."""
        if places and isinstance(places[0], str):
            places = [places]
        if len(places) != 1:
            raise ValueError(f"the Keras model {self.name!r} has {len(places)} {what}s; fastbp's models have one.")
        return places[0][0]


def sources_of(described):
    """Return the names of the layers whose outputs a layer reads, from its description in `get_config()`."""
    nodes, name = described["inbound_nodes"], described["name"]
    if len(nodes) > 1:
        raise ValueError(f"Keras layer {name!r} is called {len(nodes)} times: {SHARED}")
    found = []
    for node in nodes:
        tensors_in(node["args"], found)
        # Keras's fit, evaluate and predict put their own `training` in the place of the call's.
        for argument, value in node["kwargs"].items():
            if argument not in ("mask", "training") and value is not None:
                raise ValueError(f"Keras layer {name!r} is called with {argument}=..., which has no counterpart.")
    if len(found) > 1 and described["class_name"] not in MERGES:
        raise ValueError(
            f"Keras layer {name!r} ({described['class_name']}) reads {len(found)} outputs; branches meet in Add or "
            "Concatenate."
        )
    return found


def check_masks_given(layer):
    """Raise ValueError where a layer was called with another mask than its input's own."""
    for node in getattr(layer, "_inbound_nodes", ()):
        given = node.arguments.kwargs.get("mask")
        if given is not None and given is not getattr(node.input_tensors[0], "_keras_mask", None):
            raise ValueError(f"Keras layer {layer.name!r} is called with a mask=... of its own: use Masking.")


def tensors_in(value, found):
    """Append to `found` the names of the layers of all tensors in a description's arguments."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        found.append(value["config"]["keras_history"][0])
    elif isinstance(value, dict):
        tensors_in(list(value.values()), found)
    elif isinstance(value, list | tuple):
        for part in value:
            tensors_in(part, found)
