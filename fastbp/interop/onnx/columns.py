"""The preprocessing of a table as ONNX nodes: columns become the matrix that `TableEncoder.transform` makes of them.

Numbers are computed in float64 in the encoder's own order, so that the float32 matrix has its bits.
"""

import numpy as np

from fastbp.interop.columnfacts import known_codes, known_numbers
from fastbp.interop.onnx import dates
from fastbp.interop.onnx.graph import ML, value_info
from fastbp.tabular.categories import CategoryCoder
from fastbp.tabular.numeric import DateCoder
from fastbp.tabular.scaling import FAR, LIMIT

# How a missing category is written: the first of these that is no category.
MISSING = ("", "nan", "<missing>")
# The name of the only input, of tables without names.
MATRIX = "x"


class TableInputs:
    """The inputs of a graph for a fitted encoder, and how each column gets there.

    Parameters
    ----------
    encoder : TableEncoder

    Attributes
    ----------
    names : list of str
        Of the inputs: the columns', or "x" alone where training's table was an array of numbers.

    Raises
    ------
    ValueError
        Where a column has no name.
    """

    def __init__(self, encoder):
        self.encoder = encoder
        self.is_matrix = not encoder.named and not any(is_text(coder) for coder in encoder.coders)
        self.names = [MATRIX] if self.is_matrix else encoder.columns
        if "" in self.names:
            raise ValueError("a column has the name '': ONNX takes that for no input. Give it a name, and train again.")

    def declared(self):
        """Return the `value_info`s of the inputs, with words on what they take."""
        if self.is_matrix:
            return [value_info(MATRIX, np.float64, (len(self.encoder.feature_names_in),), "NaN is missing")]
        return [
            value_info(coder.name, str if is_text(coder) else np.float64, (1,), described(coder))
            for coder in self.encoder.coders
        ]

    def column(self, graph, coder):
        """Return the name of a column (n, 1)."""
        if not self.is_matrix:
            return coder.name
        return graph.gather(MATRIX, [self.encoder.feature_names_in.index(coder.name)])


def is_text(coder):
    """Is a column given as text?"""
    return isinstance(coder, CategoryCoder) and coder.is_text


def missing_text(coder):
    """Return how a missing category of a text column is written."""
    return next(text for text in MISSING if text not in coder.vocabulary.texts)


def described(coder):
    """Return what a column's input takes."""
    if is_text(coder):
        return f"category; missing is {missing_text(coder)!r}"
    if isinstance(coder, DateCoder):
        return "seconds since 1970-01-01" + (" in UTC" if coder.zone else "") + "; NaN is missing"
    if coder.form is not None and coder.form.kind in ("time", "duration"):
        return f"seconds ({coder.form.describe()}); NaN is missing"
    dressed = "" if coder.form is None else f", as {coder.form.describe()} is read"
    return f"number{dressed}; NaN is missing"


def encode(graph, inputs):
    """Append the nodes of an encoder; return the name of its matrix (n, d) float32."""
    numeric, scales, plain, codes = [], [], [], []
    for coder in inputs.encoder.coders:
        column = inputs.column(graph, coder)
        if isinstance(coder, CategoryCoder):
            values = encode_category(graph, coder, column)
            (codes if coder.table is None else plain).append(values)
            continue
        columns = columns_of(graph, coder, column)
        numeric += columns[: len(coder.scales)]
        scales += coder.scales
        if coder.indicator is not None:
            known, missing = np.array(coder.indicator, np.float32)
            plain.append(graph.add("Where", graph.add("IsNaN", columns[0]), missing, known))
    groups = []
    if numeric:
        groups.append(graph.cast(scaled(graph, graph.concat(numeric), np.array(scales)), np.float32))
    groups += plain
    groups += [graph.cast(one, np.float32) for one in codes]
    return graph.concat(groups)


def columns_of(graph, coder, column):
    """Return the numbers (n, 1) that a column of numbers or dates becomes: `coder.columns`."""
    if not isinstance(coder, DateCoder):
        return [column]
    clock = dates.clock_of(graph, column, coder.zone) if coder.parts else None
    return [column, *(dates.part_of(graph, clock, part) for part in coder.parts)]


def scaled(graph, x, scales):
    """Return x (n, k) float64 as `fastbp.tabular.scaling.scaled` does it; a missing value is at the median."""
    median, width = scales.T
    x = graph.add("Where", graph.add("IsNaN", x), median, x)
    z = graph.add("Div", graph.add("Sub", x, median), width)
    z = graph.add("Min", graph.add("Max", z, -FAR), FAR)
    part = graph.add("Div", z, LIMIT)
    return graph.add("Div", z, graph.add("Sqrt", graph.add("Add", graph.add("Mul", part, part), 1.0)))


def encode_category(graph, coder, column):
    """Return the plain columns (n, k) float32 of a category, or its codes (n, 1) int64."""
    if coder.ends is not None:
        return on_the_line(graph, coder, column)
    codes = (codes_of_text if coder.is_text else codes_of_numbers)(graph, coder, column)
    if coder.table is None:
        return codes
    return graph.add("Gather", coder.table, graph.add("Squeeze", codes, np.array([1])), axis=0)


def on_the_line(graph, coder, column):
    """Return the plain column (n, 1) of a category of two numbers; other numbers lie on the line through these two."""
    (low, high), (missing, below, above) = coder.ends, coder.table[:, 0].astype(np.float64)
    share = graph.add("Div", graph.add("Sub", column, low), high - low)
    place = graph.add("Add", graph.add("Mul", share, above - below), below)
    place = graph.add("Min", graph.add("Max", place, -LIMIT), LIMIT)
    return graph.cast(graph.add("Where", graph.add("IsNaN", column), missing, place), np.float32)


def codes_of_text(graph, coder, column):
    """Return the codes (n, 1) of texts."""
    codes, other = known_codes(coder)
    codes.setdefault(missing_text(coder), 0)
    keys, values = list(codes), list(codes.values())
    return graph.add("LabelEncoder", column, domain=ML, keys_strings=keys, values_int64s=values, default_int64=other)


def codes_of_numbers(graph, coder, column):
    """Return the codes (n, 1) of numbers or booleans (1.0 and 0.0)."""
    known, other = known_numbers(coder)
    keys, values = np.array(list(known)), np.array(list(known.values()), np.float64)
    same = graph.cast(graph.add("Equal", column, keys[None]), np.float64)
    # Of no known number the sum is 0, and so is the number of those that it equals.
    code = graph.add("MatMul", same, (values - other)[:, None])
    code = graph.add("Add", code, float(other))
    return graph.cast(graph.add("Where", graph.add("IsNaN", column), 0.0, code), np.int64)
