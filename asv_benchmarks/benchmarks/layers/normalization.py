"""What normalisation adds to a step: the network of W3 with and without it."""

import fastbp

from ..shared.workloads import WORKLOADS

NETWORK = "W3 54-256-256-7, batch 256"
LAYERS = {
    "none": None,
    "BatchNormalization": fastbp.BatchNormalization,
    "LayerNormalization": fastbp.LayerNormalization,
    "RMSNormalization": fastbp.RMSNormalization,
}


class Epoch:
    """One epoch of Dense, normalisation, ReLU; the loss after ten epochs beside it."""

    params = (list(LAYERS), [1, 2])
    param_names = ("normalisation", "threads")
    timeout = 300

    def setup(self, normalisation, threads):
        fastbp.set_num_threads(threads)
        self.workload = WORKLOADS[NETWORK]
        self.x, self.y = self.workload.data()
        self.model = self._model(normalisation)
        self._fit(self.model, 1)

    def teardown(self, normalisation, threads):
        fastbp.set_num_threads(None)

    def _model(self, normalisation):
        layers = []
        for units in self.workload.sizes[1:-1]:
            if LAYERS[normalisation] is None:
                layers.append(fastbp.Dense(units, activation="relu"))
            else:
                layers += [fastbp.Dense(units), LAYERS[normalisation](), fastbp.Activation("relu")]
        layers.append(fastbp.Dense(self.workload.sizes[-1], activation="softmax"))
        model = fastbp.Sequential(layers, input_shape=self.workload.sizes[:1], seed=0)
        model.compile(fastbp.Adam(1e-3), "sparse_categorical_crossentropy")
        return model

    def _fit(self, model, epochs):
        return model.fit(self.x, self.y, epochs=epochs, batch_size=self.workload.batch, verbose=0)

    def time_epoch(self, normalisation, threads):
        self._fit(self.model, 1)

    def track_loss_after_ten_epochs(self, normalisation, threads):
        return self._fit(self._model(normalisation), 10).history["loss"][-1]
