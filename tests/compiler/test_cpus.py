"""Kernels for other CPUs than this one: run where this one can, else compiled and their machine code read.

AVX2, AVX without fused multiply-adds, and plain x86-64 run here, through Numba's NUMBA_CPU_NAME.  The tiles of AVX-512
run too, their vectors cut in two or four by LLVM; their real machine code, and that of NEON, is only looked at:
**neither has run on its CPU in these tests**.
"""

import hashlib
import json
import platform
import re
from itertools import product as pairs_of
from types import SimpleNamespace

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest
from llvmlite import ir
from numba.core.registry import cpu_target

import fastbp
from fastbp.compiler.vectors import Shape
from fastbp.kernels import columnsums, dots, quads, tile
from fastbp.layers.base import float_type_of
from tests.compiler import NO_GARBAGE
from tests.engine.test_threads import run_script
from tests.kernels.test_tile import STARTS, check
from tests.kernels.test_vecmath import NAMES, compile_loop, evaluate, points

# Name and features as Numba takes them; lanes of float32, and whether multiply-adds are fused.
X86 = {
    "avx2": ("haswell", "+avx,+avx2,+fma", 8, True),
    "avx": ("sandybridge", "+avx", 8, False),
    "sse2": ("x86-64", "+sse2", 4, False),
}
AVX512 = ("skylake-avx512", "+avx,+avx2,+fma,+avx512f,+avx512vl,+avx512dq,+avx512bw,+avx512cd")
NEON = "+neon,+fp-armv8"
DTYPES = ["float32", "float64"]
TILES_512 = [(16, 1), (4, 1), (1, 1), (8, 2), (4, 2), (1, 2)]

on_x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="runs machine code of x86-64")


@pytest.fixture
def compile_for(monkeypatch):
    """Return a function that has the processes of `run_script` compile for a CPU: its name and its features."""

    def set_cpu(name, features):
        monkeypatch.setenv("NUMBA_CPU_NAME", name)
        monkeypatch.setenv("NUMBA_CPU_FEATURES", features)

    return set_cpu


def compile_in_a_process(code):
    """Run code that compiles, and names this file `test_cpus`."""
    return run_script(f"{NO_GARBAGE}from tests.compiler import test_cpus\n{code}")


def shape_of(features, dtype):
    """Return the shape that the compiler's CPU would have with these features."""
    codegen = SimpleNamespace(magic_tuple=lambda: ("triple", "cpu", features))
    return Shape(SimpleNamespace(codegen=lambda: codegen), numba_float(dtype))


def numba_float(dtype):
    """Return Numba's type of a float dtype."""
    return numba.from_dtype(np.dtype(dtype))


def results():
    """Return what this process's CPU makes of vector functions and of a fit; checks the product on the way."""
    for dtype, start, transposed in pairs_of(DTYPES, STARTS, (False, True)):
        for m, n, k in [(1, 1, 5), (9, 25, 7), (23, 50, 64), (40, 97, 300), (33, 1, 64)]:
            check(dtype, m, n, k, start, transposed)
    digest = hashlib.sha256()
    for name, dtype in pairs_of(NAMES, DTYPES):
        digest.update(evaluate(compile_loop(name), points(name, dtype, n_random=20)).tobytes())
    shape = Shape(cpu_target.target_context, numba.float32)
    return {"lanes": shape.lanes, "fma": shape.fma, "vecmath": digest.hexdigest(), "outputs": fitted_outputs()}


def fitted_outputs():
    """Return the outputs after a small fit."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 21)), rng.integers(0, 3, 300)
    layers = [fastbp.Dense(50, activation="tanh"), fastbp.Dense(3, activation="softmax")]
    model = fastbp.Sequential(layers, seed=0)
    model.compile(fastbp.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=5, verbose=0)
    return model.predict(x).tolist()


@pytest.fixture(scope="module")
def here():
    return results()


@on_x86
@pytest.mark.parametrize("name", X86)
def test_other_x86_cpus(name, here, compile_for):
    """The same cache folder serves them all: its files are told apart by the CPU that they are for."""
    cpu, features, lanes, fma = X86[name]
    missing = [f[1:] for f in features.split(",") if not llvm.get_host_cpu_features().get(f[1:])]
    if missing:
        pytest.skip(f"this CPU lacks {', '.join(missing)}")
    compile_for(cpu, features)
    found = json.loads(compile_in_a_process("import json; print(json.dumps(test_cpus.results()))"))
    assert (found["lanes"], found["fma"]) == (lanes, fma)
    # Fused multiply-adds are part of the formulas, so other CPUs compute them too, slowly.
    assert found["vecmath"] == here["vecmath"]
    np.testing.assert_allclose(found["outputs"], here["outputs"], atol=1e-4)


FORCED_512 = """
from tests.kernels import test_tile

