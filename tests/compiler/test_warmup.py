"""warmup: a preset, a model, a list of layers; afterwards nothing has to be compiled or loaded."""

import numpy as np
import pytest

import fastbp
from fastbp.compiler import jit

LAYERS = [fastbp.Dense(3, activation="tanh"), fastbp.Dense(2, activation="softmax")]


def asked_after(run):
    """Return the kernels that a run needs for the first time in this process."""
    before = len(jit.asked)
    run()
    return [kernel.qualname for kernel, _ in jit.asked[before:]]


def fit(loss="sparse_categorical_crossentropy"):
    model = fastbp.Sequential(LAYERS, seed=1)
    model.compile("sgd", loss)
    model.fit(np.eye(6, 5), np.array([0, 1, 0, 1, 1, 0]), epochs=1, verbose=0)
    model.predict(np.eye(6, 5))


def test_layers():
    fastbp.warmup(LAYERS, optimizer="sgd", loss="sparse_categorical_crossentropy")
    assert asked_after(fit) == []


def test_a_model_which_is_left_as_it_is():
    model = fastbp.Sequential(LAYERS, input_shape=(5,), seed=0)
    model.compile("adam", "categorical_crossentropy")
    before = model.params.copy()
    fastbp.warmup(model)
    assert (model.params == before).all()
    assert model.step == 0
    assert asked_after(lambda: model.fit(np.eye(4, 5), np.eye(4, 2), epochs=1, verbose=0)) == []
    assert asked_after(lambda: model.predict(np.eye(4, 5))) == []


def test_a_model_that_is_neither_built_nor_compiled():
    model = fastbp.Sequential(LAYERS, seed=0)
    fastbp.warmup(model, input_shape=(5,))
    assert model.engine is None


@pytest.mark.parametrize("layer", [fastbp.Conv1D(2, 2), fastbp.Conv2D(2, 2), fastbp.Embedding(3, 2)])
def test_a_shape_is_looked_for(layer):
    fastbp.warmup([layer, fastbp.Flatten(), fastbp.Dense(1)])


def test_a_preset():
    fastbp.warmup("fast")
    assert asked_after(lambda: fastbp.TabularRegressor("fast").fit(np.eye(40, 9), np.arange(40.0))) == []


def test_what_it_cannot_take():
    with pytest.raises(ValueError, match="a preset is one of fast, default, best"):
        fastbp.warmup("slow")
    for layers, reason in (([], "at least one layer"), ([3], "a layer is a name or an object, not 3")):
        with pytest.raises((ValueError, TypeError), match=f"^(?!.*input_shape).*{reason}"):
            fastbp.warmup(layers)
    with pytest.raises(ValueError, match=r"give input_shape=.*tried"):
        fastbp.warmup([fastbp.OneHot((3, 3, 3))], input_shape=(2,))
    with pytest.raises(TypeError, match="takes a preset, a model or a list of layers, not int"):
        fastbp.warmup(3)


def test_a_setting_that_would_be_ignored_is_named():
    model = fastbp.Sequential(LAYERS, input_shape=(5,), seed=0)
    with pytest.raises(ValueError, match=r"warmup\(input_shape=\): the preset 'fast' has its own"):
        fastbp.warmup("fast", input_shape=(3,))
    with pytest.raises(ValueError, match=r"warmup\(input_shape=\): the model has its own"):
        fastbp.warmup(model, input_shape=(3,))
    with pytest.raises(ValueError, match=r"warmup\(dtype=\): the model has its own"):
        fastbp.warmup(model, dtype="float64")
    model.compile("sgd", "categorical_crossentropy")
    with pytest.raises(ValueError, match=r"warmup\(loss=\): the model has its own"):
        fastbp.warmup(model, loss="mse")


def test_a_wrong_type_of_numbers_is_no_matter_of_shapes():
    with pytest.raises(ValueError, match=r"^dtype='float16'"):
        fastbp.warmup(LAYERS, dtype="float16")
