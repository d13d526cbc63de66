"""How Python calls kernels: what goes in by slots, what comes back, what is raised; and signatures, which are text."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

from fastbp.compiler.entry import Entry, address_of
from fastbp.compiler.jit import call, compiled_address, inline, kernel
from fastbp.compiler.pointers import records_at, same_place
from fastbp.compiler.records import record_dtype
from fastbp.compiler.signatures import Kind, Signature, signature
from fastbp.kernels.rng import mix64, shuffle
from fastbp.kernels.tile import product
from fastbp.layers.base import STEP

ROW = record_dtype([("whole", "i8"), ("real", "f8")])
OTHER = record_dtype([("real", "f8"), ("whole", "i8")])
rows = records_at(ROW)


@kernel
def everything(row, table, x, matrix, cube, whole, small, large, real, single, flag, where):
    """Write each argument to its place."""
    x[0], x[1], x[2] = row.whole, row.real, table[1].whole
    x[3], x[4], x[5], x[6] = matrix[1, 2], cube[1, 0, 1], whole, small
    x[7], x[8], x[9], x[10] = np.float64(large >> np.uint64(1)), real, single, flag
    x[11], x[12], x[13] = matrix.shape[1], cube.shape[2], rows(where, 1)[0].real
    table[0].whole = -7


def arguments():
    table, x = np.zeros(2, ROW), np.zeros(14)
    table["whole"], table["real"] = (3, 4), (0.5, 0.25)
    matrix, cube = np.arange(6.0).reshape(2, 3), np.arange(8, dtype="float32").reshape(2, 2, 2)
    numbers = -5, np.int32(-6), 2**64 - 2, 1.5, np.float32(2.5), True
    return table[0], table, x, matrix, cube, *numbers, address_of(table[1:])


EXPECTED = [3, 0.5, 4, 5, 5, -5, -6, 2.0**63, 1.5, 2.5, 1, 3, 2, 0.25]


def test_arguments_of_every_kind_arrive():
    given = arguments()
    assert everything(*given) is None
    assert given[2].tolist() == EXPECTED
    assert given[1]["whole"].tolist() == [-7, 4]


def test_a_bound_call_sees_what_has_changed_in_its_arrays():
    table, x = np.zeros(2, ROW), np.zeros(14)
    given = arguments()
    words = "row row[:] f8[:] f8[:,:] f4[:,:,:] i8 i4 u8 f8 f4 ? i8"
    bound = everything.entry(signature(words, row=ROW)).bind(table[0], table, x, *given[3:])
    bound()
    assert x[1] == 0
    table["real"] = 8.0
    bound()
    assert x[1] == 8.0
    other_place = np.zeros(1, ROW)
    other_place["real"] = -2.5
    bound.ending_in(address_of(other_place))()
    assert x[13] == -2.5
    bound()
    assert x[13] == 0.25  # the first call is as it was
    with pytest.raises(ValueError, match="zip"):
        everything.entry(signature(words, row=ROW)).bind(table[0])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 4),
        (2.5, 3.5),
        (np.float32(0.5), 1.5),
        (np.int32(-3), -2),
        (True, 2),
        (np.uint8(255), 256),
    ],
)
def test_results(value, expected):
    found = plus_one(value)
    assert found == expected
    assert type(found) is type(expected)


@kernel
def plus_one(x):
    return x + 1


@kernel
def is_positive(x):
    return x > 0


def test_a_truth_value_comes_back():
    assert is_positive(1.0) is True
    assert is_positive(-1) is False


@kernel
def fail(x, i):
    """Raise what cannot be told before, or nothing."""
    if i == 1:
        raise IndexError("the second")
    if i == 2:
        raise KeyError
    x[i] = 1.0


@pytest.mark.parametrize(("i", "error", "text"), [(1, IndexError, "the second"), (2, KeyError, "^$")])
def test_what_is_raised(i, error, text):
    with pytest.raises(error, match=text) as caught:
        fail(np.zeros(3), i)
    assert caught.value.args == (("the second",) if i == 1 else ())
    assert fail(np.zeros(3), 0) is None


@kernel
def through_address(where, x, i):
    call(where, (x, i))


def test_what_a_kernel_of_another_address_raises():
    where = compiled_address(fail, signature("f8[:] i8"))
    with pytest.raises(IndexError, match="the second"):
        through_address(where, np.zeros(3), 1)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            [1.0, 2.0],
            r"the kernel plus_one takes numbers, arrays and rows of arrays of records: \[1.0, 2.0\]",
        ),
        (np.frombuffer(bytes(17), np.float64, 2, 1), "takes arrays whose entries are aligned"),
        (None, "takes numbers"),
        ("a", "takes numbers"),
    ],
)
def test_what_is_no_argument(given, text):
    with pytest.raises(TypeError, match=text):
        plus_one(given)


@kernel
def double(x):
    for i in range(len(x)):
        x[i] *= 2


def test_arrays_with_strides_are_seen_as_they_are():
    x = np.arange(12.0).reshape(3, 4)
    double(x[:, 1])
    double(x[::-2, 2])
    assert x.tolist() == [[0, 2, 4, 3], [4, 10, 6, 7], [8, 18, 20, 11]]


def test_nothing_is_written_to_what_is_read_only():
    x = np.ones(3)
    x.flags.writeable = False
    with pytest.raises(Exception, match="Cannot modify readonly array"):
        double(x)
    assert x.tolist() == [1, 1, 1]


@inline
def own_inline(x):
    return x


def test_inline_functions_have_neither_address_nor_call():
    with pytest.raises(TypeError, match="own_inline is an inline function: it has no address"):
        compiled_address(own_inline, signature("f8"))
    with pytest.raises(TypeError, match="own_inline is an inline function: compiled functions call it"):
        own_inline(1.0)


TOLD = """
from fastbp.compiler.signatures import signature
from fastbp.layers.base import STEP
print(signature("s f8[:]", s=STEP))
"""


def test_signatures_are_text_that_is_the_same_everywhere():
    made = signature("row row[:] f[:,:] f* i8 ? -> f8", f=np.dtype("float32"), row=ROW)
    code = str(Kind(ROW))
    assert str(made) == f"{code},{code}[:],f4[:,:],f4*,i8,b1->f8"
    assert made == signature("r r[:] f4[:,:] f4* i8 ? -> f8", r=ROW)
    assert hash(made) == hash(signature("r r[:] f4[:,:] f4* i8 ? -> f8", r=ROW))
    assert str(signature("i8")) == "i8->"
    assert str(Signature((Kind(np.dtype("i8")),), None)) == "i8->any"
    assert str(Kind(OTHER)) != code
    told = subprocess.run([sys.executable, "-c", TOLD], capture_output=True, text=True, check=True).stdout
    assert told == f"{signature('s f8[:]', s=STEP)}\n"
    with pytest.raises(TypeError, match="nothing"):
        signature("nothing[:]")


def test_pickles_name_them_and_copies_are_themselves():
    for thing in (shuffle, mix64, same_place, product):
        assert pickle.loads(pickle.dumps(thing)) is thing
        assert copy.deepcopy(thing) is thing


def test_what_stands_in_no_module_is_pickled_with_its_function():
    """As cloudpickle does it for a layer of a notebook."""
    cloudpickle = pytest.importorskip("cloudpickle")
    factor = 3.0

    @kernel
    def scale(x):
        x[0] *= factor

    scale(np.ones(1))
    again, x = pickle.loads(cloudpickle.dumps(scale)), np.ones(1)
    assert again is not scale
    again(x)
    assert x[0] == 3
    assert copy.deepcopy([scale, rows]) == [scale, rows]


def test_one_machine_code_serves_all():
    entry = shuffle.entry(signature("i8[:] i8 i8"))
    assert isinstance(entry, Entry)
    assert shuffle.entry(signature("i8[:] i8 i8")) is entry
    order, other = np.empty(20, np.int64), np.empty(20, np.int64)
    entry(order, 3, 1)
    shuffle(other, 3, 1)
    assert order.tolist() == other.tolist()
    assert sorted(order) == list(range(20))
