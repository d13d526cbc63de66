"""The methods of the tabular estimators that explain them; `BaseTabular` has the rest."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fastbp.explain.permutation import Importances
from fastbp.io import filechecks
from fastbp.tabular.columns import as_table, nearest_name, with_rows
from fastbp.tabular.tablewarning import tell

if TYPE_CHECKING:
    import pandas as pd


def _numbers_of(part, outputs):
    """Return one of several targets' probabilities, or its quantity, as (n, k)."""
    if not hasattr(part, "classes"):
        return part.decode(outputs)
    p = outputs.astype(np.float64)
    return p / p.sum(axis=1, keepdims=True)


class Insightful:
    """Base of the tabular estimators: the importance of columns, for the model and for each row."""

    ensemble_: Any
    encoder_: Any
    _thread_limit: Any

    @property
    def feature_importances_(self) -> np.ndarray:
        """How much the loss rises where a column is shuffled among rows that were not trained on.

        An array with an entry for each column: the means of `importances`, which has standard errors too; 0 for
        columns that are not used. Computed when first asked for.
        """
        check_is_fitted(self)
        if self.ensemble_.kept is None and self.ensemble_.importances is None:
            raise AttributeError(
                "the rows that the networks left out are gone (a file does not hold them): call importances(X, y)."
            )
        return self.importances()["importance"].to_numpy()

    def importances(self, X: Any = None, y: Any = None, *, n_repeats: int = 5) -> pd.DataFrame:
        """Return each column's permutation importance, with its standard error.

        A column's values are shuffled among the rows (all that is made of it together), and the loss of the
        predictions is compared with that before. Nothing is trained.

        Parameters
        ----------
        X, y : table and target, optional
            Rows to judge by. By default at most some 4,096 rows of training, each judged by the networks that did not
            train on it (with `eval_set`: rows of that).
        n_repeats : int, default=5
            Shuffles of each column.

        Returns
        -------
        DataFrame
            A row for each column of training, "importance" and "standard_error" (over the rows). For classes it is the
            rise of the log loss; for quantities that of the squared error as a share of the target's variance (R^2
            that is lost; of several targets the mean); for quantiles that of the pinball loss. Columns that are not
            used have 0.

        Raises
        ------
        ValueError
            In a model from a file where X and y are not given: files hold no rows of training.

        Notes
        -----
        Where two columns tell the same, each seems to count less than it does: the network reads it in the other.

        References
        ----------
        Breiman, Random forests, 2001; Fisher, Rudin and Dominici, All models are wrong, but many are useful, 2019.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> reg = fastbp.TabularRegressor("fast", random_state=0).fit(X, y)
        >>> strongest = reg.importances().sort_values("importance").index[-2:]
        >>> sorted(strongest)
        ['bmi', 's5']
        """
        from fastbp.tabular.insight.importances import importances

        check_is_fitted(self)
        if not isinstance(n_repeats, Integral) or n_repeats < 1:
            raise ValueError(f"n_repeats={n_repeats!r}: it is a whole number of at least 1.")
        if (X is None) != (y is None):
            raise ValueError("give X and y, or neither.")
        memory = (X is None, n_repeats) == (True, 5)
        if memory and self.ensemble_.importances is not None:
            return self._importance_frame(*self.ensemble_.importances)
        kept = self._kept_of(X, y) if X is not None else self.ensemble_.kept
        if kept is None:
            raise ValueError("a file does not hold the rows that the networks left out: call importances(X, y).")
        objective = self._objective(self._target)
        scale = self._target.scale if objective.quantiles else 1.0
        with self._thread_limit():
            found = importances(kept, self.encoder_, self.ensemble_, objective, scale, n_repeats)
        if memory:
            self.ensemble_.importances = found
        return self._importance_frame(*found)

    def explain(self, X: Any, *, background: Any = None, link: str = "identity", as_shap: bool = False) -> Any:
        """Return what each column contributes to the prediction for each row.

        Integrated gradients of the whole ensemble: the networks' gradients on the straight way from a typical row to
        the row (from vector to vector, for categories and numbers alike), summed over what was made of a column. A
        row's numbers sum to its prediction.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        background : table, optional
            Rows to compare with: the contributions are means over ways from (at most 16, evenly spread) of them, and
            the base value is the mean prediction for these. By default there is one way, from a typical row: numbers
            and dates at their medians, categories at the most frequent one. Each row takes as long as that one.
        link : {"identity", "logit"}, default="identity"
            For classes: explain probabilities, or their log odds, log(p / (1 - p)). Quantities are as `predict` has
            them.
        as_shap : bool, default=False
            Return a `shap.Explanation`, which the plots of shap take.

        Returns
        -------
        DataFrame, or shap.Explanation
            A row for each of X, a column for each of training's (0 where it is not used) and "(base value)"; "(repeated
            rows)" too where training rows with the same features join the prediction (``ensemble_.repeats``). The sum
            of a row is ``predict_proba(X)[:, 1]`` of two classes, or ``predict(X)``. With more classes, quantiles or
            targets the columns have two levels. The first one is the class, the quantile or the target's number:
            ``explain(X)[label].sum(axis=1)``. Of a `TabularMultiTask` it is the target's name, of classes "name=class".

        Raises
        ------
        ValueError
            For another `link`.
        ImportError
            With `as_shap`, where shap is not installed.

        Notes
        -----
        The way is cut finer where a sum is off by more than 0.005 of the largest prediction; what is left then is
        spread over the row's contributions in proportion to their sizes, so that sums are right to 1e-3 in any case.

        References
        ----------
        Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, 2017 (arXiv:1703.01365); Erion et al.,
        Improving performance of deep learning models with axiomatic attribution priors and expected gradients, 2021,
        for the mean over a background.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> reg = fastbp.TabularRegressor("fast", random_state=0).fit(X, y)
        >>> found = reg.explain(X[:5])
        >>> found.shape, bool(np.allclose(found.sum(axis=1), reg.predict(X[:5]), rtol=1e-3))
        ((5, 11), True)
        """
        from fastbp.tabular.insight.contributions import contributions
        from fastbp.tabular.insight.tables import contribution_frame

        head, outputs, places = self._explained(link)
        X = with_rows(X)
        x = self._encoded(X)
        start = None if background is None else self._encoded(with_rows(background))
        with self._thread_limit():
            values, base = contributions(self.encoder_, self.ensemble_, head, len(outputs), x, start)
            final = head.linked(self._predictions_of(self.ensemble_.outputs(x))[:, places])
        values = self._for_all_columns(values)
        # Of float32 outputs that are summed in another order, and of repeated rows.
        rest = final - (values.sum(axis=2).T + base)
        repeated = rest if self.ensemble_.repeats is not None else None
        if as_shap:
            return self._as_shap(X, values, base, repeated, outputs)
        index = X.index if hasattr(X, "index") and hasattr(X, "iloc") else None
        return contribution_frame(values, base, repeated, self.encoder_.feature_names_in, outputs, index)

    def partial_dependence(self, X: Any, column: str | int, *, grid_resolution: int = 20) -> pd.DataFrame:
        """Return the mean prediction for rows of X where one column has the same value in all of them.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Training rows, or others: 1,000 of them, evenly spread, make the means.
        column : str or int
            Its name, or its place.
        grid_resolution : int, default=20
            Values of the column that are tried: numbers and dates of X from the 5th to the 95th percentile (all, where
            there are no more; evenly spread over the different ones, where one stands in most rows), categories from
            the most frequent on; and a missing value, last, where X has one.

        Returns
        -------
        DataFrame
            Indexed by the values, with a column for each output: the probability of ``classes_[1]`` of two classes, of
            each class of more; the quantity, or each quantile or target.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            Where there is no such column, `grid_resolution` is out of range, or X has no row.

        References
        ----------
        Friedman, Greedy function approximation: a gradient boosting machine, 2001.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> reg = fastbp.TabularRegressor("fast", random_state=0).fit(X, y)
        >>> curve = reg.partial_dependence(X, "bmi")["target"]
        >>> bool(curve.iloc[-1] > curve.iloc[0])
        True
        """
        import pandas as pd

        from fastbp.tabular.insight.dependence import grid_rows, listed, mean_predictions
        from fastbp.tabular.insight.places import places_of

        check_is_fitted(self)
        if not isinstance(grid_resolution, Integral) or grid_resolution < 2:
            raise ValueError(f"grid_resolution={grid_resolution!r}: it is a whole number of at least 2.")
        name, X = self._column_name(column), with_rows(X)
        _, outputs, places = self._explained("identity")
        x = self._encoded(X)
        (coder,) = (coder for coder in self.encoder_.coders if coder.name == name)
        values = self.encoder_.column_of(X, name)
        rows, values = grid_rows(coder, values, int(grid_resolution)), listed(values)
        with self._thread_limit():
            found = mean_predictions(
                lambda some: self._predictions_of(self.ensemble_.outputs(some))[:, places],
                x,
                places_of(self.encoder_)[name],
                rows,
            )
        return pd.DataFrame(found, index=pd.Index([values[row] for row in rows], name=name), columns=outputs)

    def _column_name(self, column):
        """Return the name of a column that the model uses, or raise ValueError."""
        names = self.encoder_.feature_names_in
        if isinstance(column, Integral) and not isinstance(column, bool) and -len(names) <= column < len(names):
            column = names[column]
        if column not in names:
            raise ValueError(f"there is no column {column!r}.{nearest_name(str(column), names)}")
        if column in self.encoder_.dropped:
            raise ValueError(f"column {column!r} is not used: {self.encoder_.dropped[column]}.")
        return column

    def _encoded(self, X):
        """Return the encoded rows of a table; tell what is odd."""
        check_is_fitted(self)
        notices = []
        self._tell_about_names(X)
        with self._thread_limit():
            x = self.encoder_.transform(X, notices)
        tell(notices)
        return x

    def _predictions_of(self, outputs):
        """Return the user's numbers (n, k) for the ensemble's outputs (n, k)."""
        if hasattr(self._target, "blocks"):
            parts = zip(self._target.parts, self._target.blocks, strict=True)
            return np.concatenate([_numbers_of(part, outputs[:, block]) for part, block in parts], axis=1)
        if hasattr(self, "classes_"):
            return self._shares(outputs)
        return self._decided(outputs).reshape(len(outputs), -1)

    def _explained(self, link):
        """Return the head, the outputs that are explained (their names), and their places among the predictions."""
        from fastbp.tabular.insight.heads import ClassHead, QuantityHead

        check_is_fitted(self)
        if link not in ("identity", "logit"):
            raise ValueError(f"link={link!r}: it is 'identity' or 'logit'.")
        if hasattr(self._target, "blocks"):
            return self._joint_explained(link)
        if hasattr(self, "classes_"):
            labels = self.classes_.tolist()
            places = [1] if len(labels) == 2 else list(range(len(labels)))
            head = ClassHead(self.ensemble_.temperature, places, link == "logit", self._target.factors)
            return head, [labels[place] for place in places], places
        if link != "identity":
            raise ValueError("link='logit' is for probabilities; a regressor explains its predictions.")
        head = QuantityHead(self._target, self._decided, self.quantiles is not None)
        n_targets = len(getattr(self._target, "parts", [0]))
        names = list(self.quantiles) if self.quantiles is not None else list(range(n_targets))
        if len(names) == 1 and self.quantiles is None:
            names = [self.target_name_ or "prediction"]
        return head, names, list(range(len(names)))

    def _joint_explained(self, link):
        """Return the same of several targets, some of them classes."""
        from fastbp.tabular.insight.heads import ClassHead, JointHead, QuantityHead

        if link != "identity":
            raise ValueError("link='logit' is for a TabularClassifier.")
        target, temperatures = self._target, iter(np.atleast_1d(self.ensemble_.temperature))
        heads, outputs, places, numbers = [], [], [], []
        for number, (name, part, block) in enumerate(zip(target.names, target.parts, target.blocks, strict=True)):
            own, labels = [0], [name]
            if hasattr(part, "classes"):
                own = [1] if len(part.classes) == 2 else list(range(len(part.classes)))
                labels = [f"{name}={part.classes[place]}" for place in own]
                heads.append(ClassHead(next(temperatures), own, False))
            else:
                heads.append(QuantityHead(part, part.decode, False))
            outputs += labels
            places += [block.start + place for place in own]
            numbers += [(number, place) for place in range(len(own))]
        return JointHead(heads, list(target.blocks), numbers), outputs, places

    def _kept_of(self, X, y):
        """Return the user's rows as those to judge by."""
        from fastbp.tabular.insight.importances import kept_rows
        from fastbp.tabular.network_training import Part

        y = self._checked_target(y)
        X = with_rows(X)
        x = self._encoded(X)
        if len(x) != len(y):
            raise ValueError(f"X has {len(x)} rows and y {len(y)}.")
        part = Part(x, self._target.encode(y))
        return kept_rows(part, None, np.arange(len(x)), self.ensemble_.temperature)

    def _for_all_columns(self, values):
        """Return values (k, n, columns used) with zeros for the columns that are not used."""
        names = self.encoder_.feature_names_in
        spread = np.zeros((*values.shape[:2], len(names)))
        spread[:, :, [names.index(name) for name in self.encoder_.columns]] = values
        return spread

    def _importance_frame(self, importance, error):
        import pandas as pd

        frame = pd.DataFrame({"importance": importance, "standard_error": error}, index=self.encoder_.columns)
        return frame.reindex(pd.Index(self.encoder_.feature_names_in, name="column"), fill_value=0.0)

    def _described_importances(self):
        """Return the importances for a file, ready for JSON, or None where nobody has asked for them."""
        found = self.ensemble_.importances
        return None if found is None else {name: array.tolist() for name, array in found._asdict().items()}

    def _take_importances(self, state):
        """Take over what `_described_importances` returned, or raise ValueError."""
        if state is None:
            return
        n = len(self.encoder_.columns)
        arrays = [filechecks.listed(state[name], name, filechecks.real, n) for name in Importances._fields]
        self.ensemble_.importances = Importances(*map(np.array, arrays))

    def _as_shap(self, X, values, base, repeated, outputs):
        from fastbp.explain.attributions import shap_explanation
        from fastbp.tabular.insight.tables import REPEATED

        names, data = list(self.encoder_.feature_names_in), self._rows_of_features(X)
        if repeated is not None:
            names, values = [*names, REPEATED], np.concatenate([values, repeated.T[:, :, None]], axis=2)
            data = np.concatenate([data, np.full((len(data), 1), np.nan, object)], axis=1)
        if len(outputs) == 1:
            return shap_explanation(values[0], np.full(len(data), base[0]), data, names)
        named = [str(output) for output in outputs]
        return shap_explanation(np.moveaxis(values, 0, 2), np.tile(base, (len(data), 1)), data, names, named)

    def _rows_of_features(self, X):
        """Return the values (n, n_features_in_) of a table's columns, as objects."""
        from fastbp.tabular.insight.dependence import listed

        table, _ = as_table(X)
        values = np.full((len(table), self.n_features_in_), None, object)
        for place, name in enumerate(self.encoder_.feature_names_in):
            column = self.encoder_.column_of(X, name)
            if column is not None:
                values[:, place] = listed(column)
        return values
