"""The loops of a product's tallest tiles, for CPUs with AVX2 and with AVX-512, whatever CPU this is.

A turn of a loop makes rows x vectors fused multiply-adds and loads each vector of b and each entry of a once.  It does
nothing else with memory: no sum is spilled.
"""

import re
from types import SimpleNamespace

import numba
import pytest
from llvmlite import ir

from fastbp.compiler.vectors import Shape
from fastbp.kernels.tile import _emit_tiles
from tests.compiler.test_fpmode import optimised

LONG = ir.IntType(64)
AVX2 = "+avx,+avx2,+fma,+bmi,+bmi2"
AVX512 = f"{AVX2},+avx512f,+avx512vl,+avx512dq,+avx512bw"
FLOATS = {"float32": (ir.FloatType(), numba.float32, "ps"), "float64": (ir.DoubleType(), numba.float64, "pd")}


def tile(features, dtype, gated):
    """Return the shape, and the assembly of the function of the tallest and widest tiles."""
    kind, numba_kind, _ = FLOATS[dtype]
    codegen = SimpleNamespace(magic_tuple=lambda: ("", "", features))
    shape = Shape(SimpleNamespace(codegen=lambda: codegen), numba_kind)
    pointer = kind.as_pointer()
    extras = [pointer, LONG, kind, LONG] if gated else []
    takes = [LONG, pointer, LONG, pointer, LONG, pointer, LONG, LONG, pointer, LONG, LONG, LONG, *extras, LONG]
    module = ir.Module()
    module.triple = "x86_64-unknown-linux-gnu"
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), takes), "tile")
    function.attributes.add("optsize")
    _emit_tiles(function, shape, shape.heights[-1][0], shape.vectors, False)
    return shape, optimised(module, features)


def loops_of(code):
    """Return the innermost loops that multiply: lists of instructions."""
    blocks = re.split(r"^(\.LBB\w+):.*$", code, flags=re.M)
    found = []
    for label, body in zip(blocks[1::2], blocks[2::2], strict=True):
        instructions = [
            line.strip() for line in body.splitlines() if line.startswith("\t") and not line.strip().startswith(".")
        ]
        jumps = [i for i, line in enumerate(instructions) if re.match(rf"j\w+\s+{re.escape(label)}$", line)]
        if jumps and any("vfmadd" in line for line in instructions):
            found.append(instructions[: jumps[-1] + 1])
    return found


@pytest.mark.parametrize("gated", [False, True], ids=["plain", "gated"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("features", [AVX2, AVX512], ids=["avx2", "avx512"])
def test_a_turn_loads_each_operand_once_and_spills_nothing(features, dtype, gated):
    shape, code = tile(features, dtype, gated)
    rows, vectors, suffix = shape.heights[-1][0], shape.vectors, FLOATS[dtype][2]
    register = "zmm" if features == AVX512 else "ymm"
    loops = loops_of(code)
    # A gated product has one loop more, which fetches memory.
    assert len(loops) == 1 + gated
    for loop in loops:
        sums = [line for line in loop if re.match(rf"vfn?madd\w+{suffix}\s", line)]
        assert len(sums) == rows * vectors
        assert all(register in line for line in sums)
        fetches = any(line.startswith("prefetch") for line in loop)
        touching = [line for line in loop if "(" in line and not line.startswith(("lea", "prefetch"))]
        kept = [line for line in touching if "%rsp" in line]
        assert len(touching) - len(kept) == rows + vectors
        # Where memory is fetched, two offsets of 8 rows have no register.
        assert len(kept) <= 2 * fetches
        assert not any(register in line for line in kept)
