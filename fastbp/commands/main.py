"""The command line: ``fastbp train | predict | evaluate | explain | report | export | demo | warmup | info``.

``python -m fastbp`` is the same.

Each command is a module of `fastbp.commands` with `HELP`, `add_arguments(parser)` and `run(arguments)`;
what it needs (numba, pandas, scikit-learn) it imports when it runs, so that ``fastbp --help`` is quick.

A mistake of the user's is one line on stderr and exit code 2.
"""

import argparse
import sys
import warnings

import fastbp
from fastbp.commands import demo, evaluate, explain, export, info, predict, reportpage, train, warmup
from fastbp.commands.garbage import collect_seldom
from fastbp.commands.lazy_imports import import_later
from fastbp.commands.options import mute_output
from fastbp.tabular.errors import TableError
from fastbp.tabular.tablewarning import TableWarning

COMMANDS = {
    "train": train,
    "predict": predict,
    "evaluate": evaluate,
    "explain": explain,
    "report": reportpage,
    "export": export,
    "demo": demo,
    "warmup": warmup,
    "info": info,
}

USER_ERROR = 2
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        """Say what is wrong in one line (argparse would print the whole usage before it)."""
        self.exit(USER_ERROR, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser():
    """Return the parser of all commands."""
    parser = _Parser(prog="fastbp", description="Train small neural networks on tables, fast, on the CPU.")
    parser.add_argument("--version", action="version", version=f"fastbp {fastbp.__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    parser.set_defaults(parser=parser)  # the demo runs other commands
    for name, module in COMMANDS.items():
        sub = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def main(argv=None):
    """Run a command.

    Parameters
    ----------
    argv : list of str, optional
        The words after ``fastbp``; by default those of the process.

    Returns
    -------
    int
        The exit code: 0, or 2 after a mistake of the user's, or 130 after Ctrl-C.

    Examples
    --------
    >>> from fastbp.commands.main import main
    >>> main(["predict", "no_such_model.fastbp", "table.csv"])  # one line on stderr
    2
    """
    for stream in (sys.stdout, sys.stderr):  # a class name that the console cannot show is no reason to stop
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if argv is None:  # this process is the command's
        import_later("scipy.stats")
        collect_seldom()
    try:
        arguments = build_parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TableWarning)  # commands print what it says
            arguments.run(arguments)
        sys.stdout.flush()
    except SystemExit as stop:  # argparse's: --help, or a wrong argument
        return stop.code or 0
    except KeyboardInterrupt as interrupt:
        return _complain(f"stopped by Ctrl-C. {interrupt}", INTERRUPTED)
    except BrokenPipeError:  # ... | head
        mute_output()
        return 0
    except (TableError, *_engine_errors()) as error:
        return _complain(error)
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error)
    except MemoryError:
        return _complain("there is not enough memory for this table.")
    return 0


def _engine_errors():
    """Return the engine's errors that are no bugs, if it has been imported at all."""
    names = (
        ("fastbp.compiler.jit", "NoCompilerError"),
        ("fastbp.compiler.levels", "LevelError"),
        ("fastbp.engine.divergence", "TrainingDiverged"),
        ("fastbp.io.saving", "ModelFileError"),
    )
    return tuple(getattr(sys.modules[module], name) for module, name in names if module in sys.modules)


def _complain(message, code=USER_ERROR):
    print("fastbp:", " ".join(str(message).split()), file=sys.stderr)
    return code
