"""What the estimators have beyond scikit-learn's, their solvers, and what they say to bad input."""

import signal
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.class_weight import compute_sample_weight

import fastbp
from fastbp import MLPClassifier, MLPRegressor
from fastbp.engine import threads
from fastbp.estimators.names import known_activations, known_learning_rates, known_solvers

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS, SPECIES = load_iris(return_X_y=True)
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
DIABETES, PROGRESS = DIABETES * 20, (PROGRESS - PROGRESS.mean()) / PROGRESS.std()
FEW = {"max_iter": 5, "random_state": 0}


class TestNames:
    @pytest.mark.parametrize("activation", sorted(known_activations()))
    def test_every_activation_trains(self, activation):
        curve = MLPClassifier((8,), activation, max_iter=20, random_state=0).fit(IRIS, SPECIES).loss_curve_
        assert curve[-1] < curve[0]

    @pytest.mark.parametrize("solver", sorted(known_solvers()))
    def test_every_optimizer_trains(self, solver):
        curve = MLPRegressor(hidden_layer_sizes=8, solver=solver, **FEW).fit(DIABETES, PROGRESS).loss_curve_
        assert curve[-1] < curve[0]

    @pytest.mark.parametrize("learning_rate", sorted(known_learning_rates()))
    @pytest.mark.parametrize("solver", ["sgd", "rmsprop"])
    def test_every_learning_rate_trains(self, solver, learning_rate):
        parameters = {"solver": solver, "learning_rate": learning_rate, "learning_rate_init": 0.002}
        curve = MLPClassifier(**FEW, **parameters).fit(IRIS, SPECIES).loss_curve_
        assert curve[-1] < curve[0]

    @pytest.mark.parametrize(
        ("by_name", "by_object"),
        [
            ({"activation": "leaky_relu"}, {"activation": fastbp.LeakyReLU(0.2)}),
            ({"activation": "logistic"}, {"activation": "sigmoid"}),
            ({"activation": "identity"}, {"activation": "linear"}),
            ({"solver": "lion"}, {"solver": fastbp.Lion(0.001)}),
            ({"solver": "adam"}, {"solver": fastbp.Adam(0.001, epsilon=1e-8)}),
            ({"learning_rate": "cosine_decay"}, {"learning_rate": fastbp.CosineDecay(0.001, 5)}),
            ({"learning_rate": "one_cycle"}, {"learning_rate": fastbp.OneCycle(0.001, 5)}),
        ],
        ids=str,
    )
    def test_names_and_objects_mean_the_same(self, by_name, by_object):
        first, second = (MLPClassifier(**FEW, **given).fit(IRIS, SPECIES) for given in (by_name, by_object))
        np.testing.assert_array_equal(first.model_.params, second.model_.params)

    def test_an_optimizer_object_is_not_changed(self):
        optimizer = fastbp.SGD(0.1, momentum=0.5)
        mlp = MLPClassifier(solver=optimizer, learning_rate="invscaling", **FEW).fit(IRIS, SPECIES)
        assert mlp._optimizer.learning_rate == pytest.approx(0.1 / 751**0.5)
        assert optimizer.learning_rate == 0.1

    def test_one_rule_for_the_learning_rate(self):
        scheduled = fastbp.Adam(fastbp.CosineDecay(0.01, 10))
        with pytest.raises(ValueError, match="learning_rate='adaptive' changes a constant rate, but Adam"):
            MLPClassifier(solver=scheduled, learning_rate="adaptive", **FEW).fit(IRIS, SPECIES)

    @pytest.mark.parametrize("loss", ["mean_absolute_error", "huber", fastbp.Huber(0.5)], ids=str)
    def test_other_losses(self, loss):
        mlp = MLPRegressor(loss, max_iter=50, random_state=0).fit(DIABETES, PROGRESS)
        assert mlp.score(DIABETES, PROGRESS) > 0.4
        assert mlp.out_activation_ == "identity"

    def test_a_loss_needs_an_output_that_suits_it(self):
        with pytest.raises(ValueError, match="binary_crossentropy takes the probabilities of a sigmoid"):
            MLPRegressor(fastbp.BinaryCrossentropy(), **FEW).fit(DIABETES, PROGRESS > 0)


