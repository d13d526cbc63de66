"""The border between users' arrays and the kernels: what is accepted, what is read in place, what is refused."""

import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp.engine.user_arrays import (
    as_float_rows,
    check_rows,
    class_weights,
    rows_kept,
    sample_weights,
    validation_parts,
)

FLOAT32 = np.dtype("float32")
TABLE = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize(
    "given",
    [
        TABLE.tolist(),
        tuple(map(tuple, TABLE)),
        TABLE.astype(int),
        TABLE.astype(np.float16),
        np.asfortranarray(TABLE),
        np.repeat(TABLE, 2, axis=0)[::2].astype("float32"),
        TABLE.astype(">f4"),
        TABLE.astype(object),
        pd.DataFrame(TABLE, index=[3, 1, 2, 0]),
        pd.DataFrame({"a": TABLE[:, 0].astype(int), "b": TABLE[:, 1], "c": TABLE[:, 2].astype("float32")}),
        pd.DataFrame(TABLE.astype(int)).astype("Int64"),
        np.ma.masked_array(TABLE, False),
    ],
    ids=lambda given: type(given).__name__,
)
def test_any_table_of_numbers_is_converted(given):
    x = as_float_rows(given, FLOAT32, shape=(3,))
    assert type(x) is np.ndarray
    assert x.dtype == FLOAT32
    assert x.flags.c_contiguous
    assert x.flags.aligned
    np.testing.assert_array_equal(x, TABLE)


def test_rows_in_the_dtype_are_taken_as_they_are():
    x = TABLE.astype("float32")
    assert as_float_rows(x, FLOAT32) is x
    frozen = x.view()
    frozen.flags.writeable = False
    assert as_float_rows(frozen, FLOAT32) is frozen


def test_misaligned_rows_are_copied():
    buffer = np.zeros(12 * 4 + 1, np.uint8)
    x = buffer[1:].view("float32").reshape(4, 3)
    x[:] = TABLE
    copied = as_float_rows(x, FLOAT32)
    assert copied.flags.aligned
    np.testing.assert_array_equal(copied, TABLE)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([["a", "b"]], "must be a table of numbers: could not convert string to float"),
        ([[1.0, 2.0], [3.0]], "must be a table of numbers"),
        ([[{}]], "must be a table of numbers"),
        (TABLE + 1j, "it holds complex128"),
        (TABLE.astype("M8[D]"), r"it holds datetime64\[D\]"),
        (np.ma.masked_equal(TABLE, 3), "some entries are masked"),
        (np.arange(3.0), r"shape \(3,\). Write x\[:, None\] for one column, or x\[None, :\] for one row"),
        (np.zeros((2, 3, 4)), r"must have 2 dimensions, \(rows, columns\); it has shape \(2, 3, 4\)"),
        (None, "must have 2 dimensions"),
        (np.zeros((2, 4)), "x has 4 columns; the model takes 3"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        as_float_rows(given, FLOAT32, shape=(3,))


def test_sparse_matrices_are_refused_with_the_remedy():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ValueError, match=r"sparse matrix: write x.toarray\(\)"):
        as_float_rows(sparse.csr_matrix(TABLE), FLOAT32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
def test_the_first_entry_that_is_not_finite_is_named(bad):
    x = np.zeros((5000, 3))
    x[4999, 2] = x[4998, 1] = bad
    with pytest.raises(ValueError, match=r"x\[4998, 1\] is (nan|inf) \(or too large for float32\)"):
        check_rows(as_float_rows(x, FLOAT32))


def test_empty_tables_are_refused():
    for shape in [(0, 3), (3, 0)]:
        with pytest.raises(ValueError, match=r"x is empty: its shape is"):
            check_rows(np.zeros(shape, FLOAT32))


def test_sample_weights():
    for given in ([1, 2, 0], pd.Series([1, 2, 0], index=[5, 6, 7]), np.array([1, 9, 2, 9, 0, 9.0])[::2]):
        weights = sample_weights(given, 3, FLOAT32)
        np.testing.assert_array_equal(weights, [1, 2, 0])
        assert weights.dtype == FLOAT32
        assert weights.flags.c_contiguous


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], r"sample_weight must have shape \(3,\), one for each row; it has \(2,\)"),
        ([[1], [2], [3]], r"it has \(3, 1\)"),
        (2.0, r"it has \(\)"),
        ([1, -1, 1], "sample_weight holds -1.0"),
        ([1, np.nan, 1], "sample_weight holds nan"),
        (["a", "b", "c"], "must hold numbers only"),
    ],
)
def test_bad_sample_weights(given, message):
    with pytest.raises(ValueError, match=message):
        sample_weights(given, 3, FLOAT32)


