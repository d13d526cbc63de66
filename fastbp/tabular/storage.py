"""How a fitted tabular estimator becomes a file and a model card, and an estimator again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators.files import packed, with_parameters
from fastbp.io import filechecks
from fastbp.io.saving import save_tensors
from fastbp.tabular.bagging import Ensemble
from fastbp.tabular.encoding import TableEncoder

KIND = "tabular"


class Stored(BaseEstimator):
    """What `fastbp.load_model` and `save` need of an estimator whose parts are an encoder, a target and an ensemble."""

    _target_kind: Any  # class of the target, which learns it and reads it from a file

    def card(self, *, license: str | None = None, date: str | None = None) -> str:
        """Return a model card: what it predicts from which columns, its scores, versions and limits, as Markdown.

        Parameters
        ----------
        license, date : str, optional
            Of the model: files keep neither, so that the same training gives the same bytes.

        Returns
        -------
        str

        Raises
        ------
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> clf = fastbp.TabularClassifier("fast", random_state=0).fit(X[::2], y[::2])
        >>> print(clf.card(license="CC0-1.0").splitlines()[0])
        # Model card: TabularClassifier of 'target'
        """
        check_is_fitted(self)
        from fastbp.tabular.card import tabular_card

        return tabular_card(self, license=license, date=date)

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to one safetensors file, which `fastbp.load_model` reads.

        Out-of-fold predictions are left out. Where repeated rows help (``ensemble_.repeats``), the file holds a hash
        number of each training row and the sums of their targets.

        Parameters
        ----------
        path : str or path
            The file appears whole or not at all.

        Raises
        ------
        NotFittedError
            Before `fit`.
        OSError
            Where the folder is not there, or cannot be written to.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> clf = fastbp.TabularClassifier("fast", random_state=0).fit(X[::2], y[::2])
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "iris.fastbp")
        >>> clf.save(path)
        >>> bool((fastbp.load_model(path).predict_proba(X) == clf.predict_proba(X)).all())
        True
        """
        save_tensors(path, *self.get_state())

    def get_state(self) -> tuple[dict[str, np.ndarray], dict]:
        """Return what a file needs: tensors by name, and a JSON-ready description."""
        check_is_fitted(self)
        tensors: dict[str, np.ndarray] = {}
        description: dict[str, Any] = {"kind": KIND, "class": type(self).__name__}
        for name, part in (("encoder", self.encoder_), ("ensemble", self.ensemble_)):
            own, description[name] = part.get_state()
            tensors |= {f"{name}/{key}": array for key, array in own.items()}
        description["parameters"] = {key: packed(value) for key, value in self._kept_params().items()}
        description["named"] = hasattr(self, "feature_names_in_")
        description["target"], description["reading"] = self._target.get_state(), self.reading_
        description["target_name"], description["best_score"] = self.target_name_, self.best_score_
        description["importances"] = self._described_importances()
        return tensors, description

    def _kept_params(self):
        """Return the parameters that a file holds: callbacks are left out."""
        return self.get_params(deep=False) | {"callbacks": None}

    @classmethod
    def from_state(cls, tensors: dict[str, np.ndarray], description: dict) -> Self:
        """Return the estimator that `get_state` described."""
        estimator = with_parameters(cls, description["parameters"], {})
        parts = {"target": cls._target_kind.from_state(description["target"])}
        for name, kind in (("encoder", TableEncoder), ("ensemble", Ensemble)):
            prefix = f"{name}/"
            own = {key[len(prefix) :]: array for key, array in tensors.items() if key.startswith(prefix)}
            parts[name] = kind.from_state(own, description[name])
        parts["ensemble"].check_against(parts["encoder"], estimator._objective(parts["target"]).n_outputs)
        if description["target_name"] is not None:
            filechecks.text(description["target_name"], "target_name")
        named = filechecks.flag(description["named"], "named")
        estimator._hold(**parts, target_name=description["target_name"], named=named)
        estimator.best_score_ = filechecks.number_or_none(description["best_score"], "best_score")
        estimator.reading_ = description.get("reading", {})
        if not isinstance(estimator.reading_, dict):
            raise ValueError(f"what was read is no dict but {estimator.reading_!r}.")
        estimator._hold_oof(None)
        estimator._take_importances(description.get("importances"))
        return estimator
