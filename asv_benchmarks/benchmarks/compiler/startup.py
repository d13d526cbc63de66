"""Start-up, each in a fresh process: imports, first fits with an empty kernel cache and with a filled one."""

import importlib.util

from ..shared.processes import FASTBP_W3, IRIS, LENET_STEP, LSTM_STEP, FreshProcesses


class Fresh:
    """A folder with iris and a kernel cache; each run is one process, and one number."""

    timeout = 300
    number, warmup_time = 1, 0

    def setup(self, *case):
        self.processes = FreshProcesses().__enter__()

    def teardown(self, *case):
        self.processes.__exit__(None, None, None)


class Import(Fresh):
    """`import fastbp`, alone and with what a model needs, beside `import numba`."""

    params = ["fastbp", "numba", "fastbp.models.sequential"]
    param_names = ("module",)

    def setup(self, module):
        super().setup()
        self.time_import(module)

    def time_import(self, module):
        self.processes.seconds(f"import {module}")


class FirstFit(Fresh):
    """Iris, 64 hidden units, 50 epochs, and an epoch of W3 on two threads, from starting Python to the end."""

    params = ["iris", "W3"]
    param_names = ("network",)

    def setup(self, network):
        super().setup()
        self.code = {"iris": IRIS["fastbp"], "W3": FASTBP_W3}[network]
        self.processes.seconds(self.code)

    def time_cold(self, network):
        self.processes.seconds(self.code, cold=True)

    time_cold.repeat = 2

    def time_warm(self, network):
        self.processes.seconds(self.code)


class FirstStep(Fresh):
    """One step of LeNet-5 and of an LSTM, from starting Python to the end."""

    params = ["LeNet-5", "LSTM"]
    param_names = ("network",)

    def setup(self, network):
        super().setup()
        self.code = {"LeNet-5": LENET_STEP, "LSTM": LSTM_STEP}[network]
        self.processes.seconds(self.code)

    def time_step(self, network):
        self.processes.seconds(self.code)


class PeersFirstFit(Fresh):
    """The same start of the peers: import, and a fit on iris."""

    params = ["sklearn", "lightgbm"]
    param_names = ("peer",)

    def setup(self, peer):
        super().setup()  # asv tears down what it skips, too
        if importlib.util.find_spec(peer) is None:
            raise NotImplementedError(f"skipped: {peer} is not installed")
        self.time_fit(peer)

    def time_fit(self, peer):
        self.processes.seconds(IRIS[peer])