def test_class_weights_of_labels_and_of_one_hot_rows():
    labels = np.array([0, 2, 1, 2])
    expected = [3.0, 0.5, 1.0, 0.5]
    for y in (labels, labels[:, None], np.eye(3)[labels], labels.astype("float32")):
        np.testing.assert_array_equal(class_weights({0: 3, 2: 0.5}, y, 4, FLOAT32), expected)
    np.testing.assert_array_equal(class_weights({True: 2}, labels == 2, 4, FLOAT32), [1, 2, 1, 2])


@pytest.mark.parametrize(
    ("weight", "error"),
    [({0: -1}, ValueError), ({0: "1"}, ValueError), ({"a": 1}, ValueError), ([1, 2], TypeError)],
)
def test_bad_class_weights(weight, error):
    with pytest.raises(error, match="class_weight"):
        class_weights(weight, np.zeros(3), 3, FLOAT32)


def test_rows_kept_for_training_are_those_of_keras():
    # floor(n * (1 - share))
    assert [rows_kept(share, 10) for share in (0.1, 0.25, 0.3, 0.5, 0.89)] == [9, 7, 7, 5, 1]


@pytest.mark.parametrize("share", [1, 1.5, -0.1, "0.1", True, np.nan])
def test_bad_shares(share):
    with pytest.raises(ValueError, match="validation_split="):
        rows_kept(share, 10)


def test_a_part_without_rows_is_refused():
    with pytest.raises(ValueError, match="validation_split=0.5 of 1 row leaves one part empty"):
        rows_kept(0.5, 1)
    with pytest.raises(ValueError, match="validation_split=0.99 of 10 rows"):
        rows_kept(0.99, 10)


def test_validation_data_has_two_or_three_parts():
    assert validation_parts((1, 2)) == (1, 2, None)
    assert validation_parts([1, 2, 3]) == (1, 2, 3)
    for bad in ((1,), (1, 2, 3, 4), np.zeros((2, 2)), 0.2):
        with pytest.raises(ValueError, match="validation_data is a tuple"):
            validation_parts(bad)


def small_model(**settings):
    model = fastbp.Sequential([fastbp.Dense(4, activation="relu"), fastbp.Dense(2)], seed=0, **settings)
    model.compile(optimizer="sgd", loss="mean_squared_error", metrics=["mean_absolute_error"])
    return model


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3)).astype("float32")
    return x, np.column_stack([x.sum(1), x[:, 0]])