test_cpus.force_512()
for dtype in test_cpus.DTYPES:
    assert test_cpus.tile.Shape(None, test_cpus.numba_float(dtype)).columns == {"float32": 32, "float64": 16}[dtype]
    for k in (0, 1, 7, test_tile.DEPTH + 1):
        for m in (*range(1, 18), 25, 29):
            for n in (*range(1, 36), 48, 49, 63, 65):
                test_tile.check(dtype, m, n, k, test_tile.STARTS[(m + n) % 3], transposed=bool((m + n) // 3 % 2))
    for start in test_tile.STARTS:
        for transposed in (False, True):
            test_tile.test_tall_and_wide(dtype, start, transposed)
            test_tile.test_one_contiguous_column(dtype, start, transposed)
    test_tile.test_splits_have_the_same_bits(dtype, 37, 70, 300)
print("right")
"""


def force_512():
    """Make this process emit the vectors and tiles of AVX-512, whatever its CPU."""
    features = ",".join(filter(None, [cpu_target.target_context.codegen().magic_tuple()[2], "+avx512f"]))

    def forced(context, dtype):
        return shape_of(features, "float32" if dtype.bitwidth == 32 else "float64")

    tile.Shape = dots.Shape = quads.Shape = columnsums.Shape = forced


def test_tiles_of_avx512_are_right(tmp_path, monkeypatch):
    """Against NumPy, with a cache of their own: as far as its keys tell they are this CPU's."""
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("FASTBP_KERNELS", "jit")
    assert compile_in_a_process(FORCED_512) == "right"


def inner_loop(assembly, function):
    """Return the instructions of the loop of one block that has most multiply-adds in `function`."""
    return max(inner_loops(assembly, function), key=multiply_adds)


def multiply_adds(loop):
    """Return how many multiply-adds a loop has."""
    return sum("fmadd" in line or "fmla" in line for line in loop)


def inner_loops(assembly, function):
    """Return the instructions of each loop of one block in `function`."""
    body = re.search(rf"^{function}:\n(.*?)^\s*\.size", assembly, re.M | re.S).group(1)
    lines = [re.split(r"\s(?:#|//)\s", line)[0].strip() for line in body.splitlines()]
    loops, block = [], None
    for line in filter(None, lines):
        if label := re.fullmatch(r"(\.L\w+):", line):
            block = (label.group(1), [])
        elif block is not None and not line.startswith("."):
            block[1].append(line)
            if re.match(r"(j\w+|b\.\w+|cbn?z)\s", line) and line.endswith(block[0]):
                loops.append(block[1])
    return loops


def assert_in_registers(loop, multiply_add, count, stack):
    """Check that the loop does `count` multiply-adds a turn, and touches no memory of the stack."""
    assert sum(re.match(multiply_add, line) is not None for line in loop) == count, "\n".join(loop)
    assert not [line for line in loop if re.search(stack, line)], "\n".join(loop)


def assembly_of_product(dtype):
    """Return the assembly of the product that this process compiles; it is not run."""
    float_type = float_type_of(dtype)
    tile.product_address(float_type)
    (result,) = tile.product.dispatcher.overloads.values()
    return result.library.get_asm_str()


@on_x86
@pytest.mark.parametrize("dtype", DTYPES)
def test_machine_code_of_avx512(dtype, tmp_path, monkeypatch, compile_for):
    """In each tile's loop: whole 512-bit vectors, one multiply-add for each accumulator, nothing spilled."""
    compile_for(*AVX512)
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path))
    assembly = compile_in_a_process(f"print(test_cpus.assembly_of_product({dtype!r}))")
    name, suffix = {"float32": ("float", "ps"), "float64": ("double", "pd")}[dtype]
    for (rows, vectors), masked in pairs_of(TILES_512, ("", "m")):
        loop = inner_loop(assembly, f"fastbp_tiles_{name}_{rows}x{vectors}{masked}")
        assert_in_registers(loop, rf"vfmadd231{suffix}\s.*%zmm", rows * vectors, r"\(%rsp")
        assert not [line for line in loop if "%ymm" in line]
    # Four vectors of rows, of one quad eight; where rows are contiguous, four inner indices a turn.
    for quads_ in range(1, {"float32": 4, "float64": 2}[dtype]):
        for read, indices in (("_rows_of_quads", 4), ("_columns_of_rows", 1)):
            loop = inner_loop(assembly, f"fastbp_quads_{name}_{quads_}{read}")
            assert_in_registers(loop, rf"vfmadd\d+{suffix}\s.*%zmm", max(4 * quads_, 8) * indices, r"\(%rsp")


