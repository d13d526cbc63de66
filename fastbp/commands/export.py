"""``fastbp export``: a model's file as an ONNX graph, or as a C file, for programs without fastbp."""

from pathlib import Path

from fastbp.commands.arguments import check_output

HELP = "write a saved model as ONNX, or as C"
# The format: what names of its files end in, the function of fastbp that writes it.
FORMATS = {"onnx": (".onnx", "to_onnx"), "c": (".c", "to_c")}


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a file saved by fastbp train, or by a model's save")
    parser.add_argument("--format", choices=list(FORMATS), required=True, help="onnx, or c: a C99 file and its header")
    parser.add_argument("--out", metavar="FILE", help="where to write (default: MODEL with another ending)")


def run(arguments):
    """Read the model, write the files, tell their sizes."""
    import fastbp
    from fastbp.commands.loading import load_any
    from fastbp.tabular.errors import TableError

    ending, function = FORMATS[arguments.format]
    out = Path(arguments.out) if arguments.out else Path(arguments.model).with_suffix(ending)
    if out.suffix != ending:
        raise TableError(f"--out {out}: the name of such a file ends in {ending}.")
    files = [out, out.with_suffix(".h")] if arguments.format == "c" else [out]
    for path in files:
        check_output(path, arguments.model)
    model = load_any(arguments.model)
    try:
        getattr(fastbp, function)(model, out)
    except (ImportError, ValueError) as error:
        raise TableError(str(error)) from None
    for path in files:
        print(f"wrote {path} ({path.stat().st_size / 1000:,.0f} kB)")
