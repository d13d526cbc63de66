"""Tabular estimators in C: columns of numbers and dates become the networks' matrix, and outputs become predictions."""

import numpy as np

from fastbp.interop.c.files import name_in_comment
from fastbp.interop.c.layers import emit_network
from fastbp.interop.c.program import Program
from fastbp.interop.c.tablefunctions import FUNCTIONS
from fastbp.interop.columnfacts import changes_of, known_numbers
from fastbp.tabular.calibration import SMALLEST
from fastbp.tabular.categories import CategoryCoder
from fastbp.tabular.mixed_targets import Mixture
from fastbp.tabular.multicolumn_targets import Quantities
from fastbp.tabular.numeric import DateCoder
from fastbp.tabular.repeated_rows import hash_factors
from fastbp.tabular.scaling import LIMIT
from fastbp.tabular.target import Classes


def tabular_program(estimator):
    """Return the `Program` of a fitted tabular estimator, and facts for its header."""
    encoder, ensemble = estimator.encoder_, estimator.ensemble_
    refuse_text(encoder)
    program, includes = Program(np.float32), ["string.h", "stdint.h"] if ensemble.repeats is not None else []
    x = program.value(encoder.n_numeric + encoder.n_plain + encoder.n_codes)
    encode(program, encoder, x)
    k = ensemble.networks[0].output_shape[0]
    total = ensemble_outputs(program, ensemble, x, k)
    gives = ends(program, estimator, total, k)
    facts = {
        "inputs": len(encoder.coders),
        "outputs": k,
        "type": "double",
        "takes": [
            "the columns, NaN where missing",
            *(f"{i}: {takes(coder)}" for i, coder in enumerate(encoder.coders)),
        ],
        "classes": None if isinstance(estimator._target, Mixture) else getattr(estimator, "classes_", None),
        "includes": includes,
        "title": f"A {type(estimator).__name__} of {len(encoder.coders)} columns.",
    }
    if gives:
        facts["gives"] = gives
    return program, facts


def refuse_text(encoder):
    """Raise ValueError where a column is given as text."""
    for coder in encoder.coders:
        if isinstance(coder, CategoryCoder) and coder.is_text:
            raise ValueError(
                f"column {coder.name!r} holds text, and the C file takes numbers: use ONNX (fastbp.to_onnx), or give "
                "the column as numbers in training and name it in categorical_features."
            )


def takes(coder):
    """Return what a column's input is, for a comment."""
    zone = " in UTC" if isinstance(coder, DateCoder) and coder.zone else ""
    form = "number" if coder.form is None else coder.form.kind
    what = {"date": f"seconds since 1970-01-01{zone}", "time": "seconds since midnight", "duration": "seconds"}.get(
        "date" if isinstance(coder, DateCoder) else form, "number"
    )
    return f"{name_in_comment(coder.name)}, {what}"


def own(program, *names):
    """Put functions of tables into the file."""
    for name in names:
        if FUNCTIONS[name] not in program.own:
            program.own.append(FUNCTIONS[name])


def encode(program, encoder, x):
    """Append the statements that turn the columns into x, a row of the matrix."""
    numeric, plain = 0, encoder.n_numeric
    code = plain + encoder.n_plain
    for i, coder in enumerate(encoder.coders):
        program.comment(name_in_comment(coder.name))
        if isinstance(coder, CategoryCoder):
            if coder.table is None:
                category(program, coder, i, x, code, None)
                code += 1
            else:
                category(program, coder, i, x, plain, coder.table)
                plain += coder.table.shape[1]
            continue
        for column, (median, width) in zip(columns_of(program, coder, i), coder.scales, strict=False):
            own(program, "scaled")
            program.line(f"({{}})[{numeric}] = scaled({column}, {median!r}, {width!r});", x)
            numeric += 1
        if coder.indicator is not None:
            known, missing = (program.number(value) for value in coder.indicator)
            program.line(f"({{}})[{plain}] = isnan(x[{i}]) ? {missing} : {known};", x)
            plain += 1


def columns_of(program, coder, i):
    """Return C's expressions for the numbers of a column."""
    if not isinstance(coder, DateCoder):
        return [f"x[{i}]"]
    found = [f"x[{i}]"]
    clock = f"x[{i}]"
    if coder.parts and coder.zone is not None:
        first, times, steps = changes_of(coder.zone)
        own(program, "clock")
        arrays = (
            [
                program.array(f"{coder.name}_{name}", array, "double")
                for name, array in (("changes", times), ("steps", steps))
            ]
            if len(times)
            else ["0", "0"]
        )
        clock = f"clock_of(x[{i}], {float(first)!r}, {arrays[0]}, {arrays[1]}, {len(times)})"
    for part in coder.parts:
        name = part.replace(" ", "_")
        own(program, "days", *(("civil",) if part.startswith("day of") else ()), name)
        found.append(f"{name}({clock})")
    return found


