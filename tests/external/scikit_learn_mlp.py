"""Run scikit-learn's own tests of its MLP on fastbp's estimators.

    python tests/external/scikit_learn_mlp.py [arguments of pytest]

The file `test_mlp.py` is copied from the installed scikit-learn; nothing is changed in it but the line that imports
the two classes.
"""

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

THEIR_IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
OUR_IMPORT = "from fastbp import MLPClassifier, MLPRegressor\n"

# Tests of scikit-learn's insides.
DESELECTED = {
    "test_fit": "builds an estimator by hand from private attributes",
    "test_gradient": "calls the private _loss_grad_lbfgs",
}

CONFTEST = """
import pytest

@pytest.fixture
def global_random_seed():
    return 42
"""


def copy_suite(folder):
    """Write the suite to `folder`; return the path of the tests."""
    source = Path(find_spec("sklearn").origin).parent / "neural_network" / "tests" / "test_mlp.py"
    text = source.read_text()
    if text.count(THEIR_IMPORT) != 1:
        raise RuntimeError(f"{source} does not import its classes as expected: {THEIR_IMPORT!r}")
    for name in DESELECTED:
        if f"def {name}(" not in text:
            raise RuntimeError(f"{source} has no {name} any more: take it from the list of deselected tests")
    (folder / "conftest.py").write_text(CONFTEST)
    path = folder / "test_mlp_of_scikit_learn.py"
    path.write_text(text.replace(THEIR_IMPORT, OUR_IMPORT))
    return path


def main(arguments):
    """Run the suite; return pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        path = copy_suite(Path(folder))
        deselected = [argument for name in DESELECTED for argument in ("--deselect", f"{path.name}::{name}")]
        options = ["-q", "-p", "no:cacheprovider", f"--rootdir={folder}", "-c", "/dev/null"]
        return pytest.main([*options, *deselected, *arguments, str(path)])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
