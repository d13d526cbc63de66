"""A network as a C file: compiled and called from a program that knows nothing of Python.

What one learns: `fastbp.to_c` writes one C99 file with the weights and a header; the function allocates nothing. Where
there is a C compiler, a small program reads numbers and prints what the network says of them.
"""

import shutil
import subprocess

import numpy as np

import fastbp

PROGRAM = """#include <stdio.h>
#include "sine.h"

int main(void)
{
    float x[SINE_INPUTS], out[SINE_OUTPUTS], work[SINE_WORK];
    while (scanf("%f", x) == 1) {
        sine_predict(x, out, work);
        printf("%.7f\\n", (double)out[0]);
    }
    return 0;
}
"""


def main():
    x = np.linspace(-3, 3, 400, dtype="float32")[:, None]
    model = fastbp.Sequential([fastbp.Dense(16, "tanh"), fastbp.Dense(16, "tanh"), fastbp.Dense(1)], seed=0)
    model.compile(fastbp.Adam(0.01), "mean_squared_error")
    history = model.fit(x, np.sin(x), epochs=60, verbose=0)
    print(f"a network of {model.count_params()} parameters learnt sin(x): loss {history.history['loss'][-1]:.1e}")

    fastbp.to_c(model, "sine.c")
    with open("sine.c") as file:
        source = file.read()
    print(f"sine.c has {len(source.splitlines())} lines; its function:")
    print(source[source.index("void sine_predict") :])
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        print("there is no C compiler here")
        return
    with open("main.c", "w") as file:
        file.write(PROGRAM)
    command = [compiler, "-std=c99", "-O2", "-Wall", "-Wextra", "main.c", "sine.c", "-o", "sine", "-lm"]
    subprocess.run(command, check=True)
    points = np.array([-2.0, -0.5, 0.0, 1.0, 2.5], "float32")
    told = subprocess.run(["./sine"], input=" ".join(map(str, points)), capture_output=True, text=True, check=True)
    in_c, in_python = np.array(told.stdout.split(), float), model.predict(points[:, None])[:, 0]
    for point, ours, theirs in zip(points, in_python, in_c, strict=True):
        print(f"x {point:5.2f}: predict {ours:9.6f}, C {theirs:9.6f}, sine {np.sin(point):9.6f}")
    assert np.allclose(in_c, in_python, atol=1e-6)


if __name__ == "__main__":
    main()