class TestDropout:
    def test_masks_are_drawn_anew_for_every_step_and_from_the_seed(self):
        fits = [MLPClassifier(dropout=rate, **FEW).fit(IRIS, SPECIES) for rate in (0.5, 0.5, 0.0)]
        assert fits[0].loss_curve_ == fits[1].loss_curve_ != fits[2].loss_curve_
        assert [type(layer).__name__ for layer in fits[0].model_.layers] == ["Dense", "Dropout", "Dense"]
        # The first weights are scikit-learn's with dropout, too.
        np.testing.assert_allclose(fits[0].coefs_[0], fits[2].coefs_[0], atol=0.02)
        assert fits[0].coefs_[1].shape == (100, 3)

    def test_it_keeps_a_wide_network_from_learning_by_heart(self):
        rng = np.random.default_rng(0)
        x, noise = rng.normal(size=(100, 10)), rng.integers(0, 2, 100)
        kept, dropped = (
            MLPClassifier((100,), dropout=rate, max_iter=200, learning_rate_init=0.01, random_state=0).fit(x, noise)
            for rate in (0.0, 0.8)
        )
        assert kept.score(x, noise) > dropped.score(x, noise)


class TestClassWeight:
    @pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 5.0, 2: 0.5}], ids=str)
    def test_it_multiplies_the_sample_weights(self, class_weight):
        x, y = IRIS[:120], SPECIES[:120]
        weight = np.linspace(0.5, 1.5, len(x))
        ours = MLPClassifier(class_weight=class_weight, **FEW).fit(x, y, weight)
        expected = MLPClassifier(**FEW).fit(x, y, weight * compute_sample_weight(class_weight, y))
        np.testing.assert_array_equal(ours.model_.params, expected.model_.params)
        alone = MLPClassifier(class_weight=class_weight, **FEW).fit(x, y)
        expected = MLPClassifier(**FEW).fit(x, y, compute_sample_weight(class_weight, y))
        np.testing.assert_array_equal(alone.model_.params, expected.model_.params)

    def test_balanced_needs_all_of_y(self):
        with pytest.raises(ValueError, match="class_weight 'balanced' is not supported for partial_fit"):
            MLPClassifier(class_weight="balanced").partial_fit(IRIS, SPECIES, classes=[0, 1, 2])


class TestValidationData:
    def test_it_takes_the_place_of_the_rows_set_aside(self):
        split = np.arange(150) % 3 == 0
        held_out = IRIS[split], SPECIES[split]
        mlp = MLPClassifier(early_stopping=True, max_iter=60, random_state=0, learning_rate_init=0.01)
        mlp.fit(IRIS[~split], SPECIES[~split], validation_data=held_out)
        assert mlp.best_validation_score_ == mlp.score(*held_out) == max(mlp.validation_scores_)
        assert mlp.t_ == 100 * mlp.n_iter_

    def test_without_early_stopping_it_is_only_scored(self):
        alone = MLPRegressor(**FEW).fit(DIABETES[:300], PROGRESS[:300])
        weight = np.linspace(0, 1, 142)
        held_out = DIABETES[300:], PROGRESS[300:], weight
        watched = clone(alone).fit(DIABETES[:300], PROGRESS[:300], validation_data=held_out)
        np.testing.assert_array_equal(alone.model_.params, watched.model_.params)
        assert len(watched.validation_scores_) == 5
        assert watched.validation_scores_[-1] == pytest.approx(watched.score(*held_out))
        assert watched.best_validation_score_ == max(watched.validation_scores_)

    @pytest.mark.parametrize(
        ("validation_data", "message"),
        [
            (IRIS, "validation_data is a tuple"),
            ((IRIS[:, :3], SPECIES), "X has 3 features, but MLPClassifier is expecting 4 features"),
            ((IRIS, SPECIES + 1), r"`y` has classes not in `self.classes_`"),
            ((IRIS, SPECIES[1:]), "inconsistent numbers of samples"),
            ((IRIS * np.nan, SPECIES), "Input X contains NaN"),
        ],
        ids=["no tuple", "columns", "classes", "rows", "nan"],
    )
    def test_bad_validation_data(self, validation_data, message):
        with pytest.raises(ValueError, match=message):
            MLPClassifier(**FEW).fit(IRIS, SPECIES, validation_data=validation_data)


