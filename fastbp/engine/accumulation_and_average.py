"""What an update keeps for each parameter beside the rule's own slots: the gradient of a round, the moving average.

Slots of the optimizer's state, behind those of its rule: "gradient" (if gradients are accumulated), then "average".
The last three coefficients of a step are c[-3] its share of the mean (1 / steps of a round where the update is made, 0
where the gradient is only added up), c[-2] the momentum of the average (0 at the first update) and c[-1] whether the
average takes the parameters' place.
"""

import numpy as np

from fastbp.compiler.jit import kernel


@kernel
def add_gradient(grads, state, c, slot, start, stop):
    """Add grads[start:stop] to its slot, at state[slot:]; at the end of a round grads = their mean, and 0 remains."""
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
    """state[-P:] = m * state[-P:] + (1 - m) * params, of entries start to stop; where c says so, params = that."""
    momentum = params.dtype.type(c[c.size - 2])
    rest = params.dtype.type(1.0 - c[c.size - 2])
    slot = np.uint64(state.size - params.size)
    for i in range(np.uint64(start), np.uint64(stop)):
        state[slot + i] = momentum * state[slot + i] + rest * params[i]
    if c[c.size - 1] != 0.0:
        for i in range(np.uint64(start), np.uint64(stop)):
            params[i] = state[slot + i]
