"""The peak memory of a process: of its own, not of the one that started it."""

import re
import resource
import sys
from pathlib import Path


def peak_memory():
    """Return the largest resident set of this process so far, in bytes.

    `resource` knows it, too, but on Linux no less than what the parent had when it started this process: a benchmark
    that asv forks has the whole suite.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        # KiB, on macOS bytes.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