class TestCallbacks:
    def test_they_hear_every_epoch(self):
        epochs, history = [], fastbp.History()
        listen = fastbp.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append((epoch, sorted(logs))))
        held_out = DIABETES[:50], PROGRESS[:50]
        mlp = MLPRegressor(callbacks=[listen, history], alpha=0.0, **FEW)
        mlp.fit(DIABETES, PROGRESS, validation_data=held_out)
        assert epochs == [(epoch, ["learning_rate", "loss", "val_loss", "val_r2_score"]) for epoch in range(5)]
        assert history.history["loss"] == mlp.loss_curve_
        assert history.history["val_r2_score"] == mlp.validation_scores_
        expected = 0.5 * np.mean((mlp.predict(held_out[0]) - held_out[1]) ** 2)
        assert history.history["val_loss"][-1] == pytest.approx(expected)

    def test_early_stopping_by_a_callback(self):
        stop = fastbp.EarlyStopping(monitor="loss", min_delta=10.0, patience=3)
        mlp = MLPClassifier(callbacks=[stop], max_iter=50, random_state=0).fit(IRIS, SPECIES)
        assert mlp.n_iter_ == 4

    def test_the_learning_rate_falls_on_a_plateau(self):
        plateau = fastbp.ReduceLROnPlateau(monitor="loss", min_delta=10.0, patience=1)
        mlp = MLPClassifier(solver="sgd", callbacks=[plateau], **FEW).fit(IRIS, SPECIES)
        assert mlp._optimizer.learning_rate == pytest.approx(1e-7)

    def test_schedules_are_reported(self):
        history = fastbp.History()
        mlp = MLPClassifier(learning_rate="cosine_decay", callbacks=[history], batch_size=150, **FEW)
        mlp.fit(IRIS, SPECIES)
        expected = fastbp.CosineDecay(0.001, 5)(np.arange(5))
        np.testing.assert_allclose(history.history["learning_rate"], expected)

    @pytest.mark.parametrize("solver", ["lbfgs", "lm"])
    def test_solvers_of_all_rows_tell_their_iterations(self, solver):
        losses = []

        class Stop(fastbp.Callback):
            def on_epoch_end(self, epoch, logs):
                losses.append(logs["loss"])
                self.model.stop_training = epoch == 2

        mlp = MLPRegressor(hidden_layer_sizes=5, solver=solver, callbacks=[Stop()], random_state=0)
        mlp.fit(DIABETES, PROGRESS)
        assert mlp.n_iter_ == 3 == len(losses)
        assert losses[0] > losses[-1] == mlp.loss_

    def test_what_is_no_callback(self):
        with pytest.raises(TypeError, match="History is a class; write History"):
            MLPClassifier(callbacks=[fastbp.History]).fit(IRIS, SPECIES)

    def test_ctrl_c_ends_training_and_keeps_the_weights(self):
        def interrupt(epoch, logs):
            if epoch == 2:
                raise KeyboardInterrupt

        mlp = MLPClassifier(callbacks=[fastbp.LambdaCallback(on_epoch_end=interrupt)], random_state=0)
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            mlp.fit(IRIS, SPECIES)
        assert mlp.n_iter_ == 3
        assert mlp.predict(IRIS).shape == (150,)

    def test_ctrl_c_between_compiled_calls(self, ctrl_c):
        class Interrupt(fastbp.Callback):
            def on_epoch_begin(self, epoch, logs):
                if epoch == 2:
                    signal.raise_signal(signal.SIGINT)

        mlp = MLPClassifier(callbacks=[Interrupt()], random_state=0)
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            mlp.fit(IRIS, SPECIES)
        # The epoch that was running is not counted, its steps are.
        assert (mlp.n_iter_, mlp.model_.step) == (2, 3)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class TestThreads:
    def test_the_limit_holds_for_the_estimator_only(self, small_work, run_threads):
        run_threads(4)
        mlp = MLPClassifier((64, 64), batch_size=100, n_threads=2, **FEW).fit(IRIS, SPECIES)
        assert set(run_threads.used) == {2}
        assert threads.get_num_threads() == 4
        free = clone(mlp).set_params(n_threads=None).fit(IRIS, SPECIES)
        assert max(run_threads.used) > 2
        np.testing.assert_array_equal(free.model_.params, mlp.model_.params)


