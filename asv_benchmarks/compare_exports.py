"""Exported models beside `predict`: microseconds a row, alone and in 1,000 rows, and sizes of the files.

    python asv_benchmarks/compare_exports.py

C files are compiled by ``gcc -O3 -march=native`` and run in one thread, as is onnxruntime; medians of
interleaved rounds.
"""

import argparse
import ctypes
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

import fastbp

ROUNDS = 9


def networks():
    """Return {name: model}."""
    lenet = [
        fastbp.Conv2D(6, 5, padding="same", activation="relu"), fastbp.MaxPooling2D(),
        fastbp.Conv2D(16, 5, activation="relu"), fastbp.MaxPooling2D(), fastbp.Flatten(),
        fastbp.Dense(84, "relu"), fastbp.Dense(10, "softmax"),
    ]  # fmt: skip
    dense = [fastbp.Dense(64, "relu"), fastbp.Dense(64, "relu"), fastbp.Dense(3, "softmax")]
    return {
        "dense 30-64-64-3": fastbp.Sequential(dense, input_shape=(30,), seed=0),
        "LeNet, 28 x 28": fastbp.Sequential(lenet, input_shape=(28, 28, 1), seed=0),
        "LSTM(32), 29 x 12": fastbp.Sequential([fastbp.LSTM(32), fastbp.Dense(9)], input_shape=(29, 12), seed=0),
    }


def table():
    """Return a fitted classifier of 20 columns of numbers, preset fast."""
    x = np.random.default_rng(0).normal(size=(3000, 20))
    return fastbp.TabularClassifier("fast", random_state=0).fit(x, x[:, 0] * x[:, 1] > 0)


def c_function(model, folder):
    """Return a function of rows that calls the compiled C file for each, in C, and the size of its object file."""
    fastbp.to_c(model, folder / "net.c")
    header = (folder / "net.h").read_text()
    real = "double" if "const double *x" in header else "float"
    (folder / "loop.c").write_text(f"""#include "net.h"
void loop(const {real} *x, {real} *out, int n);
void loop(const {real} *x, {real} *out, int n)
{{
    static float work[NET_WORK];
    for (int i = 0; i < n; i++) net_predict(x + i * NET_INPUTS, out + i * NET_OUTPUTS, work);
}}
""")
    flags = ["-std=c99", "-O3", "-march=native", "-fPIC"]
    subprocess.run(["gcc", *flags, "-c", "net.c"], cwd=folder, check=True)
    subprocess.run(["gcc", *flags, "-shared", "loop.c", "net.o", "-o", "net.so", "-lm"], cwd=folder, check=True)
    loop = ctypes.CDLL(str(folder / "net.so")).loop
    outputs = int(next(line.split()[2] for line in header.splitlines() if "NET_OUTPUTS" in line))
    dtype = np.float64 if real == "double" else np.float32

    def run(x):
        x, out = np.ascontiguousarray(x, dtype), np.empty((len(x), outputs), dtype)
        loop(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(out.ctypes.data), len(x))
        return out

    return run, (folder / "net.o").stat().st_size


def onnx_function(model):
    """Return a function of rows that runs the ONNX graph, and the size of the graph."""
    graph = fastbp.to_onnx(model).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options)
    dtype = np.float64 if "double" in session.get_inputs()[0].type else np.float32
    name = session.get_outputs()[-1].name
    return lambda x: session.run([name], {"x": x.astype(dtype, copy=False)})[0], len(graph)


def microseconds(run, x, repeats):
    """Return microseconds of a call."""
    start = time.perf_counter()
    for _ in range(repeats):
        run(x)
    return (time.perf_counter() - start) / repeats * 1e6


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    fastbp.set_num_threads(1)
    rng = np.random.default_rng(0)
    print("model                 rows   predict       C    onnx   us a row")
    for name, model in {**networks(), "table, 20 columns": table()}.items():
        shape = model.engine.network.input_shape if isinstance(model, fastbp.Sequential) else (20,)
        predict = model.predict if isinstance(model, fastbp.Sequential) else model.predict_proba
        with tempfile.TemporaryDirectory() as folder:
            c_run, c_size = c_function(model, Path(folder))
            onnx_run, onnx_size = onnx_function(model)
            for n, repeats in ((1, 300), (1000, 1)):
                x = rng.normal(size=(n, *shape)).astype("float32")
                runs = [predict, c_run, onnx_run]
                assert all(np.allclose(run(x), predict(x), atol=1e-4) for run in runs)
                rounds = [[microseconds(run, x, repeats) / n for run in runs] for _ in range(ROUNDS)]
                print(f"{name:20} {n:5}  ", "".join(f"{us:8.2f}" for us in np.median(rounds, axis=0)))
        print(f"    object file {c_size / 1000:.0f} kB, ONNX {onnx_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
