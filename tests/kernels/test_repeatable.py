"""What enters training outside kernels has the same bits whatever a call's length, an entry's place and BLAS's threads.

An AVX2 machine cannot show that NumPy's vector functions break this, so the package's sources are searched for them.
"""

import ast
import math
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import fastbp
from fastbp.kernels import arraymath, repeatable
from fastbp.optimizers import OPTIMIZERS

PACKAGE = Path(fastbp.__file__).parent
# Functions whose last bits NumPy leaves open, and its doors to BLAS and LAPACK.
OPEN = {
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "logaddexp2", "sin", "cos", "tan", "sinh",
    "cosh", "tanh", "arcsin", "arccos", "arctan", "arctan2", "arcsinh", "arccosh", "arctanh", "power", "float_power",
    "cbrt", "hypot", "dot", "vdot", "inner", "matmul", "tensordot", "linalg", "interp",
}  # fmt: skip
COMPILED = {"kernel", "inline", "unkept_kernel", "njit", "forward", "backward", "mean_over_outputs", "sum_over_outputs"}
# Where they may stand: {file: why}.
ALLOWED = {
    "estimators/classifier.py": "predict_log_proba tells figures that nothing goes on with",
    "metrics/functions.py": "metrics tell one figure of all rows, which are the same rows each time",
    "metrics/confusion.py": "as the other metrics",
    "doctor/baseline.py": "findings: nothing goes on with them",
    "explain/integrated_gradients.py": "contributions of inputs: nothing goes on with them",
    "explain/permutation.py": "importances: nothing goes on with them",
    "tabular/insight/contributions.py": "as the other contributions",
    "interop/onnx/repeats.py": "constants of another program's graph",
    "reporting/charts.py": "where lines are drawn",
    "reporting/model_adapters.py": "figures of a report",
}


def open_bits(tree):
    """Yield (line, what) of the calls in a syntax tree that leave bits open, kernels' own code aside."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef) and {name_of(d) for d in node.decorator_list} & COMPILED:
            continue
        if isinstance(node, ast.Attribute) and name_of(node.value) in ("np", "numpy") and node.attr in OPEN:
            yield node.lineno, f"np.{node.attr}"
        if isinstance(node, ast.BinOp | ast.AugAssign):
            if isinstance(node.op, ast.MatMult):
                yield node.lineno, "@"
            exponent = node.value if isinstance(node, ast.AugAssign) else node.right
            if isinstance(node.op, ast.Pow) and not is_whole(exponent):
                yield node.lineno, "**"
        yield from open_bits(node)


def is_whole(node):
    """Is it a whole number, written out?"""
    node = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def name_of(node):
    return getattr(node, "id", None) or getattr(node, "attr", None)


def test_no_function_whose_bits_numpy_leaves_open_enters_training():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE).as_posix()
        if where not in ALLOWED and (lines := list(open_bits(ast.parse(path.read_text())))):
            found[where] = lines
    assert found == {}, "use fastbp/repeatable.py or fastbp/arraymath.py"


@pytest.mark.parametrize(
    "source", ["a = np.cos(x)", "b = x @ y", "c = 0.5 ** t", "x **= 0.5", "def f(x):\n    return np.linalg.qr(x)"]
)
def test_the_search_finds_what_it_looks_for(source):
    assert len(list(open_bits(ast.parse(source)))) == 1


@pytest.mark.parametrize(
    "source", ["a = x ** 2", "a = 2.0**-26", "@kernel\ndef f(x):\n    return np.exp(x)", "b = np.sqrt(x)"]
)
def test_the_search_passes_what_is_sure(source):
    assert not list(open_bits(ast.parse(source)))


@pytest.mark.parametrize(
    ("compute", "x"),
    [
        (lambda t: repeatable.whole_power(0.999, t), np.arange(1, 5000)),
        (lambda x: repeatable.by_element(math.cos, x), np.linspace(0, 9, 999)),
        (arraymath.exp, np.linspace(-80, 80, 999)),
        (arraymath.log, np.linspace(1e-3, 80, 999)),
        (arraymath.exp, np.linspace(-80, 80, 999, dtype="float32")),
        (arraymath.log, np.linspace(1e-3, 80, 999, dtype="float32")),
    ],
    ids=["whole_power", "by_element", "exp", "log", "exp float32", "log float32"],
)
def test_an_entry_has_the_same_bits_alone_and_at_any_place(compute, x):
    whole = compute(x)
    alone = np.concatenate([compute(x[i : i + 1]) for i in range(0, len(x), 7)])
    np.testing.assert_array_equal(whole[::7], alone)
    for start in range(1, 9):
        np.testing.assert_array_equal(whole[start : start + 100], compute(x[start : start + 100]))
    np.testing.assert_array_equal(whole[::3], compute(x[::3]))


def test_whole_powers_are_those_of_the_math_library():
    t = np.array([0, 1, 2, 1023, 1024, 1025, 70_000])
    np.testing.assert_allclose(repeatable.whole_power(0.999, t), [math.pow(0.999, i) for i in t], rtol=5e-16)
    np.testing.assert_array_equal(repeatable.power(1.5, [0.0, 2.0, 1e6]), [1, 2.25, np.inf])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_coefficients_do_not_depend_on_the_steps_of_a_call(name):
    optimizer = OPTIMIZERS.resolve(name)
    t = np.arange(1, 3000)
    whole = optimizer.coefficients(t, optimizer.learning_rates(t))
    for start in (0, 1, 100, 1022, 1023, 1024, 2500):
        part = t[start : start + 37]
        np.testing.assert_array_equal(
            optimizer.coefficients(part, optimizer.learning_rates(part)), whole[start : start + 37]
        )
        one = t[start : start + 1]
        np.testing.assert_array_equal(optimizer.coefficients(one, optimizer.learning_rates(one)), whole[[start]])


@pytest.mark.parametrize("shape", [(40, 7), (7, 7), (300, 60)])
def test_orthonormal_columns_are_lapacks(shape):
    a = np.random.default_rng(0).standard_normal(shape)
    q, r = np.linalg.qr(a)
    np.testing.assert_allclose(repeatable.orthonormal_columns(a), q * np.sign(np.diag(r)), atol=1e-12)


def test_products_are_those_of_blas():
    rng = np.random.default_rng(0)
    for m, k, n in [(1, 1, 1), (5, 3, 2), (70, 300, 41)]:
        a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
        np.testing.assert_allclose(arraymath.matmul(a.T.copy().T, b), a @ b, atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: fastbp.Dense(200, kernel_initializer="orthogonal"),
        lambda: fastbp.Dense(200, kernel_initializer="unit_variance", bias_initializer="minus_random_products"),
    ],
)
def test_initial_parameters_do_not_depend_on_the_threads_of_blas(layer):
    x = np.random.default_rng(0).standard_normal((3000, 200))
    found = []
    for n in (1, 2):
        with threadpool_limits(n):
            model = fastbp.Sequential([layer()], seed=0)
            fastbp.initialize_from_data(model, x)
            found.append(model.params.tobytes())
    assert found[0] == found[1]