class TestWeights:
    def test_coefs_are_views_into_the_flat_parameters(self):
        mlp = MLPClassifier((7,), **FEW).fit(IRIS, SPECIES)
        assert mlp.model_.params.size == 4 * 7 + 7 + 7 * 3 + 3
        mlp.coefs_[0][:] = 0
        mlp.model_.params[28:35] = 0
        np.testing.assert_array_equal(mlp.intercepts_[0], np.zeros(7))
        assert np.ptp(mlp.predict_proba(IRIS), axis=0).max() == 0

    def test_arrays_put_in_their_place_count(self):
        mlp, other = (MLPClassifier((7,), max_iter=5, random_state=seed).fit(IRIS, SPECIES) for seed in (0, 1))
        mlp.coefs_ = [coef.copy() for coef in other.coefs_]
        mlp.intercepts_[:] = [intercept.copy() for intercept in other.intercepts_]
        np.testing.assert_array_equal(mlp.predict_proba(IRIS), other.predict_proba(IRIS))
        np.testing.assert_array_equal(mlp.model_.params, other.model_.params)
        mlp.coefs_[0][:] = 0
        assert not mlp.model_.views["dense/kernel"].any()

    def test_arrays_of_other_shapes_are_refused(self):
        mlp = MLPClassifier((7,), **FEW).fit(IRIS, SPECIES)
        mlp.coefs_[0] = np.zeros((4, 8))
        with pytest.raises(ValueError, match=r"'dense/kernel' has shape \(4, 8\); it must have \(4, 7\)"):
            mlp.predict(IRIS)

    def test_a_warm_start_keeps_the_shapes(self):
        mlp = MLPClassifier((7,), warm_start=True, **FEW).fit(IRIS, SPECIES)
        with pytest.raises(ValueError, match="hidden_layer_sizes differs from the previous call to fit"):
            mlp.set_params(hidden_layer_sizes=(8,)).fit(IRIS, SPECIES)


class TestLevenbergMarquardt:
    def test_a_sine_in_few_iterations(self):
        x = np.linspace(-1, 1, 60)[:, None]
        mlp = MLPRegressor(hidden_layer_sizes=10, activation="tanh", solver="lm", max_iter=30, random_state=0)
        mlp.fit(x, np.sin(3 * x[:, 0]))
        assert mlp.score(x, np.sin(3 * x[:, 0])) > 0.99999
        assert mlp.n_iter_ == len(mlp.loss_curve_) == 30
        assert mlp.loss_ == mlp.loss_curve_[-1] == min(mlp.loss_curve_)

    @pytest.mark.parametrize("k", [1, 2])
    def test_its_loss_is_the_other_solvers(self, k):
        y = np.column_stack([PROGRESS, DIABETES[:, 0]]) if k == 2 else PROGRESS
        weight = np.linspace(0.5, 1.5, len(y))
        parameters = {"hidden_layer_sizes": (), "alpha": 1.0, "random_state": 0, "tol": 1e-7}
        ours = MLPRegressor(solver="lm", **parameters).fit(DIABETES, y, weight)
        lbfgs = MLPRegressor(solver="lbfgs", **parameters).fit(DIABETES, y, weight)
        assert ours.loss_ == pytest.approx(lbfgs.loss_, rel=1e-5)
        np.testing.assert_allclose(ours.coefs_[0], lbfgs.coefs_[0], atol=0.02)

    def test_it_warns_where_it_needs_more_iterations(self):
        mlp = MLPRegressor(hidden_layer_sizes=10, solver="lm", max_iter=2, random_state=0)
        with pytest.warns(ConvergenceWarning, match="lm failed to converge after 2 iteration"):
            mlp.fit(DIABETES, PROGRESS)

    def test_too_many_parameters(self):
        with pytest.raises(ValueError, match=r"2,?000"):
            MLPRegressor(hidden_layer_sizes=500, solver="lm").fit(DIABETES, PROGRESS)

    def test_only_squared_errors(self):
        with pytest.raises(ValueError, match="solver='lm' minimises squared errors, not loss='poisson'"):
            MLPRegressor("poisson", solver="lm").fit(DIABETES, PROGRESS)
        with pytest.raises(ValueError, match="The 'solver' parameter of MLPClassifier must be"):
            MLPClassifier(solver="lm").fit(IRIS, SPECIES)


