"""Estimators saved and loaded again: model files, pickle, joblib, skops, copies; fitted ones go on the same."""

import copy
import json
import pickle

import joblib
import numba
import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.utils.validation import check_is_fitted

import fastbp
from fastbp import MLPClassifier, MLPRegressor
from fastbp.io.saving import load_tensors, save_tensors

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS, SPECIES = load_iris(return_X_y=True)
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
PROGRESS = (PROGRESS - PROGRESS.mean()) / PROGRESS.std()
NAMES = np.array(["setosa", "versicolor", "virginica"])


def by_file(mlp, folder):
    mlp.save(folder / "mlp.fastbp")
    return fastbp.load_model(folder / "mlp.fastbp")


def by_joblib(mlp, folder):
    joblib.dump(mlp, folder / "mlp.joblib")
    return joblib.load(folder / "mlp.joblib")


def by_skops(mlp, folder):
    import skops.io

    skops.io.dump(mlp, folder / "mlp.skops")
    ours = {f"fastbp.estimators.{module}" for module in ("classifier.MLPClassifier", "regressor.MLPRegressor")}
    unknown = skops.io.get_untrusted_types(file=folder / "mlp.skops")
    assert set(unknown) <= ours
    return skops.io.load(folder / "mlp.skops", trusted=unknown)


WAYS = {
    "file": by_file,
    "pickle": lambda mlp, folder: pickle.loads(pickle.dumps(mlp)),
    "joblib": by_joblib,
    "skops": by_skops,
    "deepcopy": lambda mlp, folder: copy.deepcopy(mlp),
}
FITS = {
    "classes": lambda: MLPClassifier((9, 5), max_iter=5, random_state=0).fit(IRIS, SPECIES),
    "names": lambda: MLPClassifier(max_iter=5, random_state=0).fit(IRIS, NAMES[SPECIES]),
    "objects": lambda: MLPClassifier(max_iter=5, random_state=0).fit(IRIS, NAMES[SPECIES].astype(object)),
    "binary": lambda: MLPClassifier(max_iter=5, random_state=0).fit(IRIS, SPECIES > 1),
    "labels": lambda: MLPClassifier(max_iter=5, random_state=0).fit(IRIS, np.eye(3, dtype=int)[SPECIES]),
    "weights": lambda: MLPClassifier(class_weight={0: 1.0, 2: 3}, max_iter=5, random_state=0).fit(IRIS, SPECIES),
    "early": lambda: MLPClassifier(early_stopping=True, max_iter=9, random_state=0).fit(IRIS, SPECIES),
    "float32": lambda: MLPRegressor(max_iter=5, random_state=0).fit(DIABETES.astype("float32"), PROGRESS),
    "dropout": lambda: MLPRegressor(dropout=0.3, max_iter=5, random_state=0).fit(DIABETES, PROGRESS),
    "poisson": lambda: MLPRegressor("poisson", max_iter=5, random_state=0).fit(DIABETES, np.exp(PROGRESS)),
    "lbfgs": lambda: MLPRegressor(solver="lbfgs", max_iter=5, random_state=0).fit(DIABETES, PROGRESS),
    "state": lambda: MLPRegressor(max_iter=5, random_state=np.random.RandomState(7)).fit(DIABETES, PROGRESS),
    "sizes": lambda: MLPRegressor(hidden_layer_sizes=np.array([4, 3]), alpha=np.float64(0.1), max_iter=5).fit(
        DIABETES, PROGRESS
    ),
}