def test_every_form_of_the_same_data_trains_to_the_same_bits(table):
    x, y = table
    expected = small_model()
    history = expected.fit(x, y, epochs=2, batch_size=16, verbose=0).history
    weight = np.ones(50)
    forms = [
        (x.astype("float64"), y.tolist(), None),
        (np.asfortranarray(x), np.asfortranarray(y), None),
        (pd.DataFrame(x, columns=list("abc")), pd.DataFrame(y, index=range(50, 0, -1)), pd.Series(weight)),
        (x.tolist(), y.astype("float32"), weight.tolist()),
    ]
    for given in forms:
        model = small_model()
        again = model.fit(*given[:2], sample_weight=given[2], epochs=2, batch_size=16, verbose=0).history
        np.testing.assert_array_equal(model.params, expected.params)
        assert again["loss"] == history["loss"]
        np.testing.assert_allclose(again["mean_absolute_error"], history["mean_absolute_error"], rtol=1e-6)
        np.testing.assert_array_equal(model.predict(given[0]), expected.predict(x))
        np.testing.assert_allclose(model.evaluate(*given[:2]), expected.evaluate(x, y), rtol=1e-6)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_memory_maps_are_read_in_place(table, tmp_path, monkeypatch, mode):
    x, y = table
    expected = small_model()
    expected.fit(x, y, epochs=2, batch_size=16, validation_split=0.2, verbose=0)
    x.tofile(tmp_path / "x")
    y.astype("float32").tofile(tmp_path / "y")
    mapped_x = np.memmap(tmp_path / "x", "float32", mode, shape=x.shape)
    mapped_y = np.memmap(tmp_path / "y", "float32", mode, shape=y.shape)
    model = small_model()
    rows = model._rows(mapped_x, mapped_y)
    assert np.shares_memory(rows.x, mapped_x)
    assert np.shares_memory(rows.targets, mapped_y)
    model.fit(mapped_x, mapped_y, epochs=2, batch_size=16, validation_split=0.2, verbose=0)
    np.testing.assert_array_equal(model.params, expected.params)
    np.testing.assert_array_equal(model.predict(mapped_x), expected.predict(x))
    dx = model.vjp(mapped_x, np.ones((50, 2)))
    assert type(dx) is np.ndarray
    assert dx.flags.writeable
    np.testing.assert_array_equal(mapped_x, x)


def test_inputs_are_never_written_to(table):
    x, y = table
    x, y, weight = x.copy(), y.astype("float32"), np.linspace(0, 1, 50, dtype="float32")
    kept = [array.copy() for array in (x, y, weight)]
    for array in (x, y, weight):
        array.flags.writeable = False
    model = small_model()
    model.fit(x, y, sample_weight=weight, epochs=2, batch_size=16, verbose=0)
    model.fit(x, np.eye(2)[np.arange(50) % 2], sample_weight=weight, class_weight={0: 2.0}, verbose=0)
    model.train_on_batch(x, y, weight)
    model.value_and_grad(x, y)
    for array, before in zip((x, y, weight), kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_one_row_one_column_one_output():
    model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    model.compile(optimizer="sgd", loss="mean_squared_error")
    model.fit([[2.0]], [1.0], epochs=2, batch_size=7, verbose=0)
    assert model.predict([[2.0]]).shape == (1, 1)
    assert model.predict(np.zeros((0, 1))).shape == (0, 1)


# Masks, complex numbers and NumPy's own types of numbers

VECTOR, MATRIX = np.arange(4, dtype="float32"), TABLE.astype("float32")


def masked(array, dtype=None):
    """An array whose first entry is masked."""
    return np.ma.masked_array(
        array if dtype is None else array.astype(dtype), np.arange(array.size).reshape(array.shape) == 0
    )


def fitted_by(call):
    """Return functions that give an argument of one's own to an entry point of this name."""
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0)
    model.compile("sgd", "mean_squared_error")
    entries = {
        "fit": lambda x=MATRIX, y=VECTOR, **more: model.fit(x, y, verbose=0, **more),
        "evaluate": lambda x=MATRIX, y=VECTOR, **more: model.evaluate(x, y, **more),
        "train_on_batch": lambda x=MATRIX, y=VECTOR, **more: model.train_on_batch(x, y, **more),
        "value_and_grad": lambda x=MATRIX, y=VECTOR, **more: model.value_and_grad(x, y, **more),
        "predict": lambda x: model.predict(x),
        "vjp": lambda x=MATRIX, dout=VECTOR[:, None]: model.vjp(x, dout),
        "apply_gradients": lambda grad: model.apply_gradients(grad),
        "set_weights": lambda bias: model.set_weights([np.zeros((3, 1)), bias]),
        "classifier": lambda x=MATRIX, y=VECTOR > 1, **more: fastbp.MLPClassifier(max_iter=1).fit(x, y, **more),
        "regressor": lambda x=MATRIX, y=VECTOR, **more: fastbp.MLPRegressor(max_iter=1).fit(x, y, **more),
        "tabular": lambda y=VECTOR, **more: fastbp.TabularRegressor("fast").fit(MATRIX, y, **more),
    }
    return entries[call]


