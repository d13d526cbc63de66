"""Collection of garbage in a command's own process: less often, and not at its end."""

import atexit
import gc

# New objects between two collections; by default 700.
OBJECTS = 100_000


def collect_seldom() -> None:
    """Look for garbage seldom, and not at all when the process ends.

    What a command imports stays: 120,000 objects for ``fastbp predict``.  To look through them took 0.1 of the 1.15 s
    of CPU time for ten rows, and 0.2 more at the end, where the memory goes back to the system anyway.
    """
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)
