"""Where masks act in a Keras model and in the fastbp model made of it: the same places, or an error.

Keras's masks go through layers that support them, fastbp's through layers that keep the time steps.  They act in
recurrent layers and in the loss of both libraries.  In Keras they act in some other layers, too: the `keras_mask` of
fastbp's layer says what a mask does there.

A mask is represented by the names of the layers that write it; the masks of several layers are joined by "or".  None
stands for no mask, and for one that masks nothing.
"""

from fastbp.interop.kerasgraph import kind_of
from fastbp.layers import LAYERS

RECURRENT = ("SimpleRNN", "LSTM", "GRU")


class KerasMasks:
    """The masks at the layers' inputs (by name) and at the output of a chain, and which layers ended one."""

    def __init__(self, chain):
        self.read, self.enders = {}, {}
        self.output = self._through(chain, None)

    def _through(self, chain, mask):
        """Return the mask of a chain's output, where `mask` is that of its input."""
        for node in chain:
            before = mask
            if node.branches:
                masks = [self._through(branch, mask) for branch in node.branches]
                before, mask = next((found for found in masks if found), None), met(node, masks)
            else:
                self.read[node.name] = mask
                mask = passed(node, mask)
            if before is not None and mask is None:
                self.enders[before] = node
        return mask


def passed(node, mask):
    """Return the mask of a layer's output."""
    layer, kind = node.layer, kind_of(node.layer)
    if kind == "Masking" or (kind == "Embedding" and layer.mask_zero):
        return frozenset([node.name])
    if kind == "GlobalAveragePooling1D" or (kind in (*RECURRENT, "Bidirectional") and not layer.return_sequences):
        return None
    return mask if layer.supports_masking else None


def met(node, masks):
    """Return the mask of the output where branches with these masks meet."""
    # Whatever has a mask has three axes: rows, time steps, columns.
    along_time = kind_of(node.layer) == "Concatenate" and node.layer.axis not in (-1, 2)
    if along_time and any(masks):
        return frozenset([f"{node.name} (joined along time)"])
    # If one of the branches has no mask, every step counts.
    return frozenset().union(*masks) if all(masks) else None


def check_masks(model, chain):
    """Raise ValueError where a mask acts in one of the two libraries alone, or where the two have different masks."""
    masks, network = KerasMasks(chain), model.engine.network
    places = {placed.name: number for number, placed in enumerate(network.layers)}
    for name, node in ((node.name, node) for node in flat(chain)):
        kind = kind_of(node.layer)
        if kind in RECURRENT:
            compare(masks, network, name, name, network.masking_layer(places[name]))
        elif kind == "Bidirectional":
            compare(masks, network, name, name, network.masking_layer(places[f"{name}/fork"]))
            check_unrolled(node, masks.read[name])
        elif kind in LAYERS and masks.read[name] and (kind != "BatchNormalization" or node.layer.trainable):
            check_mask(name, kind, masks.read[name])
    compare(masks, network, None, "the loss", network.output_masking)


def check_mask(name, kind, mask):
    """Raise ValueError where a mask does something in Keras's layer alone."""
    does = LAYERS[kind].keras_mask
    if does is not None:
        raise ValueError(f"the mask of {shown(mask)} reaches Keras layer {name!r} ({kind}), which {does}.")


def check_unrolled(node, mask):
    """Raise ValueError for an unrolled Bidirectional, whose masked steps Keras repeats where it should zero them."""
    if mask and node.layer.return_sequences and node.layer.forward_layer.unroll:
        raise ValueError(
            f"Keras layer {node.name!r} (Bidirectional) does not zero masked time steps with unroll=True, fastbp's "
            "does: leave out unroll."
        )


def flat(chain):
    """Yield the nodes of a chain and of its branches that have no branches themselves."""
    for node in chain:
        for branch in node.branches:
            yield from flat(branch)
        if not node.branches:
            yield node


def compare(masks, network, name, reader, number):
    """Raise ValueError where the mask that reaches layer `name` (None: the loss) is not that of layer `number`."""
    theirs = masks.read[name] if name else masks.output
    ours = None if number is None else frozenset([network.layers[number].name])
    if theirs == ours:
        return
    reader = repr(name) if name else reader
    advice = "leave out the masking, or write the model in fastbp."
    if theirs is None and ours in masks.enders:
        ender = masks.enders[ours]
        raise ValueError(
            f"Keras layer {ender.name!r} ({kind_of(ender.layer)}) ends the mask of {shown(ours)}, fastbp hands it on "
            f"to {reader}: {advice}"
        )
    raise ValueError(f"in Keras {shown(theirs)} masks time steps for {reader}, in fastbp {shown(ours)}: {advice}")


def shown(mask):
    """Return a mask as words."""
    return " and ".join(repr(name) for name in sorted(mask)) if mask else "no layer"
