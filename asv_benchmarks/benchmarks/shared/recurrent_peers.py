"""Recurrent networks in fastbp and its peers, from the same weights; each `train(epochs)` returns the last loss.

Each peer is written for speed.  PyTorch runs its LSTM over the padded steps and takes each row's output at its last
step: packed sequences took it twice the time.  JAX keeps the state of a row whose sequence has ended, in a scan over
time inside a scan over the epoch's steps.
"""

import fastbp

from .peers import EPSILON, LEARNING_RATE, JaxTrainer, TorchTrainer


class FastbpRecurrent:
    """fastbp's `fit`."""

    def __init__(self, workload, threads):
        fastbp.set_num_threads(threads)
        self.x, self.y, _ = workload.data()
        self.model, self.batch = workload.model(), workload.batch

    def train(self, epochs):
        """Train; return the last epoch's mean loss."""
        return self.model.fit(self.x, self.y, epochs=epochs, batch_size=self.batch, verbose=0).history["loss"][-1]


class TorchRecurrent(TorchTrainer):
    """PyTorch eager."""

    def __init__(self, workload, threads):
        import torch
        from torch import nn

        torch.set_num_threads(threads)
        self.torch = torch
        x, y, lengths = (torch.from_numpy(array) for array in workload.data())
        self.batch, self.y = workload.batch, torch.arange(len(x))  # `train` gives x and y of the same rows
        self.x = torch.arange(len(x))
        layer, head = torch_layers(workload)
        loss = nn.MSELoss() if workload.kind == "GRU" else nn.CrossEntropyLoss()

        def loss_of(rows, _):
            out, _ = layer(x[rows])
            out = out[:, -1] if workload.kind == "GRU" else out[torch.arange(len(rows)), lengths[rows] - 1]
            out = head(out)
            return loss(out[:, 0] if workload.kind == "GRU" else out, y[rows])

        self.loss_of = loss_of
        parameters = [*layer.parameters(), *head.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, eps=EPSILON, fused=True)


def torch_layers(workload):
    """Return the recurrent and the dense layer as torch modules with fastbp's initial weights."""
    import numpy as np
    import torch
    from torch import nn

    kernel, recurrent, bias, head_kernel, head_bias = workload.model().get_weights()
    layer = getattr(nn, workload.kind)(workload.channels, workload.units, batch_first=True)
    head = nn.Linear(*head_kernel.shape)
    # PyTorch's gates: LSTM's in the same order, GRU's r before z; two biases.
    u = workload.units
    order = np.arange(4 * u) if workload.kind == "LSTM" else np.r_[u : 2 * u, :u, 2 * u : 3 * u]
    biases = bias if bias.ndim == 2 else np.stack([bias, 0 * bias])
    arrays = kernel[:, order].T, recurrent[:, order].T, *biases[:, order], head_kernel.T, head_bias
    for parameter, array in zip([*layer.parameters(), *head.parameters()], arrays, strict=True):
        parameter.data = torch.from_numpy(array.copy())
    return layer, head


class JaxRecurrent(JaxTrainer):
    """JAX: one jitted call an epoch."""

    def __init__(self, workload, threads):
        import jax
        import jax.numpy as jnp
        import optax

        self.x, self.y, lengths = (jnp.asarray(array) for array in workload.data())
        weights = [jnp.asarray(weight) for weight in workload.model().get_weights()]
        optimizer = optax.adam(LEARNING_RATE, eps=EPSILON)
        self.state, self.key = (weights, optimizer.init(weights)), jax.random.key(0)
        t, batch, n, is_gru = workload.time_steps, workload.batch, workload.rows, workload.kind == "GRU"

        def loss_of(weights, x, y, lengths):
            kernel, recurrent, bias, head_kernel, head_bias = weights
            z = (x @ kernel + (bias[0] if is_gru else bias)).swapaxes(0, 1)
            h = jnp.zeros((len(x), workload.units))

            def gru(h, z):
                hz, hr, hh = jnp.split(h @ recurrent + bias[1], 3, 1)
                xz, xr, xh = jnp.split(z, 3, 1)
                update = jax.nn.sigmoid(xz + hz)
                return update * h + (1 - update) * jnp.tanh(xh + jax.nn.sigmoid(xr + hr) * hh), None

            def lstm(states, now):
                (h, c), (z, counts) = states, now
                i, f, g, o = jnp.split(z + h @ recurrent, 4, 1)
                cell = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                return (jnp.where(counts, jax.nn.sigmoid(o) * jnp.tanh(cell), h), jnp.where(counts, cell, c)), None

            if is_gru:
                h, _ = jax.lax.scan(gru, h, z)
                return jnp.mean((h @ head_kernel + head_bias - y[:, None]) ** 2)
            counts = (jnp.arange(t)[:, None] < lengths)[:, :, None]
            (h, _), _ = jax.lax.scan(lstm, (h, h), (z, counts))
            return optax.softmax_cross_entropy_with_integer_labels(h @ head_kernel + head_bias, y).mean()

        def step(state, rows, x, y):
            weights, moments = state
            loss, grads = jax.value_and_grad(loss_of)(weights, x[rows], y[rows], lengths[rows])
            updates, moments = optimizer.update(grads, moments)
            return (optax.apply_updates(weights, updates), moments), loss

        @jax.jit
        def epoch(state, key, x, y):
            order = jax.random.permutation(key, n)  # whole batches: rows are a multiple of them
            state, losses = jax.lax.scan(lambda state, rows: step(state, rows, x, y), state, order.reshape(-1, batch))
            return state, losses.mean()

        self.epoch, self.split = epoch, jax.random.split


TRAINERS = {"fastbp": FastbpRecurrent, "jax": JaxRecurrent, "torch": TorchRecurrent}
