"""The file of a kernel library: the machine code of one CPU level, and an index of what it was made from.

    magic, digest of what follows, length of the index, index (JSON), object files one behind the other

Nothing in it is a pickle.  The index has the versions that made the library, the digest of every source file, the
modules that each module imports, and for each kernel the place and the digest of its object file and the names of its
two symbols.  So a start reads and checks the index (0.1 MB) and the object files of those kernels that a network needs.
The same objects give the same bytes.
"""

import hashlib
import json
import struct
from typing import NamedTuple

MAGIC = b"fastbp kernels 1"
_LENGTH = struct.Struct("<Q")
_DIGEST_SIZE = hashlib.sha256().digest_size
_HEADER_SIZE = len(MAGIC) + _DIGEST_SIZE + _LENGTH.size
# Of the files' names, behind the level.
ENDING = ".kernels"


class LibraryError(Exception):
    """A file that is no library, or not a whole one; the message says why."""


class Entry(NamedTuple):
    """A kernel in the library: its object file's place, size and digest, what names its symbols, what it returns."""

    start: int
    size: int
    digest: str
    symbol: str
    returns: str


class Index(NamedTuple):
    """What a library tells of itself."""

    level: str
    versions: dict[str, str]  # of fastbp, and of what compiled it
    sources: dict[str, tuple[str, int]]  # module: digest and size of its file
    behind: dict[str, list[str]]  # module: itself and all modules that it imports
    kernels: dict[str, Entry]


def key_of(kernel, signature):
    """Return the name of a kernel and a signature in the index: what it takes tells what it returns."""
    return f"{kernel.module} {kernel.qualname} {str(signature).partition('->')[0]}"


def symbol_of(key):
    """Return the part of the symbols' names that tells one kernel's from the others'."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def function_symbol(symbol):
    """Return the symbol of what other kernels call."""
    return f"function_{symbol}"


def entry_symbol(symbol):
    """Return the symbol of what Python calls."""
    return f"entry_{symbol}"


def library_content(level, versions, sources, behind, objects):
    """Return the bytes of a library of {key: (object file, what the kernel returns)}."""
    kernels, start = {}, 0
    for key, (code, returns) in sorted(objects.items()):
        kernels[key] = Entry(start, len(code), hashlib.sha256(code).hexdigest(), symbol_of(key), returns)
        start += len(code)
    # Modules as numbers: their names would be three quarters of the index.
    names = sorted(sources)
    numbers = {name: number for number, name in enumerate(names)}
    told = {
        "level": level,
        "versions": versions,
        "sources": [[name, *sources[name]] for name in names],
        "behind": {name: sorted(numbers[one] for one in others) for name, others in behind.items()},
        "kernels": kernels,
    }
    index = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    head = MAGIC + hashlib.sha256(index).digest() + _LENGTH.pack(len(index))
    return b"".join([head, index, *(objects[key][0] for key in sorted(objects))])


class LibraryFile:
    """An open library.

    Parameters
    ----------
    path : path

    Raises
    ------
    LibraryError
        Where it is no whole library.
    OSError
        Where it cannot be read.
    """

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            self.index, self._start = _read_index(file)
            found = file.seek(0, 2) - self._start
        if found != sum(entry.size for entry in self.index.kernels.values()):
            raise LibraryError("it is cut short, or longer than it was")

    def damaged(self):
        """Return how many kernels have machine code that is not what was written."""
        return sum(not self._is_whole(entry) for entry in self.index.kernels.values())

    def _is_whole(self, entry):
        try:
            return bool(self.code(entry))
        except (LibraryError, OSError):
            return False

    def code(self, entry):
        """Return a kernel's object file; raise LibraryError where it is damaged."""
        with open(self.path, "rb") as file:
            file.seek(self._start + entry.start)
            code = file.read(entry.size)
        if hashlib.sha256(code).hexdigest() != entry.digest:
            raise LibraryError("its machine code is damaged")
        return code


def _read_index(file):
    """Return the index of an open library, and where the object files begin."""
    head = file.read(_HEADER_SIZE)
    if len(head) < _HEADER_SIZE or not head.startswith(MAGIC):
        raise LibraryError("it is no library of this version")
    digest, (length,) = head[len(MAGIC) : -_LENGTH.size], _LENGTH.unpack(head[-_LENGTH.size :])
    content = file.read(min(length, 2**30))
    if hashlib.sha256(content).digest() != digest:
        raise LibraryError("its index is damaged")
    return _index_of(content), _HEADER_SIZE + length


def _index_of(content):
    """Return the index that JSON tells; whoever wrote it, no content of it ends in another error than LibraryError."""
    try:
        told = json.loads(content)
        names = [name for name, _, _ in told["sources"]]
        sources = {name: (digest, size) for name, digest, size in told["sources"]}
        behind = {name: [names[number] for number in numbers] for name, numbers in told["behind"].items()}
        kernels = {key: Entry(int(start), int(size), *rest) for key, (start, size, *rest) in told["kernels"].items()}
        return Index(told["level"], dict(told["versions"]), sources, behind, kernels)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise LibraryError(f"its index is none of this version ({type(error).__name__}: {error})") from error
