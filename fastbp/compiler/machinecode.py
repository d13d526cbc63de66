"""Machine code of kernels for any CPU level, as object files: what `build` puts into a library.

A process that has called `compile_for` compiles for that level and no more for itself: Numba's code generator is
replaced by one that makes LLVM modules for the level's target, of this processor's family or of another one, and hands
nothing to the linker of this process.
"""

import struct

import llvmlite.binding as llvm
from numba.core import config
from numba.core.caching import NullCache
from numba.core.codegen import JITCPUCodegen
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys

from fastbp.compiler import dispatchers
from fastbp.compiler.library import C_FUNCTIONS
from fastbp.compiler.libraryfile import entry_symbol, function_symbol

_TABLES, _SYMBOL, _SECTION = {"symbols": 2}, struct.Struct("<IBBHQQ"), struct.Struct("<IIQQQQIIQQ")


class ForeignCodeError(RuntimeError):
    """A kernel calls a function that not every machine has, or that gives other bits on other machines."""


class _LevelLibrary(dispatchers.UnrunLibrary):
    """Modules that are linked and optimised, and not run."""

    def add_linking_library(self, library):
        # Kernels allocate nothing, and Numba's runtime was compiled for this machine.
        if library is not rtsys.library:
            super().add_linking_library(library)


class _LevelCodegen(JITCPUCodegen):
    """Numba's code generator for a CPU level, which makes code as Numba's own does for this machine."""

    _library_class = _LevelLibrary

    def __init__(self, level):
        self._level = level
        super().__init__("fastbp")

    def _init(self, llvm_module):
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        target = llvm.Target.from_triple(self._level.triple)
        # These models allow code and constants to lie far apart in memory, as the linker of `library` puts them.
        reloc = "static" if self._level.name.startswith("x86") else "default"
        options = {"opt": config.OPT, "reloc": reloc, "codemodel": "jitdefault", "jit": True}
        self._tm = target.create_target_machine(cpu=self._level.cpu, features=self._level.flags, **options)
        self._tm_features, self._engine = self._level.flags, None
        self._target_data = self._tm.target_data
        self._data_layout = str(self._target_data)
        self._loopvect, self._opt_level = False, 0

    def _create_empty_module(self, name):
        module = super()._create_empty_module(name)
        module.triple = self._level.triple
        return module

    def magic_tuple(self):
        return self._level.triple, self._level.cpu, self._level.flags

    def set_env(self, name, env):
        """Do nothing: there is no machine code here that could ask for it."""


def compile_for(level):
    """Have this process compile for a level, from here on."""
    context = cpu_target.target_context
    context.refresh()  # Numba's runtime is compiled for this machine, once
    context._internal_codegen = _LevelCodegen(level)
    dispatchers.KernelCache = lambda function: NullCache()


def object_of(kernel, signature, symbol):
    """Return the object file of a kernel for a signature, and NumPy's code of what it returns.

    Raises
    ------
    ForeignCodeError
        Where it calls what is not in C_FUNCTIONS.
    """
    result = dispatchers.compile_result(kernel, signature)
    names = {
        result.fndesc.llvm_func_name: function_symbol(symbol),
        result.fndesc.llvm_cpython_wrapper_name: entry_symbol(symbol),
    }
    with global_compiler_lock:
        result.library._ensure_finalized()
    code = _emit(result.library._final_module.clone(), names)
    foreign = undefined_symbols(code) - set(C_FUNCTIONS)
    if foreign:
        raise ForeignCodeError(f"{kernel.module}.{kernel.qualname} calls {', '.join(sorted(foreign))}")
    return code, dispatchers.returned(result.signature.return_type)


def _emit(module, names):
    """Return the object file of a module; of its functions only {name: new name} are seen from outside."""
    _rename(module, names)
    machine = cpu_target.target_context._internal_codegen._tm
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=0))
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, builder)
    return machine.emit_object(module)


def _rename(module, names):
    """Name what is seen from outside; hide all else, under names that tell nothing of this process."""
    number = 0
    for thing in (*module.functions, *module.global_variables):
        if thing.name in names:
            thing.name = names[thing.name]
        elif not thing.is_declaration:
            thing.linkage, thing.name = "private", f"x{number}"
            number += 1


def undefined_symbols(code):
    """Return the names of what an object file (ELF, 64 bits, little-endian) uses and does not have."""
    (table,) = struct.unpack_from("<Q", code, 40)
    (size, count) = struct.unpack_from("<HH", code, 58)
    sections = [_SECTION.unpack_from(code, table + size * number) for number in range(count)]
    found = set()
    for section in (one for one in sections if one[1] == _TABLES["symbols"]):
        names = sections[section[6]][4]
        for place in range(section[4], section[4] + section[5], _SYMBOL.size):
            name, _, _, where, _, _ = _SYMBOL.unpack_from(code, place)
            if where == 0 and name:
                found.add(code[names + name : code.index(b"\0", names + name)].decode())
    return found
