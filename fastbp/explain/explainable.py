"""What `Sequential` has for looking into it: attributions, inner outputs, statistics of its layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.engine.user_arrays import as_float_rows, check_rows, held

if TYPE_CHECKING:
    import pandas as pd

    from fastbp.explain.attributions import Attributions


class Explainable:
    """Base of `Sequential`: why it predicts what it predicts."""

    _built: Callable
    value_and_grad: Callable

    def explain(self, x: ArrayLike, method: Any = "integrated_gradients", *, output: int | None = None) -> Attributions:
        """Attribute the outputs for `x` to its entries.

        Parameters
        ----------
        x : array-like (n, ...)
        method : {"integrated_gradients", "gradients", "smoothgrad"}, or an object of `fastbp.explain`
            `IntegratedGradients` (from a baseline of zeros) gives contributions that sum to the prediction minus that
            for the baseline; `InputGradients` the gradient at `x`; `SmoothGrad` its mean over noisy copies.
        output : int or tuple of int, optional
            Which output: the index in the output shape. By default all, on a last axis (of one output there is none).

        Returns
        -------
        fastbp.explain.Attributions
            Arrays `values`, of the shape of `x` (of several outputs with their shape behind it), `base_values`, `data`
            and `error`; `to_shap` makes a `shap.Explanation` of them.

        Raises
        ------
        ValueError
            For data that do not fit the model; where categories are not read by its first layers, or
            ``mask_zero=True``, which have no way between them.

        Notes
        -----
        Categories (`Embedding`, `CategoryEmbedding`, `OneHot`) get the sum of what their vector's numbers are given.
        `error` is how far the sums were off before what was left was spread over the values; a warning says so where
        that is more than a hundredth of the largest output.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> model = fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dense(3, "softmax")], input_shape=(4,), seed=0)
        >>> x = np.random.default_rng(0).normal(size=(5, 4))
        >>> found = model.explain(x)
        >>> found.values.shape
        (5, 4, 3)
        >>> bool(np.allclose(found.base_values + found.values.sum(axis=1), model.predict(x), atol=1e-5))
        True
        """
        from fastbp.explain.methods import attributions

        return attributions(self._built("explain"), self._checked_inputs("explain", x), method, output)

    def outputs_of(self, name: str, x: ArrayLike) -> np.ndarray:
        """Return the outputs of a layer for `x`, as prediction runs it (without dropout).

        Parameters
        ----------
        name : str
            As `summary` and `views` have it: "dense_1".
        x : array-like (n, ...)

        Returns
        -------
        array (n, ...)
            After the layer's activation.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> model = fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dense(1)], input_shape=(4,), seed=0)
        >>> model.outputs_of("dense", np.ones((2, 4))).shape
        (2, 8)
        """
        from fastbp.explain.subnetwork import part_to

        part = part_to(self._built("outputs_of"), name)
        return part.predict(self._checked_inputs("outputs_of", x))

    def layer_statistics(
        self, x: ArrayLike, y: ArrayLike | None = None, *, sample_weight: ArrayLike | None = None
    ) -> pd.DataFrame:
        """Return figures on every layer's outputs for `x`, on its weights, and on their gradient where `y` is given.

        Parameters
        ----------
        x : array-like (n, ...)
            Some hundreds of rows will do.
        y : array-like, optional
            Targets, for the gradient of the mean loss.
        sample_weight : array-like (n,), optional

        Returns
        -------
        DataFrame
            A row for each layer. Of its outputs: "mean", "std", "min", "max", "zeros" (the share of them) and
            "constant" (the share of units that are the same in all rows: of a relu layer the dead ones). Of its
            parameters: "weights" and "gradient", the roots of their mean squares, and "ratio", gradient by weights.

        Notes
        -----
        `grads` stays as it was.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> model = fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dense(1)], input_shape=(4,), seed=0)
        >>> model.compile(loss="mse")
        >>> x = np.random.default_rng(0).normal(size=(64, 4))
        >>> list(model.layer_statistics(x, x.sum(axis=1)).index)
        ['dense', 'dense_1']
        """
        from fastbp.explain.statistics import layer_statistics

        engine, x = self._built("layer_statistics"), self._checked_inputs("layer_statistics", x)
        grads = None
        if y is not None:
            before = engine.grads.copy()
            grads = self.value_and_grad(x, y, sample_weight=sample_weight)[1]
            engine.grads[:] = before
        return layer_statistics(engine, x, grads)

    def _checked_inputs(self, what, x):
        """Return rows as the engine takes them, or raise ValueError."""
        engine = self._built(what)
        x = as_float_rows(held(x), self.dtype, shape=engine.network.input_shape)
        check_rows(x)
        engine.network.check_input(x)
        self.tell_changes()
        return x
