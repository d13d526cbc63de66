"""Epochs that are one compiled call together give what they give one by one."""

import signal
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning

import fastbp
from fastbp.engine.interruptible_steps import Stretches
from fastbp.estimators import stochastic

X, Y = load_breast_cancer(return_X_y=True)
X, Y = ((X - X.mean(0)) / X.std(0))[:203], Y[:203]
WEIGHT = np.random.default_rng(0).uniform(0.1, 2.0, len(X))

# The first epochs go well, the loss of the third is no longer finite.
DIVERGING_RATE = 0.13
MODES = {
    "adam": {},
    "dropout": {"dropout": 0.2},
    "in order": {"shuffle": False},
    "endless": {"n_iter_no_change": np.inf},
    "schedule": {"learning_rate": "cosine_decay"},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.05, "power_t": 0.3},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 2, "max_iter": 200},
    "stops": {"tol": 0.05, "n_iter_no_change": 3},
    "diverges": {
        "solver": "sgd",
        "activation": "identity",
        "learning_rate_init": DIVERGING_RATE,
        "momentum": 0.0,
        "alpha": 0.0,
    },
}


@pytest.fixture
def calls(monkeypatch):
    """The steps of each compiled call."""
    calls, run = [], Stretches.run

    def counted(self, steps, update):
        for done, losses in run(self, steps, update):
            calls.append(len(losses))
            yield done, losses

    monkeypatch.setattr(Stretches, "run", counted)
    return calls


def trained(capsys, weight=None, estimator=fastbp.MLPRegressor, **parameters):
    """Return a fit's estimator, and all else that it leaves behind: losses, lines, warnings, the next draw."""
    draws = np.random.RandomState(5)
    mlp = estimator(hidden_layer_sizes=7, batch_size=50, random_state=draws, verbose=True, **parameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if parameters.get("learning_rate_init") == DIVERGING_RATE:
            with pytest.raises(ValueError, match="non-finite"):
                mlp.fit(X, Y, weight)
        else:
            mlp.fit(X, Y, weight)
    state = vars(mlp)
    facts = [state[name] for name in ("loss_curve_", "best_loss_", "n_iter_", "t_", "_no_improvement_count")]
    messages = [(str(warning.message), warning.filename) for warning in caught]
    return mlp, [*facts, mlp.model_.step, capsys.readouterr().out, messages, draws.randint(10**9)]


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weighted"])
@pytest.mark.parametrize("mode", MODES)
def test_the_bits_are_those_of_one_epoch_a_call(mode, weight, calls, capsys, monkeypatch):
    parameters = {"max_iter": 40} | MODES[mode]
    together, facts = trained(capsys, weight, **parameters)
    n_calls = len(calls)
    calls.clear()
    monkeypatch.setattr(stochastic, "MOST_STEPS", 1)
    alone, expected = trained(capsys, weight, **parameters)
    assert calls == [5] * alone.n_iter_
    assert n_calls <= alone.n_iter_ / 2
    np.testing.assert_equal(facts, expected)
    np.testing.assert_array_equal(together.model_.params, alone.model_.params)
    assert np.isnan(alone.loss_) == (mode == "diverges")
    assert together._optimizer == alone._optimizer


def test_a_loss_that_is_not_finite_in_the_middle_of_a_call(calls, capsys):
    mlp, _ = trained(capsys, n_iter_no_change=np.inf, max_iter=40, **MODES["diverges"])
    finite = np.isfinite(mlp.loss_curve_)
    first = int(finite.argmin())
    assert finite[:first].all()
    assert not finite[first:].any()
    ends = np.cumsum(calls) // 5
    assert 0 < first not in ends
    assert np.isnan(mlp.model_.params).all()
    assert (mlp.n_iter_, mlp.model_.step) == (40, 200)


@pytest.mark.parametrize(
    "parameters",
    [{"callbacks": [fastbp.Callback()]}, {"early_stopping": True}],
    ids=["callbacks", "early stopping"],
)
def test_one_epoch_a_call_where_something_looks_in_between(parameters, calls, capsys):
    mlp, _ = trained(capsys, estimator=fastbp.MLPClassifier, max_iter=6, **parameters)
    assert len(calls) == mlp.n_iter_ == 6


def test_patience_and_the_last_epoch_limit_a_call(calls, capsys):
    trained(capsys, max_iter=18, tol=0.0, n_iter_no_change=6)
    assert calls == [7 * 5, 7 * 5, 4 * 5]
    calls.clear()
    # Only the first epoch improves: after three that do not, the next one ends training.
    mlp, _ = trained(capsys, max_iter=40, tol=100.0, n_iter_no_change=3)
    assert calls == [4 * 5, 5]
    assert mlp.n_iter_ == 5


def test_ctrl_c_in_a_call_of_several_epochs(capsys, monkeypatch, ctrl_c):
    draws, run = [np.random.RandomState(0) for _ in range(2)], Stretches.run

    def interrupted(self, steps, update):
        signal.raise_signal(signal.SIGINT)
        return run(self, steps, update)

    parameters = {"hidden_layer_sizes": 7, "batch_size": 50, "max_iter": 8}
    whole = fastbp.MLPRegressor(random_state=draws[0], **parameters)
    with pytest.warns(ConvergenceWarning):
        whole.fit(X, Y)
    monkeypatch.setattr(Stretches, "run", interrupted)
    mlp = fastbp.MLPRegressor(random_state=draws[1], **parameters)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        mlp.fit(X, Y)
    # The last epoch counts as running: it is left out, its steps are not.
    assert (mlp.n_iter_, mlp.t_, mlp.model_.step) == (7, 7 * len(X), 40)
    assert mlp.loss_curve_ == whole.loss_curve_[:7]
    np.testing.assert_array_equal(mlp.model_.params, whole.model_.params)
    assert draws[0].randint(10**9) == draws[1].randint(10**9)
