"""Are there random numbers enough for a batch?"""

import math

# Random numbers that a layer has for a step: rng.py counts them in 32 bits.
MOST_DRAWS = 2**32


def check_draws(network, rows, purpose):
    """Raise ValueError where a batch has more entries than a layer has random numbers for a step."""
    for layer in network.layers if purpose.training else ():
        # A recurrent layer's masks are shorter than its inputs and outputs together.
        entries = sum(map(math.prod, (layer.output_shape, *(() if layer.spec.training_only else layer.input_shapes))))
        if layer.spec.draws and rows * entries > MOST_DRAWS:
            raise ValueError(
                f"{layer.name} draws {entries} random numbers for each row, and has {MOST_DRAWS} of them for a step: "
                f"too few for a batch of {rows} rows. At most {MOST_DRAWS // entries} rows will do: set batch_size."
            )
