"""to_c: a model as one C99 file and its header, for programs without Python."""

from pathlib import Path
from typing import Any

import numpy as np

from fastbp.interop.c.files import write_files
from fastbp.interop.c.layers import emit_network
from fastbp.interop.c.program import Program, Value
from fastbp.models.sequential import Sequential


def to_c(model: Any, path: str | Path) -> None:
    """Write a model as a C99 file without dependencies, and a header beside it.

    Parameters
    ----------
    model : Sequential, MLPClassifier, MLPRegressor, TabularClassifier or TabularRegressor
        Built, or fitted.
    path : str or path
        Of the C file, ``NAME.c``; the header is ``NAME.h``. Both appear whole or not at all. ``NAME`` begins the names
        of what they declare.

    Raises
    ------
    TypeError
        For an object that is no model of fastbp.
    ValueError
        Where the path does not end in ``.c``; for what the file cannot do, by name: stateful layers, layers and
        activations of one's own, columns of text, a model that is not built.

    Notes
    -----
    The header declares ``void NAME_predict(const float *x, float *out, float *work)`` for one row: ``NAME_INPUTS``
    numbers, the last axis fastest; ``NAME_OUTPUTS`` numbers; and ``NAME_WORK`` numbers that the function may overwrite.
    Nothing is allocated and nothing static is written, so that threads may call it at once, each with its own ``work``.
    Of a float64 model all are ``double``.

    Of an MLP classifier the outputs are the probabilities of ``NAME_CLASSES``, of a regressor the values. Of a tabular
    estimator ``x`` and ``out`` are ``double``: the columns as the header lists them, numbers, booleans as 0 and 1,
    dates as seconds since 1970-01-01 (UTC where training's had zones), NaN where missing.

    Results agree with `predict` to 1e-6; bits differ, because sums run in another order. Categories of `Embedding` and
    the like are not checked: they must be whole numbers in range.

    Compile with optimization, ``gcc -std=c99 -O3 -c NAME.c``, and link with ``-lm``.

    Examples
    --------
    >>> import fastbp, pathlib, tempfile
    >>> model = fastbp.Sequential([fastbp.Dense(3, "softmax")], input_shape=(2,), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fastbp.to_c(model, pathlib.Path(folder, "net.c"))
    ...     header = pathlib.Path(folder, "net.h").read_text()
    >>> print(header[header.index("void") :].splitlines()[0])
    void net_predict(const float *x, float *out, float *work);
    """
    path = Path(path)
    if path.suffix != ".c":
        raise ValueError(f"path={str(path)!r}: it is the name of a C file, such as 'model.c'.")
    write_files(path, *function_of(model))


def function_of(model):
    """Return the `Program` of a model, and facts for its header."""
    if isinstance(model, Sequential):
        return sequential_program(model)
    from sklearn.utils.validation import check_is_fitted

    from fastbp.estimators.base import BaseMLP
    from fastbp.interop.c.tabular import tabular_program
    from fastbp.tabular.estimator import BaseTabular

    for kind, make in ((BaseMLP, mlp_program), (BaseTabular, tabular_program)):
        if isinstance(model, kind):
            check_is_fitted(model)
            return make(model)
    raise TypeError(f"to_c takes a Sequential or an estimator of fastbp, not {type(model).__name__}.")


def sequential_program(model):
    """Return the `Program` of a `Sequential`, and facts for its header."""
    if model.engine is None:
        raise ValueError("to_c needs a built model: give input_shape=(d,), or call fit or build first.")
    model.tell_changes()
    program, size = Program(model.dtype), int(np.prod(model.output_shape))
    out = emit_network(program, model, input_of(model))
    program.call("copy", out, "out", size)
    return program, facts_of(model, program, size)


def input_of(model):
    """Return the value of a row of a model."""
    return Value(int(np.prod(model.engine.network.input_shape)), "x")


def facts_of(model, program, n_outputs, **more):
    """Return what a header tells of a model."""
    network = model.engine.network
    return {
        "inputs": int(np.prod(network.input_shape)),
        "outputs": n_outputs,
        "type": program.real,
        "takes": [f"a row of shape {network.input_shape}, the last axis fastest"],
        **more,
    }


def mlp_program(estimator):
    """Return the `Program` of an MLP estimator, and facts for its header."""
    estimator._adopt_weights()
    model, program = estimator.model_, Program(estimator.model_.dtype)
    out, k = emit_network(program, model, input_of(model)), model.output_shape[0]
    classes = getattr(estimator, "classes_", None)
    if classes is None or k > 1:
        program.call("copy", out, "out", k)
        return program, facts_of(model, program, k, classes=classes)
    one = program.number(1.0)
    program.line(f"out[0] = {one} - ({{}})[0];", out)
    program.line("out[1] = ({})[0];", out)
    return program, facts_of(model, program, 2, classes=classes if len(classes) == 2 else None)
