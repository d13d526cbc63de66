"""Levenberg-Marquardt: its Jacobian against differences and JAX, its matrices against NumPy, its fits against SciPy."""

import signal

import jax
import numpy as np
import pytest
import scipy.optimize

import fastbp
from fastbp import LSTM, Dense, Dropout, RandomUniform
from fastbp.activations import ACTIVATIONS
from fastbp.layers import LAYERS
from fastbp.solvers import leastsquares
from fastbp.solvers.leastsquares import BLOCK_ROWS, STRIP_ROWS, LeastSquares
from fastbp.solvers.levenberg import Damping, levenberg_marquardt
from tests.layers.test_layers import CASES, between
from tests.layers.test_layers import problem as problem_for
from tests.reference import autodiff

SPREAD = RandomUniform(-1.0, 1.0)


def build(layers, columns=3, dtype="float64", seed=0):
    return fastbp.Sequential(layers, input_shape=(columns,), seed=seed, dtype=dtype)


def tanh_net(hidden=3, outputs=1, columns=1, **settings):
    layers = [Dense(hidden, activation="tanh", bias_initializer=SPREAD), Dense(outputs, bias_initializer=SPREAD)]
    return build(layers, columns, **settings)


def problem(n, columns=3, outputs=1, dtype="float64", seed=1):
    rng = np.random.default_rng(seed)
    return tuple(np.ascontiguousarray(rng.standard_normal((n, m)), dtype) for m in (columns, outputs))


def noisy_sine(n=60, dtype="float64"):
    x = np.linspace(-2, 2, n)[:, None]
    return x.astype(dtype), (np.sin(2 * x) + 0.1 * np.random.default_rng(0).standard_normal((n, 1))).astype(dtype)


def least_squares(model, x, y, weight=None, alpha=0.0):
    return LeastSquares(model.engine, x, y, weight, alpha)


def compiled_jacobian(model, x):
    """J (n, k, P) of the trained parameters: a residual of 1 at one place makes the gradient that row of J."""
    out = model.engine.predict(x)
    rows = []
    for place in np.ndindex(out.shape):
        y = out.copy()
        y[place] -= 1
        equations = least_squares(model, x, y)
        equations.linearize(model.params)
        rows.append(equations.gradient * len(x))
    return np.reshape(rows, (*out.shape, -1))


def jax_jacobian(model, x):
    """J (n, k, P) of the trained parameters."""
    jacobian = jax.jit(jax.jacobian(lambda params: autodiff.outputs(model, params, x)))(model.params)
    return np.asarray(jacobian)[..., autodiff.trainable_entries(model)]


def numeric_jacobian(model, x, epsilon=1e-6):
    """J (n, k, P) of the trained parameters, by central differences."""
    columns = []
    for i in np.flatnonzero(autodiff.trainable_entries(model)):
        kept, outputs = model.params[i], []
        for value in (kept + epsilon, kept - epsilon):
            model.params[i] = value
            outputs.append(model.engine.predict(x))
        model.params[i] = kept
        columns.append((outputs[0] - outputs[1]) / (2 * epsilon))
    return np.stack(columns, axis=-1)


