"""Weights are where the guide's page on handing models over says."""

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPRegressor

import fastbp


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_names_of_weights_in_files(tmp_path):
    """As the guide has them."""
    x, y = load_iris(return_X_y=True)
    network = fastbp.Sequential([fastbp.Dense(3, name="first"), fastbp.BatchNormalization()], input_shape=(4,), seed=0)
    network.save(tmp_path / "network")
    tensors = load_file(tmp_path / "network")
    assert tensors.keys() == network.views.keys()
    assert all(np.array_equal(tensors[name], view) for name, view in network.views.items())

    mlp = fastbp.MLPRegressor(hidden_layer_sizes=(3,), max_iter=3, random_state=0).fit(x, x[:, 0])
    mlp.save(tmp_path / "mlp")
    tensors = load_file(tmp_path / "mlp")
    kernels = [tensors[f"model/{name}/kernel"] for name in ("dense", "dense_1")]
    assert all(np.array_equal(one, other) for one, other in zip(kernels, mlp.coefs_, strict=True))

    table = fastbp.TabularClassifier("fast", random_state=0).fit(x, y)
    table.save(tmp_path / "table")
    tensors = load_file(tmp_path / "table")
    for number, network in enumerate(table.ensemble_.networks):
        for name, view in network.views.items():
            assert np.array_equal(tensors[f"ensemble/{number}/{name}"], view)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_coefs_go_into_scikit_learn_s_mlp():
    x, _ = load_iris(return_X_y=True)
    ours = fastbp.MLPRegressor(hidden_layer_sizes=(3,), max_iter=3, random_state=0).fit(x, x[:, 0])
    theirs = MLPRegressor(hidden_layer_sizes=(3,), max_iter=1, random_state=0).fit(x[:10], x[:10, 0])
    theirs.coefs_, theirs.intercepts_ = ours.coefs_, ours.intercepts_
    np.testing.assert_allclose(theirs.predict(x), ours.predict(x), rtol=1e-6)
