"""fastbp and its peers, training the same network on the same rows from the same weights (scikit-learn: its own).

Every trainer has `train(epochs) -> loss`: full epochs of Adam over shuffled mini-batches of float32 rows, and
the mean loss of the last epoch.  Each peer is written as its own users would for speed: PyTorch with the fused
Adam and rows gathered by index in memory, JAX with a jitted `lax.scan` over an epoch's steps.
"""

import warnings

import fastbp

LEARNING_RATE = 1e-3
EPSILON = 1e-7


class FastbpTrainer:
    """fastbp's `fit`."""

    def __init__(self, workload, threads):
        fastbp.set_num_threads(threads)
        self.x, self.y = workload.data()
        self.model, self.batch = workload.model(), workload.batch

    def train(self, epochs):
        """Train; return the last epoch's mean loss."""
        return self.model.fit(self.x, self.y, epochs=epochs, batch_size=self.batch, verbose=0).history["loss"][-1]


class TorchTrainer:
    """PyTorch eager."""

    def __init__(self, workload, threads):
        import torch
        from torch import nn

        torch.set_num_threads(threads)
        self.torch = torch
        x, y = workload.data()
        self.x, self.y, self.batch = torch.from_numpy(x), torch.from_numpy(y), workload.batch
        model = self.network(workload)
        regression = workload.sizes[-1] == 1
        loss = nn.MSELoss() if regression else nn.CrossEntropyLoss()
        if regression:
            self.y = self.y[:, None]
        self.loss_of = lambda x, y: loss(model(x), y)
        self.optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, eps=EPSILON, fused=True)

    @staticmethod
    def network(workload):
        """Return the network, without its last activation."""
        return torch_network(workload)

    def train(self, epochs):
        """Train; return the last epoch's mean loss."""
        n = len(self.x)
        for _ in range(epochs):
            order, total = self.torch.randperm(n), 0.0
            for start in range(0, n, self.batch):
                rows = order[start : start + self.batch]
                loss = self.loss_of(self.x[rows], self.y[rows])
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                self.optimizer.step()
                total += loss.detach() * len(rows)
        return float(total) / n


def torch_network(workload):
    """Return the network as torch modules, without its last activation."""
    import torch
    from torch import nn

    activation = nn.Tanh if workload.activation == "tanh" else nn.ReLU
    weights = workload.model().get_weights()
    layers = []
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        linear = nn.Linear(*kernel.shape)
        linear.weight.data, linear.bias.data = torch.from_numpy(kernel.T.copy()), torch.from_numpy(bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


class TorchCompileTrainer(TorchTrainer):
    """PyTorch with network and loss compiled, forward and backward, for each batch size of its own.

    The fused Adam stays as it is: with `torch.compile(optimizer.step)` too, a step of W2 took 1390 us instead of
    1190, and 1100 with everything in one compiled function (eager: 840).
    """

    def __init__(self, workload, threads):
        super().__init__(workload, threads)
        self.loss_of = self.torch.compile(self.loss_of, dynamic=False)


class JaxTrainer:
    """JAX: one jitted call an epoch, a `lax.scan` over its steps; a last short batch is a step of its own."""

    def __init__(self, workload, threads):
        import jax
        import jax.numpy as jnp
        import optax

        x, y = workload.data()
        self.x, self.y = jnp.asarray(x), jnp.asarray(y)
        weights = [jnp.asarray(weight) for weight in workload.model().get_weights()]
        optimizer = optax.adam(LEARNING_RATE, eps=EPSILON)
        self.state, self.key = (weights, optimizer.init(weights)), jax.random.key(0)
        outputs = self.network(workload)
        regression, batch, n = workload.sizes[-1] == 1, workload.batch, workload.rows

        def loss_of(weights, x, y):
            out = outputs(weights, x)
            if regression:
                return jnp.mean((out[:, 0] - y) ** 2)
            return optax.softmax_cross_entropy_with_integer_labels(out, y).mean()

        def step(state, rows, x, y):
            weights, moments = state
            loss, grads = jax.value_and_grad(loss_of)(weights, x[rows], y[rows])
            updates, moments = optimizer.update(grads, moments)
            return (optax.apply_updates(weights, updates), moments), loss

        @jax.jit
        def epoch(state, key, x, y):
            order = jax.random.permutation(key, n)
            full = n - n % batch
            state, losses = jax.lax.scan(
                lambda state, rows: step(state, rows, x, y), state, order[:full].reshape(-1, batch)
            )
            total = losses.sum() * batch
            if full < n:
                state, last = step(state, order[full:], x, y)
                total += last * (n - full)
            return state, total / n

        self.epoch, self.step, self.split = epoch, jax.jit(step), jax.random.split

    @staticmethod
    def network(workload):
        """Return outputs(weights, x), without the last activation."""
        import jax
        import jax.numpy as jnp

        activation = jnp.tanh if workload.activation == "tanh" else jax.nn.relu

        def outputs(weights, x):
            for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
                x = activation(x @ kernel + bias)
            return x @ weights[-2] + weights[-1]

        return outputs

    def train(self, epochs):
        """Train; return the last epoch's mean loss."""
        for _ in range(epochs):
            self.key, key = self.split(self.key)
            self.state, loss = self.epoch(self.state, key, self.x, self.y)
        return float(loss)


class SklearnTrainer:
    """scikit-learn's MLP."""

    def __init__(self, workload, threads):
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        from threadpoolctl import threadpool_limits

        self._limits = threadpool_limits(threads)
        self.x, self.y = workload.data()
        self.regression = workload.sizes[-1] == 1
        settings = {
            "hidden_layer_sizes": workload.sizes[1:-1],
            "activation": workload.activation,
            "batch_size": workload.batch,
            "learning_rate_init": LEARNING_RATE,
            "epsilon": EPSILON,
            "alpha": 0.0,
            "tol": 0.0,
            "n_iter_no_change": 10**6,
            "random_state": 0,
            "warm_start": True,
        }
        self.model = (MLPRegressor if self.regression else MLPClassifier)(**settings)

    def train(self, epochs):
        """Train; return the last epoch's mean loss (scikit-learn halves the squared error)."""
        self.model.max_iter = epochs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model.fit(self.x, self.y)
        return self.model.loss_curve_[-1] * (2 if self.regression else 1)


TRAINERS = {
    "fastbp": FastbpTrainer,
    "jax": JaxTrainer,
    "torch": TorchTrainer,
    "torch-compile": TorchCompileTrainer,
    "sklearn": SklearnTrainer,
}
