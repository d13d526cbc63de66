"""The user's cache of compiled kernels: one file a kernel, named by all that its machine code depends on."""

import hashlib
import pickle

from numba.core import compiler

from fastbp.compiler import compiling
from fastbp.compiler.kerneldigest import compiler_digest, kernel_digest
from fastbp.compiler.kernelfolder import (
    UnsafeFolderError,
    cache_dir,
    kernel_content,
    make_folder,
    prune,
    read_kernel,
)
from fastbp.io.files import replace_file
from fastbp.settings.user_warnings import warn


def _cache_folder():
    """The cache folder of this compiler."""
    return cache_dir() / compiler_digest()


_warned = _pruned = False


def _warn_not_kept(reason, advice="Set FASTBP_CACHE_DIR to a writable folder."):
    """Warn, once a process, that kernels are not kept."""
    global _warned
    if _warned:
        return
    _warned = True
    warn(
        f"fastbp {reason}; they are compiled anew in every process. {advice}",
        RuntimeWarning,
    )


def _warn_unsafe(error):
    _warn_not_kept(
        f"ignores compiled kernels that could be another user's code ({error})",
        "Set FASTBP_CACHE_DIR to a folder of your own.",
    )


class KernelCache:
    """One file a compiled kernel, named by all that its machine code depends on (in the place of Numba's cache).

    There is no index file, so two processes that compile at once cannot mix their entries up.  Files appear by
    renaming, so a reader sees a whole file or none.  The folder may be read-only.
    """

    def __init__(self, function):
        self._function = function

    @property
    def cache_path(self):
        return str(cache_dir())

    def _path(self, signature, codegen):
        """Return where the machine code for a signature is kept, or None: not at all."""
        try:
            made_from = kernel_digest(self._function)
        except OSError:  # the package stands in an archive
            _warn_not_kept("cannot read its own files, and keeps no compiled kernels", "Install it into a folder.")
            return None
        if made_from is None:
            return None
        function = self._function
        key = repr((function.__module__, function.__qualname__, signature, codegen.magic_tuple(), made_from))
        name = f"{self._function.__name__}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.kernel"
        return _cache_folder() / name

    def load_overload(self, sig, target_context):
        """Return the machine code for a signature; if it has to be compiled, tell listeners so and return None."""
        target_context.refresh()
        found = self._kept(sig, target_context)
        if found is None:
            compiling.tell()
        return found

    def _kept(self, sig, target_context):
        try:
            path = self._path(sig, target_context.codegen())
            payload = None if path is None else read_kernel(path)
        except UnsafeFolderError as error:
            _warn_unsafe(error)
            return None
        except (OSError, RuntimeError):  # no file, or no home folder
            return None
        if payload is None:
            return None
        try:
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:  # a whole file that does not hold a kernel of this version: compile anew
            return None

    def save_overload(self, sig, data):
        # Dynamic globals are addresses in this process, of a large array or a C function: such code is not kept.
        if data.library.has_dynamic_globals:
            return
        try:
            path = self._path(sig, data.codegen)
            if path is None:
                return
            payload = pickle.dumps(data._reduce(), protocol=pickle.HIGHEST_PROTOCOL)
            make_folder(path.parent)
            path.unlink(missing_ok=True)  # replacing a file that cannot be used would keep its owner and mode
            replace_file(path, kernel_content(path, payload), mode=0o644)
            _prune_once(path.parents[1])
        except UnsafeFolderError as error:
            _warn_unsafe(error)
        except Exception as error:  # of the disk, or of what Numba cannot keep
            _warn_not_kept(f"cannot keep its compiled kernels ({error})")

    def enable(self):
        pass

    def disable(self):
        pass

    def flush(self):
        pass


def _prune_once(folder):
    """Prune the cache folder, once a process that compiled something: the others start without that."""
    global _pruned
    if not _pruned:
        _pruned = True
        prune(folder)
