"""Prediction, warm, of fastbp and its peers: NumPy rows in, NumPy probabilities out."""

from ..shared.predictors import PREDICTORS
from ..shared.workloads import WORKLOADS

THREADS = 1


class Predict:
    """`predict` of one row, of 64, for which packed weights are kept from call to call, and of 10,000."""

    params = (list(PREDICTORS), ["W2 30-64-64-3, batch 64", "W5 784-512-512-10, batch 128"], [1, 64, 10_000])
    param_names = ("library", "network", "rows")

    def setup(self, library, network, rows):
        workload = WORKLOADS[network]
        self.x = workload.data()[0][:rows]
        try:
            self.predict = PREDICTORS[library](workload, THREADS).predict
        except ImportError as error:
            raise NotImplementedError(f"skipped: {error}") from None
        self.predict(self.x)

    def time_predict(self, library, network, rows):
        self.predict(self.x)
