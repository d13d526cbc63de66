"""CPU levels that kernels are compiled for ahead of time, and the best one of this machine's CPU.

A level is a set of instructions that many CPUs have: one file of machine code serves them all.  The features are
spelled out: with empty ones Numba gave x86-64-v4 the code of v3.
"""

import os
import platform
import sys
from functools import cache
from typing import NamedTuple

# The environment variable that names a level, or "jit": all kernels are compiled.
SETTING = "FASTBP_KERNELS"
_V2 = ("cx16", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3")
_V3 = (*_V2, "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")
_V4 = (*_V3, "avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl")
_X86, _ARM = ("x86_64", "amd64"), ("aarch64", "arm64")


class LevelError(ValueError):
    """FASTBP_KERNELS names no level that this machine can run."""


class Level(NamedTuple):
    """A level: its name, LLVM's words for it, the names of its machines, and features of CPUs beyond it."""

    name: str
    triple: str
    cpu: str
    features: tuple[str, ...]
    machines: tuple[str, ...]
    beyond: str | None = None

    @property
    def flags(self):
        """The features as LLVM's one string: "+avx,+avx2"."""
        return ",".join(f"+{feature}" for feature in self.features)


# The machine code keeps to the calls of Linux.
LEVELS = {
    level.name: level
    for level in (
        Level("x86-64-v4", "x86_64-unknown-linux-gnu", "x86-64-v4", _V4, _X86),
        Level("x86-64-v3", "x86_64-unknown-linux-gnu", "x86-64-v3", _V3, _X86, beyond="avx512f"),
        Level("aarch64", "aarch64-unknown-linux-gnu", "generic", ("fp-armv8", "neon"), _ARM),
    )
}


@cache
def machine_levels():
    """Return the names of the levels whose machine code this machine runs as its own: one, or none.

    A level with narrower vectors than the CPU's is none of them.  Kernels hand each other matrices as panels, which are
    as wide as the tiles: some of them compiled for this CPU and others from such a library would mix two layouts.  So
    the level that FASTBP_KERNELS names stands for the CPU: what is compiled beside its library is compiled for it.
    """
    named = named_level()
    if named is not None:
        return (named.name,)
    return tuple(name for name in runnable_levels() if not _cpu_features().get(LEVELS[name].beyond))


def setting():
    """Return what FASTBP_KERNELS says, "" where it says nothing."""
    return os.environ.get(SETTING, "").strip().lower()


def named_level():
    """Return the level that FASTBP_KERNELS names, or None.

    Raises
    ------
    LevelError
        Where it names no level that this machine can run, and is not "jit" either.
    """
    name = setting()
    if name in ("", "jit"):
        return None
    if name not in runnable_levels():
        levels = " or ".join(("jit", *runnable_levels()))
        raise LevelError(f"{SETTING} is {name!r}: this machine can run {levels}; unset, the best one is taken.")
    return LEVELS[name]


def runnable_levels():
    """Return the names of the levels whose instructions this machine has, the best one first."""
    if sys.platform != "linux":
        return ()
    has, machine = _cpu_features(), platform.machine().lower()
    return tuple(
        level.name
        for level in LEVELS.values()
        if machine in level.machines
        # Every AArch64 of Linux has NEON; LLVM does not list it on each.
        and (machine in _ARM or all(has.get(feature) for feature in level.features))
    )


def _cpu_features():
    from llvmlite import binding

    return binding.get_host_cpu_features()
