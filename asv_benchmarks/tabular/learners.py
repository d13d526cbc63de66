"""Learners by name: what a user of each library would write, with its defaults.

Peers are imported when used; those that are not installed are reported and left out.
"""

from importlib.util import find_spec

from sklearn.base import BaseEstimator


def make(name, is_regression, threads):
    """Return the unfitted learner of a name."""
    return LEARNERS[name][1](is_regression, threads)


def missing(name):
    """Return the package that a learner needs and that is not installed, or None."""
    package = LEARNERS[name][0]
    return None if find_spec(package) else package


def _fastbp(preset):
    def build(is_regression, threads):
        import fastbp

        estimator = fastbp.TabularRegressor if is_regression else fastbp.TabularClassifier
        return estimator(preset, random_state=0, n_threads=threads)

    return build


def _lightgbm(is_regression, threads):
    import lightgbm

    estimator = lightgbm.LGBMRegressor if is_regression else lightgbm.LGBMClassifier
    return estimator(n_jobs=threads, verbose=-1)


def _xgboost(is_regression, threads):
    import xgboost

    estimator = xgboost.XGBRegressor if is_regression else xgboost.XGBClassifier
    return estimator(n_jobs=threads, enable_categorical=True)


def _catboost(is_regression, threads):
    import catboost

    estimator = catboost.CatBoostRegressor if is_regression else catboost.CatBoostClassifier
    return WithNamedCategories(estimator(thread_count=threads, verbose=0, allow_writing_files=False))


def _sklearn(is_regression, threads):
    from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_include="category")),
    )
    if is_regression:
        return make_pipeline(
            columns, TransformedTargetRegressor(MLPRegressor(random_state=0), transformer=StandardScaler())
        )
    return make_pipeline(columns, MLPClassifier(random_state=0))


def _realmlp(is_regression, threads):
    """RealMLP-TD, with its authors' setting for the log loss."""
    import pytabkit

    settings = {"random_state": 0, "n_threads": threads, "device": "cpu"}
    if is_regression:
        return WithMedians(pytabkit.RealMLP_TD_Regressor(**settings))
    return WithMedians(pytabkit.RealMLP_TD_Classifier(**settings, use_ls=False, val_metric_name="cross_entropy"))


def _tabm(is_regression, threads):
    import pytabkit

    settings = {"random_state": 0, "n_threads": threads, "device": "cpu"}
    if is_regression:
        return WithMedians(pytabkit.TabM_D_Regressor(**settings))
    return WithMedians(pytabkit.TabM_D_Classifier(**settings, val_metric_name="cross_entropy"))


LEARNERS = {
    "fastbp-fast": ("fastbp", _fastbp("fast")),
    "fastbp": ("fastbp", _fastbp("default")),
    "fastbp-best": ("fastbp", _fastbp("best")),
    "lgbm": ("lightgbm", _lightgbm),
    "xgb": ("xgboost", _xgboost),
    "catboost": ("catboost", _catboost),
    "skmlp": ("sklearn", _sklearn),
    "realmlp-ce": ("pytabkit", _realmlp),
    "tabm": ("pytabkit", _tabm),
}


class Wrapper(BaseEstimator):
    """A learner behind a preparation of its frames."""

    def __init__(self, learner):
        self.learner = learner

    def fit(self, frame, y):
        """Fit the learner."""
        self.learner.fit(self.prepare(frame), y)
        return self

    def predict(self, frame):
        """Return the learner's predictions."""
        return self.learner.predict(self.prepare(frame))

    def predict_proba(self, frame):
        """Return the learner's probabilities."""
        return self.learner.predict_proba(self.prepare(frame))


class WithNamedCategories(Wrapper):
    """CatBoost wants text, and to be told which columns are categories."""

    def fit(self, frame, y):
        """Fit the learner."""
        self.learner.fit(self.prepare(frame), y, cat_features=list(frame.select_dtypes("category")))
        return self

    def prepare(self, frame):
        """Return the frame with text for categories."""
        return frame.assign(**{name: frame[name].astype(str) for name in frame.select_dtypes("category")})


class WithMedians(Wrapper):
    """RealMLP and TabM refuse missing numbers: they get the training rows' medians."""

    def fit(self, frame, y):
        """Fit the learner."""
        self.medians = frame.select_dtypes("number").median().fillna(0)
        return super().fit(frame, y)

    def prepare(self, frame):
        """Return the frame without missing numbers."""
        return frame.fillna(self.medians)
