"""What a fresh process does from `import` to a fitted model, and what memory a large fit takes: code to run in one."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[2]

_LOAD_IRIS = """
import sys, numpy as np
iris = np.load(sys.argv[1])
x, y = iris["x"], iris["y"]
"""

FASTBP_IRIS = f"""{_LOAD_IRIS}
import fastbp
model = fastbp.Sequential([fastbp.Dense(64, activation="relu"), fastbp.Dense(3, activation="softmax")], seed=0)
model.compile(fastbp.Adam(1e-3), "sparse_categorical_crossentropy")
model.fit(x, y, epochs=50, verbose=0)
"""

SKLEARN_IRIS = f"""{_LOAD_IRIS}
import warnings
from sklearn.neural_network import MLPClassifier
warnings.simplefilter("ignore")
MLPClassifier((64,), batch_size=32, max_iter=50, n_iter_no_change=50, tol=0.0, random_state=0).fit(x, y)
"""

LIGHTGBM_IRIS = f"""{_LOAD_IRIS}
from lightgbm import LGBMClassifier
LGBMClassifier(verbose=-1, random_state=0).fit(x, y)
"""

LENET_STEP = """
import numpy as np, fastbp
layers = [
    fastbp.Conv2D(6, 5, padding="same", activation="relu"), fastbp.MaxPooling2D(),
    fastbp.Conv2D(16, 5, activation="relu"), fastbp.MaxPooling2D(), fastbp.Flatten(),
    fastbp.Dense(120, activation="relu"), fastbp.Dense(84, activation="relu"), fastbp.Dense(10, activation="softmax"),
]
model = fastbp.Sequential(layers, input_shape=(28, 28, 1), seed=0)
model.compile("adam", "sparse_categorical_crossentropy")
x = np.random.default_rng(0).random((128, 28, 28, 1), np.float32)
model.fit(x, np.arange(128) % 10, batch_size=128, verbose=0)
"""

LSTM_STEP = """
import numpy as np, fastbp
layers = [fastbp.Masking(), fastbp.LSTM(64), fastbp.Dense(9, activation="softmax")]
model = fastbp.Sequential(layers, input_shape=(29, 12), seed=0)
model.compile("adam", "sparse_categorical_crossentropy")
x = np.random.default_rng(0).random((32, 29, 12), np.float32)
model.fit(x, np.arange(32) % 9, batch_size=32, verbose=0)
"""

FASTBP_W3 = """
import fastbp
from benchmarks.shared.workloads import WORKLOADS
fastbp.set_num_threads(2)
workload = WORKLOADS["W3 54-256-256-7, batch 256"]
x, y = workload.data()
workload.model().fit(x, y, epochs=1, batch_size=workload.batch, verbose=0)
"""

MEMORY = """
import json
import numpy as np, fastbp
from benchmarks.shared.memory import peak_memory
rng = np.random.default_rng(0)
x = rng.standard_normal((1_000_000, 28), dtype=np.float32)
y = (x[:, 0] > 0).astype(np.float32)
before = peak_memory()
model = fastbp.Sequential([fastbp.Dense(64, activation="relu"), fastbp.Dense(1, activation="sigmoid")], seed=0)
model.compile(fastbp.Adam(1e-3), "binary_crossentropy")
model.fit(x, y, epochs=1, batch_size=1024, verbose=0)
print(json.dumps({"data": x.nbytes + y.nbytes, "before": before, "peak": peak_memory()}))
"""

# Iris, 64 hidden units, 50 epochs.
IRIS = {"fastbp": FASTBP_IRIS, "sklearn": SKLEARN_IRIS, "lightgbm": LIGHTGBM_IRIS}


class FreshProcesses:
    """A folder with iris and a kernel cache, and processes that use them; a context."""

    def __enter__(self):
        from sklearn.datasets import load_iris

        self._folder = tempfile.TemporaryDirectory()
        self.iris = Path(self._folder.name) / "iris.npz"
        x, y = load_iris(return_X_y=True)
        np.savez(self.iris, x=x, y=y)
        return self

    def __exit__(self, *exception):
        self._folder.cleanup()

    def seconds(self, code, cold=False):
        """Run `code` in a new process with the filled kernel cache, or an empty one; return the seconds it took."""
        if cold:
            with tempfile.TemporaryDirectory() as empty:
                return self._run(code, empty)[0]
        return self._run(code, self._folder.name)[0]

    def memory(self):
        """Return the bytes of the data of a large fit, and the largest resident set before and after it."""
        return json.loads(self._run(MEMORY, self._folder.name)[1])

    def _run(self, code, cache):
        environment = os.environ | {"FASTBP_CACHE_DIR": cache}
        # With it, fastbp's own modules would be compiled to bytecode in each process; a user's are kept.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", code, str(self.iris)]
        started = time.perf_counter()
        done = subprocess.run(command, check=True, env=environment, cwd=FOLDER, stdout=subprocess.PIPE, text=True)
        return time.perf_counter() - started, done.stdout