@pytest.mark.parametrize("solver", ["lbfgs", "lm"])
class TestSolversOfAllRows:
    def test_no_partial_fit(self, solver):
        mlp = MLPRegressor(solver=solver)
        assert not hasattr(mlp, "partial_fit")
        with pytest.raises(AttributeError, match="has no attribute 'partial_fit'"):
            mlp.partial_fit(DIABETES, PROGRESS)

    def test_no_dropout_and_no_validation_data(self, solver):
        with pytest.raises(ValueError, match="draws no dropout masks: set dropout=0"):
            MLPRegressor(solver=solver, dropout=0.1).fit(DIABETES, PROGRESS)
        with pytest.raises(ValueError, match="has no epochs after which validation_data could be scored"):
            MLPRegressor(solver=solver).fit(DIABETES, PROGRESS, validation_data=(DIABETES, PROGRESS))


class TestDtypes:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("solver", ["adam", "lbfgs", "lm"])
    def test_float32_trains_in_float32(self, dtype, solver):
        x = DIABETES.astype(dtype)
        mlp = MLPRegressor(hidden_layer_sizes=8, solver=solver, max_iter=40, random_state=0).fit(x, PROGRESS)
        assert mlp.predict(x).dtype == mlp.coefs_[0].dtype == mlp.model_.params.dtype == np.dtype(dtype)
        assert mlp.score(x, PROGRESS) > 0.2

    def test_anything_else_trains_in_float64(self):
        mlp = MLPClassifier(**FEW).fit(IRIS.astype(int).tolist(), SPECIES.tolist())
        assert mlp.model_.params.dtype == np.float64

    def test_predictions_do_not_depend_on_the_form_of_the_input(self):
        mlp = MLPClassifier(**FEW).fit(IRIS, SPECIES)
        expected = mlp.predict_proba(IRIS)
        for form in (IRIS.tolist(), np.asfortranarray(IRIS), csr_array(IRIS), IRIS[::-1][::-1], IRIS.astype(object)):
            np.testing.assert_array_equal(mlp.predict_proba(form), expected)


class TestBadInput:
    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"dropout": 1.0}, r"The 'dropout' parameter of MLPClassifier must be a float in the range \[0.0, 1.0\)"),
            ({"n_threads": 0}, "The 'n_threads' parameter of MLPClassifier must be"),
            ({"class_weight": "equal"}, "The 'class_weight' parameter of MLPClassifier must be"),
            ({"activation": "rely"}, "The 'activation' parameter of MLPClassifier must be"),
            ({"solver": "adagrat"}, "The 'solver' parameter of MLPClassifier must be"),
            ({"learning_rate": 0.1}, "The 'learning_rate' parameter of MLPClassifier must be"),
            ({"alpha": -1}, "The 'alpha' parameter of MLPClassifier must be"),
            ({"hidden_layer_sizes": (5, 0)}, r"hidden_layer_sizes must be > 0, got \[5, 0\]"),
        ],
        ids=str,
    )
    def test_parameters(self, parameters, message):
        with pytest.raises(ValueError, match=message):
            MLPClassifier(**parameters).fit(IRIS, SPECIES)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_rows_that_are_not_finite(self, dtype, bad):
        mlp = MLPClassifier(**FEW).fit(IRIS.astype(dtype), SPECIES)
        x = IRIS.astype(dtype)
        x[3, 1] = bad
        with pytest.raises(ValueError, match="Input X contains (NaN|infinity)"):
            mlp.predict(x)

    def test_other_errors_are_scikit_learns(self):
        mlp = MLPClassifier(**FEW)
        with pytest.raises(NotFittedError, match="This MLPClassifier instance is not fitted yet"):
            mlp.predict(IRIS)
        with pytest.raises(NotFittedError):
            mlp.save("nowhere.fastbp")
        mlp.fit(IRIS, SPECIES)
        for x in (IRIS[:, :3], IRIS[0], np.zeros((0, 4)), IRIS[None], IRIS > 2, [["a"] * 4]):
            outcomes = []
            for estimator in (mlp, theirs.MLPClassifier(**FEW).fit(IRIS, SPECIES)):
                try:
                    outcomes.append(estimator.predict(x).shape)
                except ValueError as error:
                    outcomes.append(str(error))
            assert outcomes[0] == outcomes[1]

    def test_weights_that_sum_to_zero(self):
        with pytest.raises(ZeroDivisionError, match="Weights sum to zero"):
            MLPClassifier(solver="lbfgs").fit(IRIS, SPECIES, np.tile([1.0, -1.0], 75))

    def test_counts_are_not_negative(self):
        mlp = MLPRegressor("poisson", **FEW).fit(DIABETES, np.exp(PROGRESS))
        before = mlp.predict(DIABETES)
        with pytest.raises(ValueError, match="the poisson loss takes counts of at least 0"):
            mlp.fit(DIABETES, PROGRESS)
        np.testing.assert_array_equal(mlp.predict(DIABETES), before)

    @pytest.mark.parametrize("solver", ["adam", "sgd", "lm"])
    def test_a_run_that_diverges(self, solver):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ValueError, match="The input data may contain large values and need to be preprocessed"):
                MLPRegressor(hidden_layer_sizes=5, solver=solver, max_iter=5).fit(DIABETES * 1e300, PROGRESS)

    def test_a_batch_larger_than_the_data(self):
        with pytest.warns(UserWarning, match="It is going to be clipped"):
            MLPClassifier(batch_size=151, **FEW).fit(IRIS, SPECIES)

    def test_labels_of_another_form(self):
        mlp = MLPClassifier(**FEW).partial_fit(IRIS, SPECIES, classes=[0, 1, 2, 3])
        with pytest.raises(ValueError, match="not fitted with multilabel input"):
            mlp.partial_fit(IRIS, np.eye(4)[SPECIES].astype(int))
        several = MLPClassifier(**FEW).fit(IRIS, np.eye(3)[SPECIES].astype(int))
        with pytest.raises(ValueError, match="`y` has classes not in"):
            several.partial_fit(IRIS, SPECIES)


