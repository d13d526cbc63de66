"""A Keras model as nested chains: which layers follow each other, where branches part and where they meet.

Read from `get_config()`, as Keras saves it: of a functional model each layer's inputs by name.  No Keras is imported.
"""

from typing import Any, NamedTuple

MERGES = ("Add", "Concatenate")


class Node(NamedTuple):
    """A Keras layer, and of one where branches meet these, each a list of nodes."""

    layer: Any
    branches: tuple = ()


def kind_of(layer):
    """Return the name of a layer's class if it is one of Keras's own, else None."""
    return type(layer).__name__ if type(layer).__module__.split(".")[0] == "keras" else None


def chain_of(model):
    """Return the list of nodes of a Sequential or functional Keras model; models within it are unfolded."""
    if kind_of(model) not in ("Sequential", "Functional"):
        raise TypeError(f"from_keras takes a keras.Sequential or a functional keras.Model, not {model!r}.")
    if not model.built:
        raise ValueError(f"the Keras model {model.name!r} is not built: begin it with keras.Input, or call it once.")
    graph = kind_of(model) == "Functional"
    nodes = Graph(model).chain() if graph else [Node(layer) for layer in model.layers]
    return [part for node in nodes for part in unfold(node)]


def unfold(node):
    """Return the nodes of a model that stands as a layer in another one; of any other layer the node itself."""
    if kind_of(node.layer) in ("Sequential", "Functional"):
        return chain_of(node.layer)
    if kind_of(node.layer) == "InputLayer":
        return []
    return [node]


def layers_in_order(chain):
    """Return the layers of a chain in the order of `Network`: those of branches come before the one where they meet."""
    layers = []
    for node in chain:
        for branch in node.branches:
            layers += layers_in_order(branch)
        layers.append(node.layer)
    return layers


class Graph:
    """The layers of a functional model by name, with the names of those that each one reads."""

    def __init__(self, model):
        config = model.get_config()
        self.name = model.name
        self.layers = {name: model.get_layer(name) for name in (described["name"] for described in config["layers"])}
        self.sources = {described["name"]: sources_of(described) for described in config["layers"]}
        self.input = self._only(config["input_layers"], "input")
        self.output = self._only(config["output_layers"], "output")

    def chain(self):
        """Return the nodes from the input to the output; every layer stands once."""
        chain = self._between(self.input, self.output)
        found = [layer.name for layer in layers_in_order(chain)]
        if twice := [name for name in found if found.count(name) > 1]:
            raise ValueError(
                f"the output of Keras layer {twice[0]!r} is read within a block of branches and behind it, which "
                "Residual and Concatenate cannot say."
            )
        return chain

    def _between(self, start, end):
        """Return the nodes behind `start` up to `end`, all ways between the two going through them."""
        if end == start:
            return []
        fork, sources = self._fork(end), self.sources[end]
        branches = tuple(self._branch(fork, source) for source in sources) if len(sources) > 1 else ()
        return [*self._between(start, fork), Node(self.layers[end], branches)]

    def _branch(self, fork, end):
        return [part for node in self._between(fork, end) for part in unfold(node)]

    def _fork(self, name):
        """Return the last layer through which all ways to this one go: its only input, or where its branches part."""
        spines = [self._spine(source) for source in self.sources[name]]
        return next(layer for layer in spines[0] if all(layer in spine for spine in spines))

    def _spine(self, name):
        """Return the layers through which all ways from the input to this one go, itself first."""
        spine = [name]
        while self.sources[spine[-1]]:
            spine.append(self._fork(spine[-1]))
        return spine

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
        raise ValueError(f"Keras layer {name!r} is called {len(nodes)} times: shared weights have no counterpart.")
    found = []
    for node in nodes:
        tensors_in(node["args"], found)
    if len(found) > 1 and described["class_name"] not in MERGES:
        raise ValueError(
            f"Keras layer {name!r} ({described['class_name']}) reads {len(found)} outputs; branches meet in Add or "
            "Concatenate."
        )
    return found


def tensors_in(value, found):
    """Append to `found` the names of the layers of all tensors in a description's arguments."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        found.append(value["config"]["keras_history"][0])
    elif isinstance(value, dict):
        tensors_in(list(value.values()), found)
    elif isinstance(value, list | tuple):
        for part in value:
            tensors_in(part, found)
