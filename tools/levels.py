"""Train small networks by the kernel library of each CPU level, and compare the results with this machine's own.

    python -m fastbp.compiler.build
    python tools/levels.py
    python tools/levels.py --aarch64 "qemu-aarch64 -L root root/usr/bin/python3.11" --site site

Each level runs in a process of its own, by `FASTBP_KERNELS`; AArch64 in an emulator (no speed, but the machine code
itself), in a Python of that processor with NumPy and llvmlite, and without Numba.  On Debian, with architecture arm64
added, such a one is made of packages that are unpacked, not installed:

    apt-get download {python3.11-minimal,libpython3.11-minimal,libpython3.11-stdlib,libc6,libexpat1,zlib1g}:arm64
    apt-get download {libssl3,libffi8,libgcc-s1,libstdc++6,libbz2-1.0,liblzma5,libuuid1,libcrypt1}:arm64
    for package in *.deb; do dpkg -x "$package" root; done
    pip download --no-deps --only-binary=:all: --platform manylinux_2_28_aarch64 --python-version 3.11 numpy llvmlite
    for wheel in *.whl; do python -m zipfile -e "$wheel" site; done
"""

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOWHERE = {"HOME": "/dev/null/nobody", "FASTBP_CACHE_DIR": "/dev/null/nobody"}


def main():
    """Print a table of differences, and end with an error where a level is not this machine's to the last bits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aarch64", help="the words that run an AArch64 Python in an emulator")
    parser.add_argument("--site", help="the folder of its packages")
    parser.add_argument("--values", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.values:
        print(json.dumps({"fits": fitted(), "activations": activated(), "library": library_level()}))
        return 0
    from fastbp.compiler.levels import runnable_levels

    found = {level: values(level, [sys.executable]) for level in runnable_levels()}
    if given.aarch64:
        found["aarch64"] = values("aarch64", shlex.split(given.aarch64), given.site)
    return compare(found)


def values(level, python, site=None):
    """Return what a process of this Python computes with the level's library."""
    paths = os.pathsep.join(filter(None, [str(ROOT), site and str(Path(site).absolute())]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FASTBP", "NUMBA_"))}
    environment |= NOWHERE | {"PYTHONPATH": paths, "FASTBP_KERNELS": level}
    command = [*python, "-W", "error::RuntimeWarning", __file__, "--values"]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def compare(found):
    """Print how far each level is from the first one; return 0 where that is within rounding."""
    (first, reference), *others = found.items()
    worst = 0.0
    print(f"{'largest difference of losses and outputs to':48s}{first}")
    for level, told in others:
        if told["library"] != level or reference["library"] != first:
            sys.exit(f"{level} has no library: first run python -m fastbp.compiler.build")
        for name, numbers in told["fits"].items():
            apart = max(abs(a - b) for a, b in zip(numbers, reference["fits"][name], strict=True))
            worst = max(worst, apart / (1e-5 if "float32" in name else 1e-13))
            print(f"{level:12s}{name:36s}{apart:.1e}")
        same = sum(reference["activations"][name] == bits for name, bits in told["activations"].items())
        print(f"{level:12s}activations of the same bits: {same} of {len(told['activations'])}")
        worst = max(worst, float(2 * (same < len(told["activations"]))))
    return int(worst > 1.0)


def networks():
    """Return {name: (layers, shape of a row)}."""
    import fastbp as f

    out = f.Dense(3, activation="softmax")
    conv = [f.Conv2D(6, 5, padding="same", activation="relu"), f.MaxPooling2D(), f.Conv2D(16, 3, activation="tanh")]
    return {
        "dense": ([f.Dense(37, activation="gelu"), f.Dropout(0.2), f.BatchNormalization(), out], (21,)),
        "wide": (
            [f.Dense(130, activation="tanh"), f.LayerNormalization(), f.Dense(65, activation="swish"), out],
            (54,),
        ),
        "LeNet": ([*conv, f.AveragePooling2D(), f.Flatten(), f.Dense(30, activation="relu"), out], (12, 12, 1)),
        "depthwise": (
            [f.Conv2D(5, 3), f.GroupNormalization(5), f.DepthwiseConv2D(3), f.GlobalAveragePooling2D(), out],
            (9, 9, 2),
        ),
        "Conv1D": ([f.Conv1D(9, 3, padding="causal", activation="selu"), f.GlobalMaxPooling1D(), out], (14, 3)),
        "LSTM": ([f.LSTM(19), out], (7, 5)),
        "GRU, both ways": ([f.Bidirectional(f.GRU(11)), out], (7, 5)),
        "SimpleRNN": ([f.SimpleRNN(11), out], (7, 5)),
    }


def fitted():
    """Return {network and float type: losses and outputs of a fit}."""
    import numpy as np

    import fastbp

    found = {}
    for dtype in ("float32", "float64"):
        for name, (layers, shape) in networks().items():
            rng = np.random.default_rng(1)
            x, y = rng.normal(size=(300, *shape)), rng.integers(0, 3, 300)
            model = fastbp.Sequential(layers, seed=0, dtype=dtype)
            model.compile("adam", "sparse_categorical_crossentropy")
            losses = model.fit(x, y, epochs=2, batch_size=64, verbose=0).history["loss"]
            found[f"{name}, {dtype}"] = [*losses, *model.predict(x[:20]).ravel().tolist()]
    return found


def activated():
    """Return {activation and float type: digest of its outputs}."""
    import numpy as np

    from fastbp.activations import ACTIVATIONS
    from fastbp.engine.output_activation import apply_activation

    found = {}
    for dtype in ("float32", "float64"):
        x = (np.random.default_rng(0).normal(size=(200, 7)) * 5).astype(dtype)
        for name, activation in ACTIVATIONS.items():
            if activation.forward is not None:
                outputs = apply_activation(activation(), x)
                found[f"{name}, {dtype}"] = hashlib.sha256(outputs.tobytes()).hexdigest()
    return found


def library_level():
    """Return the level of the library from which all kernels came, or None where some were compiled."""
    from fastbp.compiler import library

    file = library.library().file
    return file and file.index.level if "numba" not in sys.modules else None


if __name__ == "__main__":
    sys.exit(main())