def test_another_solver_goes_on_from_the_weights():
    mlp = MLPRegressor(solver="lbfgs", warm_start=True, max_iter=30, random_state=0).fit(DIABETES, PROGRESS)
    assert not hasattr(mlp, "loss_curve_")
    loss = mlp.loss_
    mlp.set_params(solver="adam", max_iter=2, learning_rate_init=1e-5).fit(DIABETES, PROGRESS)
    assert mlp.loss_curve_[0] == pytest.approx(loss, rel=0.01)
    mlp.set_params(solver="lbfgs", warm_start=False).fit(DIABETES, PROGRESS)
    assert not hasattr(mlp, "loss_curve_")


def test_a_single_class():
    mlp = MLPClassifier(**FEW).fit(IRIS, np.full(150, "only"))
    assert set(mlp.predict(IRIS)) == {"only"}
    assert mlp.n_outputs_ == 1


def test_sparse_labels_come_back_sparse():
    y = csr_array(np.eye(3)[SPECIES].astype(int))
    mlp, expected = (library.MLPClassifier(**FEW).fit(IRIS, y) for library in (fastbp, theirs))
    assert mlp.predict(IRIS).shape == (150, 3)
    np.testing.assert_array_equal(mlp.predict(IRIS).toarray(), expected.predict(IRIS).toarray())


def test_the_network_beneath_works_on_its_own():
    mlp = MLPClassifier((9,), **FEW).fit(IRIS, SPECIES)
    np.testing.assert_array_equal(mlp.model_.predict(IRIS), mlp.predict_proba(IRIS))
    loss, _ = mlp.model_.value_and_grad(IRIS, SPECIES)
    assert loss == pytest.approx(mlp.model_.evaluate(IRIS, SPECIES))
    mlp.model_.fit(IRIS, SPECIES, epochs=2, verbose=0)
    np.testing.assert_array_equal(mlp.model_.predict(IRIS), mlp.predict_proba(IRIS))


def test_verbose_says_what_scikit_learn_says(capsys):
    for solver in ({"solver": "sgd", "learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1}, {}):
        said = []
        for library in (theirs, fastbp):
            mlp = library.MLPClassifier(verbose=True, early_stopping=True, **FEW, **solver).fit(IRIS, SPECIES)
            assert mlp.n_iter_ == 5
            said.append(capsys.readouterr().out)
        assert said[0] == said[1]
        assert "Validation score: " in said[0]
