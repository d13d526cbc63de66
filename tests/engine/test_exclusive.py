"""One model in several threads: many predict, or one trains; nothing is mixed in silence."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastbp
from fastbp.engine import runner
from tests.engine.test_ends import ACTS, X, Y, small_model


class Meanwhile(fastbp.Callback):
    """Run something in another thread while the model trains; keep what it raises."""

    def __init__(self, act):
        self.act, self.raised = act, []

    def on_epoch_end(self, epoch, logs=None):
        def run():
            try:
                self.act()
            except RuntimeError as error:
                self.raised.append(str(error))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()


OTHERS = ACTS | {
    "fit": lambda model: model.fit(X, Y, verbose=0),
    "apply_gradients": lambda model: model.apply_gradients(np.ones(model.params.size)),
    "compile": lambda model: model.compile("sgd", "mean_squared_error"),
    "get_state": lambda model: model.get_state(),
}


@pytest.mark.parametrize("act", list(OTHERS))
def test_other_threads_are_refused_while_a_model_trains(act):
    model, other = small_model(), small_model()
    meanwhile = Meanwhile(lambda: OTHERS[act](model))
    settings = {"epochs": 2, "batch_size": 40, "verbose": 0}
    history = model.fit(X, Y, callbacks=[meanwhile], **settings)
    assert len(meanwhile.raised) == 2
    assert "this model is in use: another thread trains it" in meanwhile.raised[0]
    # Not a bit of the training is another for it, nor of what it uses to hold its gradient.
    assert history.history == other.fit(X, Y, **settings).history
    np.testing.assert_array_equal(model.grads, other.grads)
    OTHERS[act](model)


def test_a_fit_is_refused_while_another_thread_predicts(monkeypatch):
    model, found, run = small_model(), [], runner.Runner.run

    def run_slowly(self, *arguments, **more):
        if not found:
            found.append(None)
            with pytest.raises(RuntimeError, match="another thread predicts"):
                in_thread(lambda: model.fit(X, Y, verbose=0))
            found.append(in_thread(lambda: model.predict(X)))
        return run(self, *arguments, **more)

    monkeypatch.setattr(runner.Runner, "run", run_slowly)
    np.testing.assert_array_equal(model.predict(X), found[1])
    assert model.step == 0


def in_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_callbacks_may_use_their_model():
    model, found = small_model(), []

    class Look(fastbp.Callback):
        def on_stretch_end(self, step, logs=None):
            found.append(self.model.predict(X[:3]))

        def on_epoch_end(self, epoch, logs=None):
            found.append(self.model.evaluate(X, Y))
            copy.deepcopy(self.model).train_on_batch(X, Y)
            self.model.get_state()

    model.fit(X, Y, epochs=2, callbacks=[Look()], verbose=0)
    assert len(found) >= 4
    assert found[-1] == model.evaluate(X, Y)


def test_a_metric_may_compute_gradients():
    def steepness(y_true, y_pred):
        return np.abs(model.value_and_grad(X, Y)[1]).sum() + model.predict(X)[0, 0]

    model = small_model()
    model.compile("sgd", "mean_squared_error", metrics=[steepness])
    model.fit(X, Y, verbose=0)
    expected = steepness(None, None)
    assert model.evaluate(X, Y)[1] == expected


@pytest.mark.parametrize("kind", [fastbp.MLPRegressor, fastbp.TabularRegressor])
def test_estimators_refuse_a_second_fit_and_predictions_beside_it(kind, monkeypatch):
    settings = {"solver": "lbfgs", "max_iter": 200} if kind is fastbp.MLPRegressor else {"preset": "fast"}
    model, raised = kind(random_state=0, **settings), []
    model.fit(X[:100], Y[:100, 0])
    expected, train = model.predict(X), runner.Runner.run

    def beside(self, *arguments, **more):
        if not raised and threading.current_thread().name != "beside":
            raised.append(None)
            for act in (lambda: model.fit(X[:50], Y[:50, 0]), lambda: model.predict(X)):
                thread = threading.Thread(target=lambda act=act: raised.append(refused(act)), name="beside")
                thread.start()
                thread.join()
        return train(self, *arguments, **more)

    def refused(act):
        with pytest.raises(RuntimeError, match=f"this {kind.__name__} is in use: another thread trains it"):
            act()
        return True

    monkeypatch.setattr(runner.Runner, "run", beside)
    model.fit(X[:100], Y[:100, 0])
    assert raised == [None, True, True]
    np.testing.assert_array_equal(model.predict(X), expected)
