"""What a layer may ask for when a network is built: sizes that do not overflow, and the same ones ever after."""

import math
from dataclasses import replace

import numpy as np

# Numbers of a layer's outputs, or of one of its parameters: 4 TB.
MOST_ENTRIES = 2**40


def layout_of(build):
    """Return what a `Build` says about places and sizes."""
    params = [(param.shape, param.lookup) for param in (*build.params, *build.buffers)]
    return replace(build, params=params, buffers=[], fields={}, arrays={})


def check_sizes(name, build):
    """Raise ValueError where a layer is so large that the plan's offsets, of 64 bits, could overflow."""
    arrays = [build.output_shape, *(param.shape for param in (*build.params, *build.buffers))]
    for size in (*map(math.prod, arrays), build.extra, build.shared, build.slice_work):
        if size > MOST_ENTRIES:
            raise ValueError(f"layer {name!r} would need {size} numbers in one place: too large, by far.")
    for field, value in build.fields.items():
        if not isinstance(value, int | float | np.number | np.bool_) or not abs(value) < 2**62:
            raise ValueError(f"layer {name!r} cannot have {value!r} for its {field}.")