def category(program, coder, i, x, first, table):
    """Append the statements that turn a category that is a number into plain columns or a code."""
    if coder.ends is not None:
        (low, high), (missing, below, above) = coder.ends, table[:, 0].astype(np.float64).tolist()
        own(program, "on_the_line")
        numbers = ", ".join(repr(float(value)) for value in (low, high, below, above, missing, LIMIT))
        program.line(f"({{}})[{first}] = on_the_line(x[{i}], {numbers});", x)
        return
    known, other = known_numbers(coder)
    keys = program.array(f"{coder.name}_keys", list(known), "double")
    values = program.array(f"{coder.name}_codes", list(known.values()), "int")
    own(program, "code_of")
    call = f"code_of(x[{i}], {keys}, {values}, {len(known)}, {other})"
    if table is None:
        program.line(f"({{}})[{first}] = (float){call};", x)
        return
    k = table.shape[1]
    program.need("copy")
    rows = program.array(f"{coder.name}_table", table)
    program.line(f"copy({rows} + {k} * {call}, {{}} + {first}, {k});", x)


def ensemble_outputs(program, ensemble, x, k):
    """Append the networks' mean, calibrated and mixed with the targets of repeated rows; return its value (k,)."""
    total = program.value(k)
    for number, network in enumerate(ensemble.networks):
        program.comment(f"network {number}")
        out = emit_network(program, network, x, f"net{number}_")
        program.call(*(("copy", out, total, k) if number == 0 else ("add", out, total, total, k)))
    own(program, "divide")
    program.line(f"divide({{}}, {program.number(float(len(ensemble.networks)))}, {k});", total)
    calibrate(program, ensemble, total, k)
    if ensemble.repeats is not None:
        repeats = ensemble.repeats
        own(program, "join_repeats")
        arrays = [
            program.array("repeated_keys", repeats.keys, "uint64_t"),
            program.array("repeated_sums", repeats.sums),
            program.array("repeated_counts", repeats.counts),
            program.array("hash_factors", hash_factors(x.size), "uint64_t"),
        ]
        sizes = f"{len(repeats.keys)}, {x.size}, {k}, {program.number(float(repeats.strength))}"
        program.line(f"join_repeats({{}}, {{}}, {', '.join(arrays)}, {sizes});", total, x)
    return total


def calibrate(program, ensemble, total, k):
    """Append the temperature of the probabilities (k,), or of each block of classes."""
    temperatures = np.atleast_1d(ensemble.temperature).tolist()
    blocks = ensemble.blocks if np.ndim(ensemble.temperature) else [slice(0, k)]
    for temperature, block in zip(temperatures, blocks, strict=True):
        if temperature != 1.0:
            own(program, "temper")
            numbers = program.number(float(temperature)), program.number(float(SMALLEST))
            size = block.stop - block.start
            program.line(f"temper({{}} + {block.start}, {numbers[0]}, {numbers[1]}, {size});", total)


def ends(program, estimator, total, k):
    """Append the statements that turn outputs into predictions `out`; return words on the predictions, or None."""
    target = estimator._target
    if isinstance(target, Mixture):
        told = []
        for name, part, block in zip(target.names, target.parts, target.blocks, strict=True):
            if isinstance(part, Classes):
                shares(program, total, block.start, block.stop - block.start)
                labels = ", ".join(name_in_comment(str(label)) for label in part.classes.tolist())
                told.append(f"{block.start} to {block.stop - 1}: {name_in_comment(name)}, probabilities of {labels}")
            else:
                decode(program, total, block.start, part)
                told.append(f"{block.start}: {name_in_comment(name)}")
        return "\n        ".join(told)
    if hasattr(estimator, "classes_"):
        shares(program, total, 0, k, target.factors)
        if target.factors is None:
            return None
        numbers = ", ".join(f"{factor:.17g}" for factor in target.factors)
        return f"the classes' probabilities; predict takes the largest of them times {numbers}"
    parts = target.parts if isinstance(target, Quantities) else (target,) * k
    for j, part in enumerate(parts):
        decode(program, total, j, part)
    if estimator.quantiles is None:
        return None
    own(program, "sort")
    program.line(f"sort(out, {k});")
    return f"the quantiles {', '.join(f'{level:g}' for level in estimator.quantiles)}"


def shares(program, total, first, k, factors=None):
    """Append the statements that divide k shares by the factors by which `class_weight` weighed their classes."""
    own(program, "shares")
    weights = 0 if factors is None else program.array("class_factors", factors, "double")
    program.line(f"shares({{}} + {first}, {weights}, out + {first}, {k});", total)


def decode(program, total, j, part):
    """Append the statements that turn output number j into a quantity."""
    own(program, "decode")
    numbers = ", ".join(repr(float(value)) for value in (part.mean, part.scale, part.low, part.high))
    program.line(f"out[{j}] = decode(({{}})[{j}], {numbers});", total)
