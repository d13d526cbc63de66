"""Loops take whole AVX-512 registers where LLVM would take halves: machine code made for an Intel CPU, and read."""

import os
import platform
import subprocess
import sys

import pytest

LISTING = """
import numpy as np

from fastbp.activations import ACTIVATIONS
from fastbp.compiler.dispatchers import compile_result
from fastbp.compiler.signatures import signature

for name in ("tanh", "gelu"):
    forward = ACTIVATIONS.resolve(name).forward
    result = compile_result(forward, signature("f[:] f[:] i8 f8", f=np.dtype("float32")))
    print(result.library.get_asm_str())
"""
FEATURES = "+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe,+popcnt,+sse4.2,+avx512f,+avx512vl,+avx512bw,+avx512dq"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="machine code of x86")
def test_loops_for_intel_cpus_take_whole_vectors(tmp_path):
    intel = {"NUMBA_CPU_NAME": "rocketlake", "NUMBA_CPU_FEATURES": FEATURES, "FASTBP_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", LISTING]
    done = subprocess.run(command, env=os.environ | intel, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    products = [line for line in done.stdout.splitlines() if "vfmadd" in line and "ps" in line]
    wide = [line for line in products if "%zmm" in line]
    assert len(wide) > 10
    assert not [line for line in products if "%ymm" in line]
