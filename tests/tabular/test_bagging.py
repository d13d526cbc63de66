"""The training of tabular ensembles: cuts, running means, the best epoch, time limits, threads."""

from dataclasses import replace
from threading import get_ident

import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp.compiler.compiling import working_time
from fastbp.tabular import bagging, network_training
from fastbp.tabular import ensemble as ensemble_module
from fastbp.tabular.bagging import Ensemble, mean_outputs, train_ensemble
from fastbp.tabular.encoding import TableEncoder
from fastbp.tabular.folds import ALL_ALIKE, cut
from fastbp.tabular.network_training import Learned, Part, RunningMean, epochs_of, late_fall, learn
from fastbp.tabular.networks import knots
from fastbp.tabular.objectives import classification_objective, regression_objective
from fastbp.tabular.recipe import MOST_EMBEDDED, PRESETS
from fastbp.tabular.time_limit import Costs, Pace, Plan, planned

RECIPE = replace(
    PRESETS["default"], folds=3, networks=3, epochs=3, least_steps=1, batch_size=64, hidden=((16,),), n_frequencies=4
)


def table(n=300, seed=0):
    """Return an encoder, a part and an objective: numbers, a plain column and codes; three classes."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=n), "zero": np.where(rng.random(n) < 0.8, 0, rng.exponential(size=n))})
    frame["flag"], frame["town"] = rng.random(n) < 0.5, rng.integers(0, 12, n).astype(str)
    classes = np.digitize(frame["x"] + (frame["zero"] > 0), [-0.3, 0.6])
    encoder = TableEncoder()
    return encoder, Part(encoder.fit_transform(frame), classes), classification_objective(3)


def train(recipe=RECIPE, **settings):
    encoder, part, objective = table()
    return train_ensemble(encoder, part, recipe=recipe, objective=objective, seed=1, **settings)


def parameters(ensemble):
    return [network.params.tobytes() for network in ensemble.networks]


@pytest.mark.parametrize("n_folds", [2, 5])
def test_every_row_is_left_out_by_one_network_of_each_round(n_folds):
    targets = np.random.default_rng(0).integers(0, 3, 50)
    pairs = cut(targets, n_folds, 2 * n_folds, 7, stratify=True)
    for first in (0, n_folds):
        left_out = np.concatenate([valid for _, valid in pairs[first : first + n_folds]])
        assert sorted(left_out) == list(range(50))
    for rows, valid in pairs:
        assert sorted([*rows, *valid]) == list(range(50))
    shares = [np.bincount(targets[valid], minlength=3) for _, valid in pairs]
    assert np.ptp(shares, axis=0).max() <= 1
    assert not np.array_equal(pairs[0][1], pairs[n_folds][1])


def test_cuts_of_few_rows():
    assert [len(valid) for _, valid in cut(np.zeros(2, int), 5, 5, 0, stratify=True)] == [1] * 5
    (rows, valid), _ = cut(np.zeros(1, int), 5, 2, 0, stratify=False)
    assert rows.tolist() == valid.tolist() == [0]
    assert len(cut(np.arange(6), 5, 5, 0, stratify=True)) == 5  # no class can be stratified


def test_running_mean_by_hand():
    mean = RunningMean(np.zeros(1), horizon=10.0)
    for value in (1.0, 3.0):
        mean.add(np.array([value]), 2)
    assert mean.value == pytest.approx([2.0])  # all steps weigh the same at first
    for _ in range(20):
        mean.add(np.array([5.0]), 2)
    before = mean.value.copy()
    mean.add(np.array([7.0]), 2)
    assert mean.value == pytest.approx(np.exp(-0.2) * before + (1 - np.exp(-0.2)) * 7.0)


def test_late_fall():
    np.testing.assert_allclose(late_fall(np.array([0, 0.49, 0.75, 1])), [1, 1, 0.5, 0], atol=1e-12)


def test_few_rows_have_more_epochs():
    recipe = replace(RECIPE, epochs=10, least_steps=100, batch_size=50)
    assert [epochs_of(n, recipe) for n in (10, 50, 149, 499, 500, 5000)] == [100, 100, 50, 12, 10, 10]


class Scored:
    """A learner whose epochs have the given scores."""

    def __init__(self, scores):
        self.scores, self.epochs, self.done = scores, len(scores), 0
        self.engine = self

    params = np.zeros(1)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def run_epoch(self, stop):
        self.done += 1
        return stop()

    def better(self, best, epoch, valid):
        score = self.scores[epoch - 1]
        return best if best is not None and best[0].score < score else (Learned(epoch, score, None), np.zeros(1))


@pytest.mark.parametrize(
    ("scores", "best", "done"),
    [
        ([5, 4, 3, 2, 1, 1, 1, 1], 8, 8),  # of equals the last
        ([5, 1, 3, 3, 3, 3, 3, 3], 2, 4),  # learned by heart: half of the epochs tell
        ([1, 3, 3, 3, 3, 3, 3, 3], 1, 4),
        ([5, 4, 1, 3, 3, 3, 3, 0], 3, 6),
        ([5, 4, 3, 1, 3, 3, 3, 2], 4, 8),
    ],
)
def test_training_ends_where_no_later_epoch_is_better(scores, best, done):
    scored = Scored(scores)
    assert learn(scored, None, lambda: False, lambda share: None).epoch == best
    assert scored.done == done


def test_knots_follow_rows_and_distinct_values():
    values = np.r_[np.zeros(980), np.arange(1.0, 21.0)]
    found = np.array(knots(values, 16))
    assert (np.diff(found) > 0).all()
    assert found[0] == 0
    assert found[-1] == 20
    assert (found > 1).sum() >= 12  # the quantiles of the rows are all 0
    assert knots(np.full(5, 3.0), 16) == [3.0, 4.0]


def test_the_same_bits_at_one_and_two_threads():
    found = set()
    for n in (1, 2):
        fastbp.set_num_threads(n)
        found.add(tuple(parameters(train())))
    fastbp.set_num_threads(None)
    assert len(found) == 1
    assert len(set(next(iter(found)))) == 3  # networks differ


def test_each_network_has_the_parameters_of_its_best_epoch():
    _, part, objective = table()
    ensemble = train()
    for network, (_, valid), told in zip(
        ensemble.networks, cut(part.targets, 3, 3, 1, True), ensemble.history, strict=True
    ):
        outputs = network.predict(part.x[valid])
        assert objective.score(outputs, part.targets[valid]) == pytest.approx(told["score"], rel=1e-6)
        np.testing.assert_allclose(ensemble.oof_outputs[valid], outputs, rtol=1e-5)
        assert 1 <= told["best_epoch"] <= RECIPE.epochs
    mean = np.mean([network.predict(part.x) for network in ensemble.networks], axis=0)
    np.testing.assert_allclose(ensemble.outputs(part.x), mean, rtol=1e-5)


@pytest.mark.parametrize(("networks", "share"), [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (6, 2 / 6)])
def test_the_share_of_networks_that_did_not_see_a_row(networks, share):
    assert train(replace(RECIPE, epochs=1, networks=networks)).oof_share == pytest.approx(share)


@pytest.mark.parametrize(("n_rows", "networks", "batch_size"), [(2499, 6, 64), (2500, 3, 256)])
def test_few_rows_have_their_own_numbers_of_networks_and_of_rows_a_step(n_rows, networks, batch_size):
    recipe = PRESETS["fast"].suited(n_rows)
    assert (recipe.networks, recipe.batch_size) == (networks, batch_size)


def test_networks_take_turns_in_width():
    ensemble = train(replace(RECIPE, epochs=1, hidden=((8,), (16, 4))))
    assert [network.views["dense/kernel"].shape[1] for network in ensemble.networks] == [8, 16, 8]


def test_it_learns_what_there_is_to_learn():
    encoder, part, objective = table(1000)
    recipe = replace(RECIPE, epochs=12)
    ensemble = train_ensemble(encoder, part, recipe=recipe, objective=objective, seed=0)
    assert (ensemble.oof_outputs.argmax(axis=1) == part.targets).mean() > 0.9


def test_weights_stand_for_repeated_rows_in_the_loss_and_the_score():
    encoder, part, objective = table()
    ones = part._replace(weight=np.ones(len(part.x), np.float32))
    assert parameters(train()) == parameters(train_ensemble(encoder, ones, recipe=RECIPE, objective=objective, seed=1))
    some = part._replace(weight=np.where(part.targets == 0, 3, 0.1).astype(np.float32))
    heavy = train_ensemble(encoder, some, recipe=RECIPE, objective=objective, seed=1)
    assert heavy.outputs(part.x)[:, 0].mean() > train().outputs(part.x)[:, 0].mean() + 0.05


def test_validation_rows_of_the_user():
    encoder, part, objective = table()
    ensemble = train_ensemble(
        encoder, part.rows(slice(0, 200)), recipe=RECIPE, objective=objective, seed=0, valid=part.rows(slice(200, 300))
    )
    assert ensemble.oof_outputs is None
    score = objective.score(ensemble.networks[0].predict(part.x[200:]), part.targets[200:])
    assert score == pytest.approx(ensemble.history[0]["score"], rel=1e-6)


def test_a_time_limit_leaves_networks_out_and_cuts_epochs(monkeypatch):
    monkeypatch.setattr(bagging, "ENOUGH_EPOCHS", 10**6)
    long = replace(RECIPE, epochs=10**6, networks=9)
    train(replace(RECIPE, epochs=1))  # the kernels are there
    started = working_time()
    ensemble = train(long, deadline=started + 1.0)
    assert 1 <= len(ensemble.networks) < 9
    assert not ensemble.interrupted
    assert np.isfinite(ensemble.outputs(table()[1].x)).all()
    late = train(long, deadline=working_time() - 1.0)
    assert len(late.networks) == 1


class TestPlan:
    """What a time limit allows, by a clock that the tests set."""

    WHOLE = Plan(epochs=100, n_steps=50, most_group=16)

    def test_without_need_nothing_changes(self):
        assert planned(self.WHOLE, 1000.0, Costs(0.1, 0.01, 0.1), 5, 0.1, 24) == self.WHOLE

    @pytest.mark.parametrize(
        ("left", "costs", "epochs"),
        [
            (500.0, Costs(0.0, 0.02, 0.0), 100),  # 1 s an epoch, 5 rounds
            (400.0, Costs(0.0, 0.02, 0.0), 80),
            (400.0, Costs(20.0, 0.02, 0.0), 60),  # each round begins with building
            (400.0, Costs(0.0, 0.02, 10.0), 40),  # a validation of 10 s every tenth epoch
            (50.0, Costs(0.0, 0.02, 0.0), 24),  # fewer networks rather than fewer epochs
            (10.0, Costs(99.0, 0.02, 0.0), 10),  # the first network is built already
        ],
    )
    def test_epochs(self, left, costs, epochs):
        plan = planned(self.WHOLE, left, costs, 5, 0.1, 24)
        assert (plan.epochs, plan.n_steps) == (epochs, 50)

    @pytest.mark.parametrize(("left", "n_steps"), [(0.5, 25), (0.02, 1), (0.0, 1), (-9.0, 1)])
    def test_less_than_an_epoch(self, left, n_steps):
        assert planned(self.WHOLE, left, Costs(0.0, 0.02, 0.0), 5, 0.1, 24) == (1, n_steps, 1)

    def test_slow_steps_are_done_one_by_one(self):
        groups = [
            planned(self.WHOLE, 10.0, Costs(0.0, step, 0.0), 5, 0.1, 24).most_group for step in (0.005, 0.03, 1.0)
        ]
        assert groups == [16, 3, 1]

    def test_what_follows_is_kept_back(self):
        now = [100.0]
        pace = Pace(110.0, lambda: now[0])
        assert pace.left() == 10.0
        pace.reserve(4.0)
        assert pace.left() == 6.0
        pace.note(5.0)
        assert pace.another()
        now[0] = 103.0
        assert not pace.another()
        assert not pace.stop()
        now[0] = 106.0
        assert pace.stop()

    def test_all_that_follows_training_is_counted(self):
        encoder, part, objective = table()
        settings = (encoder, part, RECIPE, objective, 0, None, ALL_ALIKE, working_time() + 1e6, None)
        training = bagging.Training(*settings)
        first, further = training._following_seconds()
        assert further == pytest.approx(bagging.OUTPUT_SECONDS * 100 * 3)  # a third of the rows, three classes
        assert first - further == pytest.approx(
            bagging.INPUT_SECONDS * part.x.size + bagging.TEMPERATURE_SECONDS * 100 * 3
        )
        before = training.pace.left()
        plan = training._plan()
        assert plan.epochs == RECIPE.epochs
        assert before - training.pace.left() > first
        assert training.least_seconds > first

    def test_the_trial_leaves_no_trace(self):
        assert parameters(train(deadline=working_time() + 1e6)) == parameters(train())


def test_many_numeric_columns_have_no_functions():
    recipe = PRESETS["fast"]
    assert recipe.suited(5000, MOST_EMBEDDED) == recipe
    wide = recipe.suited(5000, MOST_EMBEDDED + 1)
    assert (wide.n_frequencies, wide.n_knots, wide.networks) == (0, 0, recipe.networks)
    network = fastbp.TabularRegressor("fast", time_limit=1e-3, random_state=0)
    x = np.random.default_rng(0).normal(size=(40, MOST_EMBEDDED + 1))
    network.fit(x, x[:, 0])
    assert "dense/kernel" in network.ensemble_.networks[0].views
    assert network.ensemble_.networks[0].views["dense/kernel"].shape == (MOST_EMBEDDED + 1, 128)


def test_many_rows_are_predicted_in_blocks(monkeypatch):
    ensemble, part = train(replace(RECIPE, epochs=1)), table()[1]
    whole = ensemble.outputs(part.x)
    monkeypatch.setattr(ensemble_module, "BLOCK", 3 * 128)
    np.testing.assert_allclose(ensemble.outputs(part.x), whole, rtol=1e-6)


def test_rows_that_all_networks_train_on_take_no_memory():
    ensemble = train(replace(RECIPE, epochs=1, networks=1))
    assert ensemble.unseen.outputs.shape == (100, 3)
    assert np.isnan(ensemble.oof_outputs).all(axis=1).sum() == 200


def test_pace():
    pace = Pace(None)
    assert pace.another()
    assert not pace.stop()
    pace.interrupt()
    assert pace.stop()
    assert not pace.another()
    soon = Pace(working_time() + 1.0)
    soon.note(100.0)
    assert not soon.another()
    assert not soon.stop()


def test_ctrl_c_keeps_what_there_is(monkeypatch):
    def interrupted(futures, return_when):
        raise KeyboardInterrupt

    monkeypatch.setattr(bagging, "wait", interrupted)
    ensemble = train(replace(RECIPE, epochs=10**6))
    assert ensemble.interrupted
    assert 1 <= len(ensemble.networks) <= 3


def test_an_error_in_a_thread_ends_all(monkeypatch, run_threads):
    """The other network, whose scores are in order, ends early in its million epochs."""
    run_threads(2)
    # One in ten epochs, in place of one in 83,333.
    monkeypatch.setattr(network_training, "MOST_VALIDATIONS", 10**5)
    encoder, part, objective = table()
    scorers, failed, told = [], [], []

    class Failing:
        def __getattr__(self, name):
            return getattr(objective, name)

        def score(self, *arguments):
            scorers.append(get_ident())
            if len(set(scorers)) == 2 and not failed:
                failed.append(len(scorers))
                raise ZeroDivisionError("of a metric")
            return objective.score(*arguments)

    recipe = replace(RECIPE, epochs=10**6)
    with pytest.raises(ZeroDivisionError, match="of a metric"):
        train_ensemble(encoder, part, recipe=recipe, objective=Failing(), seed=0, progress=told.append)
    # The other network has judged what it had when it was stopped.
    assert set(scorers[failed[0] :]) - {scorers[failed[0] - 1]}
    assert len(told) < 10**6


def test_progress_rises_to_the_end():
    told = []
    train(progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) == 9


def test_regression_and_files():
    encoder, part, _ = table()
    values = part.x[:, :1] * 2
    values = (values - values.mean()) / values.std()
    part = part._replace(targets=values)
    objective = regression_objective()
    recipe = replace(RECIPE, epochs=30)
    ensemble = train_ensemble(encoder, part, recipe=recipe, objective=objective, seed=0)
    assert np.mean((ensemble.oof_outputs - values) ** 2) < 0.1
    again = Ensemble.from_state(*ensemble.get_state())
    np.testing.assert_array_equal(again.outputs(part.x), ensemble.outputs(part.x))
    assert again.history == ensemble.history


def test_mean_outputs():
    rows = [np.array([0, 1]), np.array([1])]
    found = mean_outputs(3, rows, [np.array([[1.0], [2.0]]), np.array([[4.0]])])
    np.testing.assert_array_equal(found, np.array([[1.0], [3.0], [np.nan]], np.float32))