def test_shapes():
    """Lanes and heights by features: what the CPUs above get, and NEON."""
    by_features = {"+sse2": (4, False), "+avx": (8, False), "+avx2,+avx,+fma": (8, True), NEON: (4, True)}
    for features, (lanes, fma) in by_features.items():
        shape = shape_of(features, "float32")
        assert (shape.lanes, shape.fma, shape.columns) == (lanes, fma, 3 * lanes)
        assert shape_of(features, "float64").lanes == lanes // 2
        assert shape.heights == ((8, 4, 1), (4, 2, 1), (4, 2, 1))
    wide = shape_of(AVX512[1], "float32")
    assert (wide.lanes, wide.fma, wide.columns, wide.heights) == (16, True, 32, ((16, 4, 1), (8, 4, 1)))


def emit(triple, cpu, features, dtype, has_gate):
    """Return the assembly of all tiles, with a gate or without, and the dot products for another machine."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(triple)
    except RuntimeError as error:
        pytest.skip(f"llvmlite was built without this target: {error}")
    machine = target.create_target_machine(cpu=cpu, features=features, opt=3)
    module = ir.Module()
    shape = shape_of(features, dtype)
    pointer = (ir.FloatType() if dtype == "float32" else ir.DoubleType()).as_pointer()
    long = ir.IntType(64)
    extra_types = [pointer, long, pointer.pointee, long] if has_gate else []
    kept = [tile._tile_table(module, shape, pointer, extra_types), dots._function(module, shape, pointer)]
    for part in kept:
        part.linkage = ""
    text = str(module).replace('target triple = "unknown-unknown-unknown"', f'target triple = "{triple}"')
    parsed = llvm.parse_assembly(text.replace('target datalayout = ""', f'target datalayout = "{machine.target_data}"'))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return machine.emit_assembly(parsed), shape


@pytest.mark.parametrize("has_gate", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_machine_code_of_neon(dtype, has_gate):
    """Compiled for aarch64 and read, **not run**: whole vectors, one fmla for each accumulator, nothing spilled."""
    assembly, shape = emit("aarch64-unknown-linux-gnu", "generic", NEON, dtype, has_gate)
    name, arrangement = {"float32": ("float", "4s"), "float64": ("double", "2d")}[dtype]
    for vectors, heights in enumerate(shape.heights, start=1):
        for rows in heights:
            loop = inner_loop(assembly, f"fastbp_tiles_{name}_{rows}x{vectors}")
            assert_in_registers(loop, rf"fmla\s+v\d+\.{arrangement},", rows * vectors, r"\[sp")
    assert "bl\tfma" not in assembly


@pytest.mark.parametrize("has_gate", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cpu", [X86["avx2"][:2], AVX512], ids=["avx2", "avx512"])
def test_a_turn_of_a_tile_loads_its_operands_and_nothing_else(cpu, dtype, has_gate):
    """Compiled for x86-64 and read: one load for each vector of b and each entry of a, no store, nothing spilled."""
    assembly, shape = emit("x86_64-unknown-linux-gnu", *cpu, dtype, has_gate)
    name, register = {"float32": "float", "float64": "double"}[dtype], "%zmm" if cpu is AVX512 else "%ymm"
    for vectors, heights in enumerate(shape.heights, start=1):
        for rows in heights:
            loops = filter(multiply_adds, inner_loops(assembly, f"fastbp_tiles_{name}_{rows}x{vectors}"))
            fetching = []
            for loop in loops:
                fetching.append(any(line.startswith("prefetch") for line in loop))
                memory = [line for line in loop if "(%" in line and not line.startswith(("lea", "prefetch"))]
                stack = [line for line in memory if "(%rsp" in line]
                assert multiply_adds(loop) == rows * vectors
                assert len(memory) - len(stack) == rows + vectors
                # Where memory is fetched, two offsets of the rows have no register.
                assert len(stack) <= 2 * fetching[-1]
                assert not any(register in line for line in stack)
            # The tallest and widest tiles with a gate have a second loop, which fetches memory.
            is_largest = rows == heights[0] and vectors == shape.vectors
            assert sorted(fetching) == ([False, True] if has_gate and is_largest else [False])
