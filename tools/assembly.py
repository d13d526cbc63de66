"""Print the machine code of kernels, as assembly or as LLVM's instructions, freshly compiled for this CPU.

    python tools/assembly.py dense_forward                         what a small dense classifier asks for
    python tools/assembly.py groupnorm_forward --layers "GroupNormalization(2)" --shape 8,8,4
    python tools/assembly.py Tanh.forward --layers "Dense(32, 'tanh')" --llvm --dtype float64

The model is `layers` and a dense one, trained for a step.  Without a name the kernels that it asks for are listed.
"""

import argparse
import os
import sys
import tempfile


def main(arguments):
    """Print what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernel", nargs="?", help="its name, or how it ends")
    parser.add_argument("--layers", default="Dense(32, 'relu')", help="as in a Sequential, comma between them")
    parser.add_argument("--shape", default="16", help="of a row: 16 or 8,8,4")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--llvm", action="store_true", help="LLVM's instructions, optimised")
    options = parser.parse_args(arguments)
    # An empty cache and no library: what is loaded from there has no text.
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FASTBP_CACHE_DIR"], os.environ["FASTBP_KERNELS"] = folder, "jit"
        asked = kernels_of(options)
        for kernel, signature in asked:
            if options.kernel is None:
                print(kernel.module, kernel.qualname, signature)
            elif kernel.qualname.endswith(options.kernel):
                from fastbp.compiler.dispatchers import compile_result

                library = compile_result(kernel, signature).library
                print(library.get_llvm_str() if options.llvm else library.get_asm_str())
                return 0
    return 0 if options.kernel is None else f"{options.kernel} is none of the kernels: leave the name out to see them."


def kernels_of(options):
    """Return the (kernel, signature) pairs that a model of these layers asks for in a step and a prediction."""
    import numpy as np

    import fastbp
    from fastbp.compiler.jit import asked

    layers = eval(f"[{options.layers}]", dict(vars(fastbp), **{name: getattr(fastbp, name) for name in fastbp.__all__}))
    shape = tuple(int(size) for size in options.shape.split(","))
    model = fastbp.Sequential([*layers, fastbp.Flatten(), fastbp.Dense(3)], input_shape=shape, dtype=options.dtype)
    model.compile("adam", "mean_squared_error")
    x = np.ones((32, *shape), options.dtype)
    model.train_on_batch(x, np.ones((32, 3)))
    model.predict(x)
    return list(asked)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