GIVEN = [
    *(
        (call, name)
        for call in ("fit", "evaluate", "train_on_batch", "value_and_grad")
        for name in ("x", "y", "sample_weight")
    ),
    *(("fit", name) for name in ("validation_data", "validation_y", "validation_weight")),
    *(("predict", "x"), ("vjp", "x"), ("vjp", "dout"), ("apply_gradients", "grad"), ("set_weights", "bias")),
    *((call, name) for call in ("classifier", "regressor") for name in ("x", "y", "sample_weight")),
    *(("tabular", "y"), ("tabular", "sample_weight")),
]
SHAPES = {"x": MATRIX, "dout": VECTOR[:, None], "grad": VECTOR, "bias": VECTOR[:1]}


@pytest.mark.parametrize(("call", "name"), GIVEN)
def test_masked_arrays_are_refused(call, name):
    function = fitted_by(call)
    for dtype in ("float32", "float64", "int64"):
        bad = masked(SHAPES.get(name, VECTOR), dtype)
        parts = {"validation_data": (masked(MATRIX, dtype), VECTOR), "validation_y": (MATRIX, bad)}
        parts["validation_weight"] = (MATRIX, VECTOR, bad)
        given = {"validation_data": parts[name]} if name in parts else {name: bad}
        with pytest.raises(ValueError, match="masked"):
            function(**given)


@pytest.mark.parametrize(("call", "name"), GIVEN)
def test_complex_numbers_are_refused(call, name):
    bad = SHAPES.get(name, VECTOR) + 1j
    parts = {"validation_data": (MATRIX + 1j, VECTOR), "validation_y": (MATRIX, bad)}
    parts["validation_weight"] = (MATRIX, VECTOR, bad)
    given = {"validation_data": parts[name]} if name in parts else {name: bad}
    with pytest.raises(ValueError, match="(?i)complex"):
        fitted_by(call)(**given)


def test_lists_of_masked_rows_are_refused_and_masks_of_nothing_are_none():
    model = fastbp.Sequential([fastbp.Dense(1)], input_shape=(3,), seed=0)
    with pytest.raises(ValueError, match="some entries are masked"):
        model.predict([masked(row) for row in MATRIX])
    whole = np.ma.masked_array(MATRIX, False)
    np.testing.assert_array_equal(model.predict(whole), model.predict(MATRIX))


def test_numbers_of_few_bits_do_not_overflow():
    x = np.random.default_rng(0).normal(size=(40_000, 3)).astype("float32")
    histories = []
    for number in (lambda value, kind: getattr(np, kind)(value), lambda value, kind: value):
        layers = [fastbp.Dense(number(100, "int8"), "relu"), fastbp.Dense(number(1, "uint8"))]
        rate = fastbp.CosineDecay(
            0.01, decay_steps=number(100, "int8"), warmup_steps=number(9, "int8"), warmup_target=0.02
        )
        model = fastbp.Sequential(layers, input_shape=(number(3, "int8"),), seed=number(7, "int8"))
        model.compile(fastbp.Adam(rate), "mean_squared_error")
        settings = {"batch_size": number(64, "int16"), "epochs": number(2, "int8"), "verbose": 0}
        histories.append(model.fit(x, x[:, 0], **settings).history)
    assert histories[0] == histories[1]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_numbers_of_few_bits_do_not_overflow_in_estimators():
    x = np.random.default_rng(0).normal(size=(5000, 3)).astype("float32")
    scores = []
    for number in (lambda value, kind: getattr(np, kind)(value), lambda value, kind: value):
        settings = {"batch_size": number(64, "int8"), "max_iter": number(3, "int8"), "learning_rate": "one_cycle"}
        settings["n_iter_no_change"] = number(127, "int8")
        mlp = fastbp.MLPRegressor("squared_error", (number(100, "int8"),), random_state=0, **settings)
        scores.append(mlp.fit(x, x[:, 0]).predict(x[:9]))
    np.testing.assert_array_equal(*scores)
