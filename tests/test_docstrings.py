"""Docstrings of public names: numpydoc's checks, an example for each of them, and what it raises.

These checks of numpydoc are left out, because the house writes otherwise: where text and summary begin (GL01, GL02,
GL03, SS02, SS05, SS06: a formula may begin a summary, and it may have two lines), that every name has a longer
text (ES01) and a See Also (SA), that every parameter has a line beside its type (PR07), how its line begins and ends
(PR08, PR09), that a result has no name and a line beside its type (RT02 to RT05: scikit-learn's have names), a
summary's full stop (SS03: some are questions).
"""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

from tests.public_names import MODULES, public_members, public_values

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
    *("tell_changes", "handed_on", "emit_c", "emit_onnx", "finish", "spread", "check_settings", "check_monitor"),
}
OF_PARAMETERS_AND_RESULTS = {"PR01", "RT01", "YD01"}
# numpydoc takes a function's parameter `cls` for that of a class method, and does not see it.
EXCEPTIONS = {"fastbp.custom.register_layer"}
# Public for those who write such classes; users call `fit` and `Sequential.explain`, whose examples show them.
SHOWN_ELSEWHERE = {"fastbp.callbacks.backup.BackupAndRestore.save"} | {
    f"fastbp.explain.methods.{name}.explain" for name in ("InputGradients", "IntegratedGradients", "SmoothGrad")
}
# What fastbp makes and users read.
RESULTS = {"fastbp.doctor.diagnosis.Diagnosis"}
# Classes of other libraries.
NOT_OURS = {"MultiOutputClassifier"}
# A signature of more characters is a page in `help`.  `Sequential.fit`, whose 14 parameters have short types, has 560.
LONGEST_SIGNATURE = 900

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


def is_hook(name):
    return name not in VALUES and name.rpartition(".")[2] in HOOKS


def called(name):
    """Is it a class, function or method that users call?"""
    return not is_hook(name) and not isinstance(MEMBERS[name], property)


CALLED = sorted(name for name in set(MEMBERS) - EXCEPTIONS if called(name))


@pytest.mark.parametrize("name", sorted(set(CALLED) - SHOWN_ELSEWHERE))
def test_there_is_an_example(name):
    example = NumpyDocString(text_of(name))["Examples"]
    assert any(line.lstrip().startswith(">>>") for line in example), f"{name} has no example"


def refuses_settings(cls):
    """Does a class refuse an odd value for one of its parameters?"""
    parameters = inspect.signature(cls).parameters.values()
    needed = {one.name: 2 for one in parameters if one.default is one.empty}
    return any(is_refused(cls, needed | {one.name: odd}) for one in parameters for odd in ("odd", -1, object()))


def is_refused(cls, settings):
    try:
        cls(**settings)
    except (ValueError, TypeError):
        return True
    return False


def raises(function):
    """Does a function's own body raise an error?"""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    return any(isinstance(node, ast.Raise) for node in ast.walk(tree))


@pytest.mark.parametrize("name", CALLED)
def test_errors_are_told(name):
    member = MEMBERS[name]
    if NumpyDocString(text_of(name))["Raises"] or is_error(member) or name in RESULTS:
        return
    refuses = refuses_settings if inspect.isclass(member) else raises
    assert not refuses(member), f"{name} raises errors and does not say which"


def is_error(value):
    return inspect.isclass(value) and issubclass(value, Exception)


@pytest.mark.parametrize("name", CALLED)
def test_the_signature_is_short(name):
    signature = "" if is_error(MEMBERS[name]) else str(inspect.signature(MEMBERS[name]))
    assert len(signature) <= LONGEST_SIGNATURE, f"{name} fills a page of help: {signature}"


def test_texts_lead_to_public_names():
    """`As in X` and `see X` lead to what `help` and the site show: a public name, or a name of the same class."""
    known = {part for name in MEMBERS for part in name.split(".")} | {n for one in MODULES for n in one.__all__}
    named = re.compile(r"\b(?:[Aa]s in|[Aa]s of|[Ss]ee|of|from)\s+`(_*[A-Z]\w*)`")
    for name in MEMBERS:
        text = text_of(name)
        unknown = {found for found in named.findall(text) if found not in known and f"{found}\n----" not in text}
        assert unknown <= NOT_OURS, (name, unknown)


def test_exceptions_are_public_names():
    assert set(MEMBERS) >= EXCEPTIONS | SHOWN_ELSEWHERE | RESULTS


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
