"""``fastbp warmup``: load or compile what the other commands use, ahead of time."""

import time

HELP = "compile the kernels that train, predict and evaluate use, ahead of time, as far as they are in no library"


def add_arguments(parser):
    """No arguments."""


def run(arguments):
    """Train and apply the networks of ``fastbp train`` on a few made-up rows."""
    from fastbp.compiler.kernelfolder import told_folder
    from fastbp.tabular.warmup import warmup

    start = time.perf_counter()
    print("training on made-up tables ...", flush=True)
    warmup("fast")
    print(f"ready after {time.perf_counter() - start:.1f} s; the folder of what was compiled: {told_folder()}")
