"""Accumulated gradients, and the moving average of the parameters: two more slots of an optimizer's state.

The slots stand after those of the optimizer's rule: "gradient" (if gradients are accumulated), then "average".  A
*round* is the number of batches that make one update together.  The last three coefficients c of a step belong to the
slots:

- c[-3]: 1 / batches of a round in the step that makes the update, 0 in the steps that only add their gradient;
- c[-2]: the momentum of the average, 0 at the first update;
- c[-1]: whether the parameters are set to the average.
"""

import numpy as np

from fastbp.compiler.jit import kernel


@kernel
def add_gradient(grads, state, c, slot, start, stop):
    """Add grads[start:stop] to the slot at state[slot:].  At the end of a round: grads = the mean, and the slot = 0."""
    share, zero = grads.dtype.type(c[c.size - 3]), grads.dtype.type(0.0)
    if share == zero:
        for i in range(np.uint64(start), np.uint64(stop)):
            state[np.uint64(slot) + i] += grads[i]
        return
    for i in range(np.uint64(start), np.uint64(stop)):
        grads[i] = (grads[i] + state[np.uint64(slot) + i]) * share
        state[np.uint64(slot) + i] = zero


@kernel
def move_average(params, state, c, start, stop):
    """state[-P:] = m * state[-P:] + (1 - m) * params, for entries start to stop; if c[-1], params = the average."""
    momentum = params.dtype.type(c[c.size - 2])
    rest = params.dtype.type(1.0 - c[c.size - 2])
    slot = np.uint64(state.size - params.size)
    for i in range(np.uint64(start), np.uint64(stop)):
        state[slot + i] = momentum * state[slot + i] + rest * params[i]
    if c[c.size - 1] != 0.0:
        for i in range(np.uint64(start), np.uint64(stop)):
            params[i] = state[slot + i]
