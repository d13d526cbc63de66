"""Start-up, each in a fresh process: import, first call with an empty cache, first call with a filled one."""

import os
import subprocess
import sys
import tempfile

FIT = """
import numpy as np, fastbp
from sklearn.datasets import load_iris
x, y = load_iris(return_X_y=True)
layers = [fastbp.Dense(64, activation="relu"), fastbp.Dense(3, activation="softmax")]
model = fastbp.Sequential(layers, seed=0)
model.compile(fastbp.Adam(1e-3), "sparse_categorical_crossentropy")
model.fit(x, y, epochs=50, verbose=0)
"""


def run(code, cache):
    """Run `code` in a new process whose kernels are cached in the folder `cache`."""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "FASTBP_CACHE_DIR": cache})


class Import:
    """`import fastbp` beside `import numba`, each in a process of its own."""

    params = ["import fastbp", "import numba", "import fastbp.sequential"]
    param_names = ("code",)

    def time_import(self, code):
        run(code, os.devnull)


class FirstFit:
    """Iris, 64 hidden units, 50 epochs, from starting Python to the end."""

    timeout = 300
    number, warmup_time = 1, 0

    def setup(self):
        self.filled = tempfile.TemporaryDirectory()
        run(FIT, self.filled.name)

    def teardown(self):
        self.filled.cleanup()

    def time_cold(self):
        with tempfile.TemporaryDirectory() as empty:
            run(FIT, empty)

    time_cold.repeat = 2

    def time_warm(self):
        run(FIT, self.filled.name)