def fitted(mlp):
    """Return the fitted attributes, those apart that are made of others."""
    apart = ("model_", "coefs_", "intercepts_", "_views", "_random_state")
    return {name: value for name, value in vars(mlp).items() if name not in apart and name not in mlp.get_params()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fit", FITS)
def test_an_estimator_comes_back_whole(fit, way, tmp_path):
    mlp = FITS[fit]()
    again = WAYS[way](mlp, tmp_path)
    assert type(again) is type(mlp)
    x = DIABETES if fit in ("float32", "dropout", "poisson", "lbfgs", "state", "sizes") else IRIS
    np.testing.assert_array_equal(again.predict(x), mlp.predict(x))
    assert again.predict(x).dtype == mlp.predict(x).dtype
    expected, found = fitted(mlp), fitted(again)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    parameters = again.get_params()
    for name, value in mlp.get_params().items():
        assert np.all(parameters[name] == value) or fit == "state", name
    again.model_.params[:] = 0
    assert not again.coefs_[0].any()
    assert mlp.coefs_[0].any()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fit", ["classes", "dropout", "state"])
def test_training_goes_on_with_the_same_bits(fit, way, tmp_path):
    mlp = FITS[fit]()
    again = WAYS[way](mlp, tmp_path)
    x, y = (IRIS, SPECIES) if fit == "classes" else (DIABETES, PROGRESS)
    for _ in range(3):
        mlp.partial_fit(x, y)
        again.partial_fit(x, y)
    assert again.loss_curve_ == mlp.loss_curve_
    np.testing.assert_array_equal(again.model_.params, mlp.model_.params)


@pytest.mark.parametrize("way", ["pickle", "joblib", "skops", "deepcopy"])
def test_an_estimator_that_is_not_fitted(way, tmp_path):
    again = WAYS[way](MLPClassifier((7,), alpha=0.5), tmp_path)
    assert (again.hidden_layer_sizes, again.alpha) == ((7,), 0.5)
    assert not hasattr(again, "coefs_")


def test_fastbps_objects_are_saved(tmp_path):
    mlp = MLPRegressor(
        fastbp.Huber(0.5),
        activation=fastbp.LeakyReLU(0.1),
        solver=fastbp.AdamW(weight_decay=0.01),
        learning_rate=fastbp.CosineDecay(0.01, 50),
        callbacks=[fastbp.History()],
        max_iter=5,
    ).fit(DIABETES, PROGRESS)
    again = by_file(mlp, tmp_path)
    for name in ("loss", "activation", "solver", "learning_rate"):
        assert getattr(again, name) == getattr(mlp, name)
    assert again.callbacks is None
    np.testing.assert_array_equal(again.predict(DIABETES), mlp.predict(DIABETES))


def test_names_of_columns_are_saved(tmp_path):
    frame, y = load_iris(return_X_y=True, as_frame=True)
    mlp = MLPClassifier(max_iter=5).fit(frame, y)
    again = by_file(mlp, tmp_path)
    np.testing.assert_array_equal(again.feature_names_in_, frame.columns)
    assert again.feature_names_in_.dtype == object
    with pytest.raises(ValueError, match="The feature names should match those that were passed during fit"):
        again.predict(frame[frame.columns[::-1]])


@numba.njit
def quartic(y_true, y_pred, dout):
    error = y_pred[0] - y_true[0]
    dout[0] = 4 * error**3
    return error**4


def test_a_loss_of_ones_own_is_asked_for(tmp_path):
    loss = fastbp.CustomLoss(quartic, name="quartic")
    mlp = MLPRegressor(loss, max_iter=5, random_state=0).fit(DIABETES, PROGRESS)
    path = tmp_path / "mlp.fastbp"
    mlp.save(path)
    with pytest.raises(fastbp.ModelFileError, match=r"custom_objects=\{'quartic': ...\}"):
        fastbp.load_model(path)
    again = fastbp.load_model(path, custom_objects={"quartic": loss})
    again.partial_fit(DIABETES, PROGRESS)
    mlp.partial_fit(DIABETES, PROGRESS)
    assert again.loss_curve_ == mlp.loss_curve_
    assert copy.copy(mlp).loss is loss


@pytest.mark.parametrize("what", ["class", "parameters", "fitted", "names", "model"])
def test_a_file_that_lacks_something(what, tmp_path):
    path = tmp_path / "mlp.fastbp"
    FITS["classes"]().save(path)
    tensors, description = load_tensors(path)
    del description[what]
    save_tensors(path, tensors, description)
    with pytest.raises(fastbp.ModelFileError, match="does not describe a whole model"):
        fastbp.load_model(path)


def test_a_file_cannot_name_other_classes_or_attributes(tmp_path):
    path = tmp_path / "mlp.fastbp"
    FITS["classes"]().save(path)
    tensors, description = load_tensors(path)
    for change in ({"class": "Pipeline"}, {"fitted": {"predict": 1}}, {"parameters": {"shell": "rm"}}):
        save_tensors(path, tensors, json.loads(json.dumps(description)) | change)
        with pytest.raises(fastbp.ModelFileError):
            fastbp.load_model(path)


def test_what_is_loaded_counts_as_fitted(tmp_path):
    check_is_fitted(by_file(FITS["binary"](), tmp_path))