def check_jacobian(model, x=None):
    x = problem(5, *model.engine.network.input_shape)[0] if x is None else x
    found, expected = compiled_jacobian(model, x), jax_jacobian(model, x)
    # A random network whose derivatives all vanish would prove nothing; one softmax output is always 1.
    assert np.abs(expected).max() > 0.01 or model.engine.network.output_activation == ACTIVATIONS["softmax"]()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(found, numeric_jacobian(model, x), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_jacobian_of_every_activation(name, outputs):
    """Hidden and last: several outputs need several backward passes from one forward pass."""
    hidden = Dense(4, activation=name, bias_initializer=SPREAD)
    check_jacobian(build([hidden, Dense(outputs, activation=name, bias_initializer=SPREAD)]))


def without_dropout(layer):
    return not any(placed.spec.draws for placed in build(between(layer), 6).engine.network.layers)


@pytest.mark.parametrize("kind", [kind for kind in CASES if not LAYERS[kind].training_only])
def test_jacobian_of_every_layer(kind):
    """Each between two dense ones; several outputs again."""
    cases = [layer for layer in CASES[kind] if without_dropout(layer)]
    for layer in (cases[0], cases[-1]):
        check_jacobian(build(between(layer), 6), problem_for(layer, 5)[0].astype(float))


@pytest.mark.parametrize("rows", [1, 40, 2 * BLOCK_ROWS + 45])
@pytest.mark.parametrize("outputs", [1, 3])
def test_normal_equations(rows, outputs):
    model = tanh_net(14, outputs, 3)  # more parameters than a strip has rows
    assert model.params.size > STRIP_ROWS
    x, y = problem(rows, 3, outputs)
    weight = np.random.default_rng(2).uniform(0, 3, rows)
    alpha = 0.7
    equations = least_squares(model, x, y, weight, alpha)
    equations.linearize(model.params)
    jacobian, p = jax_jacobian(model, x), model.params.size
    residuals = np.asarray(autodiff.outputs(model, model.params, x)) - y
    share = weight / weight.sum()
    kernels = np.zeros(p)
    for placed in model.engine.network.params:
        kernels[placed.start : placed.stop] = placed.name.endswith("kernel")
    penalty = alpha / weight.sum() * kernels
    matrix = np.einsum("i,ijp,ijq->pq", share, jacobian, jacobian) + np.diag(penalty)
    gradient = np.einsum("i,ijp,ij->p", share, jacobian, residuals) + penalty * model.params
    objective = 0.5 * (share @ residuals**2).sum() + 0.5 * penalty @ model.params**2
    np.testing.assert_allclose(np.triu(equations.matrix[:, :p]), np.triu(matrix), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(equations.gradient, gradient, rtol=1e-10, atol=1e-12)
    assert equations.objective(model.params) == pytest.approx(objective, rel=1e-12)
    # The damped step
    step = np.linalg.solve(matrix + 0.1 * np.eye(p), -gradient)
    np.testing.assert_allclose(equations.solve(0.1), step, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [1, STRIP_ROWS, 2 * STRIP_ROWS + 17])
def test_solution_of_any_size(size):
    model = build([Dense(1, use_bias=False)], size)
    equations = least_squares(model, *problem(size + 5, size))
    equations.linearize(model.params)
    matrix = np.triu(equations.matrix[:, :size])
    matrix += np.triu(matrix, 1).T
    np.testing.assert_allclose(matrix @ equations.solve(0.0), -equations.gradient, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("entry", [-1.0, 0.0, np.nan, np.inf])
def test_no_step_where_the_matrix_is_not_positive_definite(entry):
    model = tanh_net(20)
    equations = least_squares(model, *problem(30, 1))
    equations.linearize(model.params)
    equations.matrix[57, 57:] = 0.0
    equations.matrix[57, 57] = entry
    equations.matrix[:57, 57] = 0.0
    assert equations.solve(0.0) is None


def scipy_optimum(model, x, y):
    """F at the optimum that SciPy's lm finds from the model's parameters."""
    start = model.params.copy()

    def residuals(params):
        model.params[:] = params
        return (model.engine.predict(x) - y).ravel()

    def jacobian(params):
        return jax_outputs_jacobian(params).reshape(-1, params.size)

    jax_outputs_jacobian = jax.jit(jax.jacobian(lambda params: autodiff.outputs(model, params, x)))
    found = scipy.optimize.least_squares(residuals, start, jacobian, method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14)
    model.params[:] = start
    return found.cost / len(x)


@pytest.mark.parametrize(("outputs", "seed"), [(1, 1), (2, 3)])
def test_finds_scipy_s_optimum(outputs, seed):
    """From starts that lead both to the same optimum, which lies at finite parameters."""
    x, y = noisy_sine()
    y = np.ascontiguousarray(np.hstack([y, y**2])[:, :outputs])
    model = tanh_net(3, outputs, seed=seed)
    expected = scipy_optimum(model, x, y)
    result = levenberg_marquardt(model.engine, x, y, max_iter=1000, tol=1e-7)
    assert result.converged
    assert result.loss_curve[-1] == pytest.approx(expected, rel=1e-8)
    out = model.engine.predict(x)
    assert result.loss_curve[-1] == pytest.approx(0.5 * ((out - y) ** 2).sum() / len(x), rel=1e-12)


def test_linear_network_reaches_the_ridge_solution():
    x, y = problem(50, 4, 2)
    weight = np.random.default_rng(3).uniform(0.5, 2, 50)
    model = build([Dense(2)], 4)
    alpha = 1.5
    result = levenberg_marquardt(model.engine, x, y, weight, alpha=alpha, tol=1e-10)
    ones = np.hstack([x, np.ones((50, 1))])
    # (x^T W x + alpha) kernel = x^T W y, without a penalty on the bias
    penalty = np.diag([alpha] * 4 + [0.0])
    expected = np.linalg.solve(ones.T @ (weight[:, None] * ones) + penalty, ones.T @ (weight[:, None] * y))
    np.testing.assert_allclose(model.views["dense/kernel"], expected[:4], rtol=1e-8)
    np.testing.assert_allclose(model.views["dense/bias"], expected[4], rtol=1e-8)
    assert result.reason == "gradient"
    assert result.n_iter < 10


def test_weights_are_repeated_rows():
    x, y = noisy_sine(40)
    times = np.random.default_rng(4).integers(0, 4, 40)
    weighted, repeated = tanh_net(), tanh_net()
    one = levenberg_marquardt(weighted.engine, x, y, times.astype(float), alpha=0.01, max_iter=30)
    other = levenberg_marquardt(repeated.engine, x.repeat(times, 0), y.repeat(times, 0), alpha=0.01, max_iter=30)
    np.testing.assert_allclose(one.loss_curve, other.loss_curve, rtol=1e-9)


def test_alpha_shrinks_kernels():
    x, y = noisy_sine()
    norms = []
    for alpha in (0.0, 0.1, 10.0):
        model = tanh_net()
        levenberg_marquardt(model.engine, x, y, alpha=alpha)
        norms.append(sum((model.views[name] ** 2).sum() for name in ("dense/kernel", "dense_1/kernel")))
    assert norms[0] > norms[1] > norms[2]


@pytest.mark.parametrize("seed", range(5))
def test_sine_in_few_iterations(seed):
    """MATLAB's first example of trainlm."""
    x = np.linspace(-1, 1, 101)[:, None]
    model = build(
        [
            Dense(
                10, activation="tanh", kernel_initializer=RandomUniform(-7, 7), bias_initializer=RandomUniform(-7, 7)
            ),
            Dense(1),
        ],
        1,
        seed=seed,
    )
    result = levenberg_marquardt(model.engine, x, np.sin(2 * np.pi * x), max_iter=50)
    assert result.loss_curve[-1] < 1e-6
    assert all(np.diff(result.loss_curve) <= 0)


def test_float32():
    x, y = noisy_sine(dtype="float32")
    single, double = tanh_net(dtype="float32", seed=1), tanh_net(seed=1)
    double.params[:] = single.params
    result = levenberg_marquardt(single.engine, x, y, max_iter=100)
    expected = levenberg_marquardt(double.engine, x.astype("f8"), y.astype("f8"), max_iter=100)
    assert single.params.dtype == np.float32
    assert result.converged
    assert result.loss_curve[-1] == pytest.approx(expected.loss_curve[-1], rel=1e-4)


def test_normal_equations_of_float32_are_in_float64():
    """Products of float32 derivatives lose nothing."""
    model = build([Dense(1, use_bias=False)], 2, dtype="float32")
    x = np.array([[1, 1 + 2**-12]] * 3, "float32")
    equations = least_squares(model, x, np.zeros((3, 1), "float32"))
    equations.linearize(model.params)
    np.testing.assert_allclose(equations.matrix[1, 1], (1 + 2**-12) ** 2, rtol=1e-15)


def test_frozen_layers_stay():
    x, y = noisy_sine()
    layers = [
        Dense(4, activation="tanh", bias_initializer=SPREAD),
        Dense(5, activation="tanh", trainable=False),
        Dense(1),
    ]
    model = build(layers, 1)
    before = {name: view.copy() for name, view in model.views.items()}
    result = levenberg_marquardt(model.engine, x, y, max_iter=20)
    assert result.loss_curve[-1] < 0.5 * result.loss_curve[0]
    for name, view in model.views.items():
        assert (view == before[name]).all() == name.startswith("dense_1/"), name


def test_nothing_to_train():
    for layer in (Dense(1, trainable=False), fastbp.Flatten()):
        with pytest.raises(ValueError, match="nothing to train: no layer has parameters and trainable=True"):
            levenberg_marquardt(build([layer], 1).engine, *noisy_sine())


def test_same_bits_at_any_number_of_threads_and_calls(run_threads, monkeypatch):
    x, y = problem(3 * BLOCK_ROWS + 70, 5, 2)
    results = []
    for n, per_call in ((1, 3e9), (1, 1), (2, 3e9), (3, 1)):
        run_threads(n)
        monkeypatch.setattr(leastsquares, "THREAD_MULTIPLY_ADDS", 0)
        monkeypatch.setattr(leastsquares, "CALL_MULTIPLY_ADDS", per_call)
        model = tanh_net(12, 2, 5)
        result = levenberg_marquardt(model.engine, x, y, alpha=0.1, max_iter=5)
        assert set(run_threads.used) == ({n} if n > 1 else set())
        results.append((model.params.tobytes(), result))
    assert all(result == results[0] for result in results)


def test_small_problems_start_no_thread(run_threads):
    run_threads(2)
    levenberg_marquardt(tanh_net().engine, *noisy_sine(), max_iter=3)
    assert run_threads.used == []


def test_too_many_parameters():
    model = build([Dense(500), Dense(1)], 3)
    before = model.params.copy()
    with pytest.raises(ValueError, match=r'at most 2,000 parameters, this network has 2,501: .*"lbfgs" or "adam"'):
        levenberg_marquardt(model.engine, *problem(10))
    assert (model.params == before).all()


def test_parameters_that_are_not_trained_do_not_count():
    model = build([Dense(500, activation="tanh", trainable=False), Dense(1)], 3)
    assert levenberg_marquardt(model.engine, *problem(10), max_iter=1).n_iter == 1


@pytest.mark.parametrize(("layer", "name"), [(Dropout(0.1), "dropout"), (LSTM(3, recurrent_dropout=0.1), "lstm")])
def test_dropout_is_refused(layer, name):
    model = build(between(layer), 6)
    with pytest.raises(ValueError, match=rf"cannot train with a {type(layer).__name__} layer \('{name}'\)"):
        levenberg_marquardt(model.engine, *problem(10, 6))


def test_start_that_is_not_finite():
    model = tanh_net()
    x, y = noisy_sine()
    y[3] = np.nan
    before = model.params.copy()
    with pytest.raises(ArithmeticError, match="the loss at the start is nan"):
        levenberg_marquardt(model.engine, x, y)
    assert (model.params == before).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_trial_that_is_not_finite_is_rejected(monkeypatch, bad):
    model = tanh_net()
    values, objective = [], LeastSquares.objective

    def third_and_fourth_bad(self, params):
        values.append(bad if len(values) in (2, 3) else objective(self, params))
        return values[-1]

    monkeypatch.setattr(LeastSquares, "objective", third_and_fourth_bad)
    result = levenberg_marquardt(model.engine, *noisy_sine(), max_iter=20)
    assert len(values) > 10
    assert np.isfinite(result.loss_curve).all()
    assert all(np.diff(result.loss_curve) <= 0)
    monkeypatch.undo()
    assert least_squares(model, *noisy_sine()).objective(model.params) == result.loss_curve[-1]


def test_matrix_that_overflows_ends_the_fit():
    model = build([Dense(1, kernel_initializer="zeros")], 1)
    result = levenberg_marquardt(model.engine, np.full((4, 1), 1e200), np.ones((4, 1)))
    assert (result.reason, result.converged, result.loss_curve) == ("damping", False, [0.5])
    assert (model.params == 0).all()


def test_reasons_to_end():
    x, y = noisy_sine()
    result = levenberg_marquardt(tanh_net().engine, x, y, max_iter=4)
    assert (result.reason, result.converged, result.n_iter) == ("max_iter", False, 4)
    assert len(result.loss_curve) == 4
    assert result.damping > 0
    model = tanh_net()
    result = levenberg_marquardt(model.engine, x, y, max_iter=1000, tol=1e-3)
    assert (result.reason, result.converged) == ("gradient", True)
    # There, the start is good enough for the loose tolerance and not for a strict one.
    assert levenberg_marquardt(model.engine, x, y, tol=1e-3).n_iter == 1
    assert levenberg_marquardt(model.engine, x, y, tol=1e-8).n_iter > 1


def test_exact_fit_ends():
    """Residuals go to 0 and so never become orthogonal to J."""
    x, _ = problem(30, 2)
    teacher, student = tanh_net(3, 1, 2, seed=5), tanh_net(3, 1, 2, seed=50)
    result = levenberg_marquardt(student.engine, x, teacher.engine.predict(x), max_iter=500)
    assert result.converged
    assert result.loss_curve[-1] < 1e-20


def test_on_iteration_tells_and_stops():
    told = []

    def after(iteration, objective):
        told.append((iteration, objective))
        return iteration == 3

    result = levenberg_marquardt(tanh_net().engine, *noisy_sine(), on_iteration=after)
    assert told == list(enumerate(result.loss_curve, start=1))
    assert (result.reason, result.converged, result.n_iter) == ("stopped", False, 3)


def test_interrupt_leaves_the_best_parameters(monkeypatch, ctrl_c):
    """Between two iterations, and while a trial is looked at."""
    model = tanh_net()
    told, tried, objective = [], [], LeastSquares.objective

    def interrupt_fifth(iteration, value):
        told.append(value)
        if iteration == 5:
            signal.raise_signal(signal.SIGINT)

    def interrupt_fourth(self, params):
        tried.append(objective(self, params))
        if len(tried) == 4:
            signal.raise_signal(signal.SIGINT)
        return tried[-1]

    with pytest.raises(KeyboardInterrupt):
        levenberg_marquardt(model.engine, *noisy_sine(), on_iteration=interrupt_fifth)
    assert len(told) == 5
    assert least_squares(model, *noisy_sine()).objective(model.params) == told[-1]
    monkeypatch.setattr(LeastSquares, "objective", interrupt_fourth)
    with pytest.raises(KeyboardInterrupt):
        levenberg_marquardt(model.engine, *noisy_sine())
    assert objective(least_squares(model, *noisy_sine()), model.params) == min(tried[:3])


def test_rule_of_damping():
    """Madsen, Nielsen and Tingleff, 2004, equation 2.21."""
    damping = Damping(1.0)
    damping.rise()
    damping.rise()
    damping.rise()
    assert damping.value == 2 * 4 * 8
    for gain, factor in ((1.0, 1 / 3), (0.5, 1.0), (0.25, 1.125), (0.0, 2.0), (3.0, 1 / 3)):
        damping = Damping(6.0)
        damping.rise()
        damping.lower(gain)
        assert damping.value == pytest.approx(12 * factor)
        assert damping.growth == 2
