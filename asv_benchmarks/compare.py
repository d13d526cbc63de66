"""Compare fastbp with its peers, here and now.

    python asv_benchmarks/compare.py [--sections steps,late,lenet,recurrent,predict,startup,library,scaling]
        [--only W1,W3] [--threads 1,2] [--peers jax,jax-steps,torch,torch-compile,sklearn,onnxruntime,lightgbm]
        [--repeats 5] [--peer-python jax=PATH] [--json FILE]

Sections:

- steps: microseconds a training step, each peer's multiple of it, the share of the multiply-add peak that fastbp
  reaches (measured beside it, by a loop that stays in registers), and every trainer's loss after as many epochs.
- late: microseconds a training step after 300 epochs, when numbers are small, beside the first ones.
- lenet: milliseconds a training step of LeNet-5, the same way; jax-steps is JAX with a call a step, no scan.
- recurrent: microseconds a training step of an LSTM and a GRU, each peer's multiple of it, and the losses.
- predict: microseconds of `predict`, one row and 10,000.
- startup: seconds of fresh processes that have a read-only installation and no cache; imports; memory of a large fit.
- library: steps, predictions and memory by kernels of the library, beside the same ones compiled for this very CPU.
- scaling: what a step costs as width, depth, batch and rows double, and whether there is a cliff.

Whoever is compared runs in a process of its own that may use as many cores as it has threads.  They take turns, and
medians over the turns are printed; a ratio is the median of the ratios within a turn, and "x best" the least of them:
that to the strongest peer.  Peers that are not installed are left out, and it says so.

A peer may have a Python of its own, with what fastbp needs beside the peer: one that this environment cannot have, or
not in this version (JAX 0.12 needs Python 3.12).  Variables of the environment reach everybody: XLA_FLAGS too.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

SECTIONS = ["steps", "late", "lenet", "recurrent", "predict", "startup", "library", "scaling"]
PEERS = ["jax", "jax-steps", "torch", "torch-compile", "sklearn", "onnxruntime", "lightgbm"]


def main():
    """Run the comparison that the command line asks for."""
    options = parse()
    if options.worker:
        from comparison.workers import serve

        section, name, case, threads = options.worker
        serve(section, name, case, int(threads))
        return
    from comparison.peers import available, describe_pythons
    from comparison.report import Report, describe_machine
    from comparison.workers import use_pythons

    report = Report()
    report.say(describe_machine())
    use_pythons(options.peer_python)
    describe_pythons(options.peer_python, report)
    sections = {name: import_module(f"comparison.{name}") for name in options.sections}
    wanted = {peer for section in sections.values() for peer in section.PEERS if peer in options.peers}
    peers = available([peer for peer in PEERS if peer in wanted], report)
    for section in sections.values():
        section.run(report, options, [peer for peer in section.PEERS if peer in peers])
    if options.json:
        report.save(options.json)


def parse():
    """Return the checked options."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sections", type=names_of(SECTIONS), default=SECTIONS, help=f"of {','.join(SECTIONS)}")
    parser.add_argument(
        "--only", type=names, default=[""], help="networks of `steps` and `late`, by their beginnings: W1,W3"
    )
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="1,2 unless told")
    parser.add_argument("--peers", type=names_of(PEERS), default=PEERS, help=f"of {','.join(PEERS)}")
    parser.add_argument("--repeats", type=int, default=5, help="turns, 5 unless told")
    parser.add_argument(
        "--peer-python", type=pair, action="append", default=[], metavar="PEER=PATH", help="the Python of a peer"
    )
    parser.add_argument("--json", metavar="FILE", help="also write what is printed, as data")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.peer_python = dict(options.peer_python)
    return options


def pair(text):
    """Return (peer, path of its Python) of "peer=path"."""
    peer, _, path = text.partition("=")
    if peer not in PEERS:
        raise argparse.ArgumentTypeError(f"{peer!r} is none of {', '.join(PEERS)}")
    if not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{path!r} is no file: write {peer}=/path/to/bin/python")
    return peer, path


def names(text):
    """Return the parts of a list with commas."""
    return text.split(",")


def numbers(text):
    """Return the whole numbers of a list with commas."""
    return [int(part) for part in text.split(",")]


def names_of(known):
    """Return a function that reads a list with commas of known names; an empty text is none of them."""

    def read(text):
        found = [part for part in text.split(",") if part]
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return found

    return read


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
