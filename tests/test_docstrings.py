"""Docstrings of public names: numpydoc's checks, and an example for every class and function.

These checks of numpydoc are left out, because the house writes otherwise: where text and summary begin (GL01, GL02,
GL03, SS02, SS05, SS06: a formula may begin a summary, and it may have two lines), that every name has a longer
text (ES01) and a See Also (SA), that every parameter has a line beside its type (PR07), how its line begins and ends
(PR08, PR09), that a result has no name and a line beside its type (RT02 to RT05: scikit-learn's have names), a
summary's full stop (SS03: some are questions).
"""

import inspect
import re
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

from tests.public_names import public_members, public_values

CHECKS = {
    "GL05": "tabs",
    "GL06": "an unknown section",
    "GL07": "order of sections",
    "GL09": "place of a deprecation",
    "GL10": "syntax of a directive",
    "SS01": "no summary",
    "SS04": "a summary begins with blanks",
    "PR01": "a parameter is not documented",
    "PR02": "an unknown parameter is documented",
    "PR03": "order of parameters",
    "PR04": "a parameter has no type",
    "PR05": "a type ends with a full stop",
    "PR10": "no blank before a parameter's colon",
    "RT01": "no Returns section",
    "YD01": "no Yields section",
}
# What fastbp calls, not users: the base class's text tells what it gets and returns, in a sentence.
HOOKS = {
    *("build", "fill", "adapt", "refuses", "passes_on", "mask_of", "tables"),  # layers
    *("output_shape", "windows_of", "axes_of", "pairs", "refuse"),
    *("record", "check_output", "prepare_targets", "entries"),  # losses
    *("coefficients", "all_coefficients", "learning_rates", "init_state", "kept_slots", "n_slots", "state_kind"),
    *("set_model", "set_params", "get_state", "set_state", "from_state", "improved", "restore"),  # callbacks, files
    *("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_stretch_end", "on_divergence"),
    *("on_train_batch_begin", "on_train_batch_end", "on_test_begin", "on_test_end"),
    *("tell_changes", "handed_on", "emit_c", "emit_onnx", "finish", "spread"),
}
OF_PARAMETERS_AND_RESULTS = {"PR01", "RT01", "YD01"}
# numpydoc takes a function's parameter `cls` for that of a class method, and does not see it.
EXCEPTIONS = {"fastbp.custom.register_layer"}

VALUES, MEMBERS = public_values(), public_members()


def faults(name):
    """Return what numpydoc says of a public name, of the checks that hold for it."""
    is_hook = name.rpartition(".")[2] in HOOKS and name not in VALUES
    wanted = set(CHECKS) - (OF_PARAMETERS_AND_RESULTS if is_hook else set())
    return [f"{code} {text}" for code, text in validate(name)["errors"] if code in wanted]


def text_of(name):
    """Return the docstring as `help` shows it: that of the overridden method where it has none of its own."""
    if name in VALUES or MEMBERS[name].__doc__:
        return inspect.getdoc(MEMBERS[name])
    home, _, method = name.rpartition(".")
    bases = [base for cls in VALUES.values() if inspect.isclass(cls) for base in lines_of(cls, home)]
    return next((text for base in bases if (text := getattr(vars(base).get(method), "__doc__", None))), "")


def lines_of(cls, home):
    """Return a class and its bases, where the class named `home` is one of them."""
    return cls.__mro__ if home in map(full_name, cls.__mro__) else ()


def full_name(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


@pytest.mark.parametrize("name", sorted(set(MEMBERS) - EXCEPTIONS))
def test_numpydoc_finds_no_fault(name):
    assert text_of(name), f"{name} has no docstring"
    if MEMBERS[name].__doc__:
        assert faults(name) == [], name


@pytest.mark.parametrize("name", sorted(set(VALUES) - EXCEPTIONS))
def test_there_is_an_example(name):
    example = NumpyDocString(inspect.getdoc(VALUES[name]))["Examples"]
    assert any(line.lstrip().startswith(">>>") for line in example), f"{name} has no example"


def test_exceptions_are_public_names():
    assert set(MEMBERS) >= EXCEPTIONS


def test_files_that_docstrings_and_comments_name_are_there():
    """A file that is renamed is renamed in words, too."""
    root = Path(__file__).parents[1]
    known = {
        path.name
        for folder in ("fastbp", "tests", "tools", "examples", "asv_benchmarks")
        for path in (root / folder).rglob("*.py")
    }
    for path in (root / "fastbp").rglob("*.py"):
        named = set(re.findall(r"(?<![\w.])\w+\.py\b", path.read_text()))
        assert named <= known, (path.name, named - known)
