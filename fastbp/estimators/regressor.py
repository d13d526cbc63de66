"""MLPRegressor: scikit-learn's class, trained by compiled steps."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils._param_validation import StrOptions

from fastbp.estimators.base import PARAMETER_CONSTRAINTS, BaseMLP
from fastbp.estimators.checked import settings_checked, where_batches_are
from fastbp.estimators.names import known_solvers
from fastbp.estimators.objectives import regression_objective
from fastbp.estimators.scores import r2
from fastbp.losses import Loss
from fastbp.optimizers.base import Optimizer


class MLPRegressor(RegressorMixin, BaseMLP):
    """Multi-layer perceptron regressor: scikit-learn's, in compiled steps.

    It minimises half the squared error or another loss. All parameters, attributes and defaults of
    `sklearn.neural_network.MLPRegressor` are there; `dropout`, `callbacks`, `n_threads`, the `validation_data` of
    `fit` and fastbp's own names and objects come on top.

    Parameters
    ----------
    loss : {'squared_error', 'poisson', 'mean_absolute_error', 'huber'} or fastbp loss, default='squared_error'
        'squared_error' and 'poisson' are half the squared error and half the Poisson deviance (with the exponential as
        output activation, for ``y >= 0``). A fastbp loss, such as ``fastbp.Huber(0.5)``, sees the outputs as they are.
    hidden_layer_sizes : array-like of shape (n_layers - 2,), default=(100,)
        Units of each hidden layer.
    activation : str or fastbp activation, default='relu'
        Of the hidden layers: 'identity', 'logistic', 'tanh', 'relu', or what `fastbp.Dense` takes, by name or as
        an object ('gelu', 'silu', `fastbp.LeakyReLU(0.1)`, ...).
    solver : str or fastbp optimizer, default='adam'
        'sgd' and 'adam' take a step a batch, with the parameters below; so do fastbp's other optimizers, by name
        ('rmsprop', 'adamw', 'lion', ...: `learning_rate_init`, else their own defaults) or as objects with their own
        settings, such as ``fastbp.AdamW(1e-3, weight_decay=0.01)``. 'lbfgs' is scipy's L-BFGS-B on all rows at
        once; 'lm' is Levenberg-Marquardt, for small networks and squared errors.
    alpha : float, default=0.0001
        Strength of the L2 penalty, ``alpha / 2 * |W|**2`` over the number (or the sum of the weights) of the rows in
        a batch; intercepts are not penalised.
    batch_size : int or 'auto', default='auto'
        Rows of a batch; 'auto' is ``min(200, n_samples)``. 'lbfgs' or 'lm' takes all rows.
    learning_rate : {'constant', 'invscaling', 'adaptive', 'cosine_decay', 'one_cycle'} or fastbp schedule, \
            default='constant'
        'invscaling' divides `learning_rate_init` by ``(t_ + 1) ** power_t`` after every epoch; 'adaptive' divides the
        rate by 5 when training stops getting better, and ends it below 1e-6; 'adam' ignores both, as in
        scikit-learn. 'cosine_decay' and 'one_cycle' start from and rise to `learning_rate_init`, over `max_iter`
        epochs; a schedule object, such as ``fastbp.CosineDecay(0.01, 1000)``, counts steps.
    learning_rate_init : float, default=0.001
    power_t : float, default=0.5
        Exponent of 'invscaling'.
    max_iter : int, default=200
        Epochs at most (of 'lbfgs' or 'lm': iterations).
    shuffle : bool, default=True
        Draw a new order of the rows for every epoch.
    random_state : int, RandomState instance or None, default=None
        Of the first weights, the rows set aside by early stopping, the orders (all drawn as scikit-learn draws them)
        and the dropout masks.
    tol : float, default=1e-4
        Training stops when the loss (with early stopping, the validation score) has not got better by `tol` for
        `n_iter_no_change` epochs; 'lbfgs' stops at gradients of this size.
    verbose : bool, default=False
        Print the loss of every epoch.
    warm_start : bool, default=False
        `fit` goes on from the weights that it left.
    momentum : float, default=0.9
        Of 'sgd'.
    nesterovs_momentum : bool, default=True
        Of 'sgd'.
    early_stopping : bool, default=False
        Stop by the score on rows set aside, and keep the weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping sets aside.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Of 'adam'.
    epsilon : float, default=1e-8
        Of 'adam'.
    n_iter_no_change : int, default=10
    max_fun : int, default=15000
        Evaluations of the loss by 'lbfgs' at most.
    dropout : float, default=0.0
        Share of each hidden layer's outputs that a training step sets to zero, at least 0 and below 1.
    callbacks : list of fastbp callbacks, default=None
        Called around training and epochs. Figures: 'loss', 'learning_rate', and with validation rows 'val_loss' and
        'val_r2_score'.
    n_threads : int, default=None
        Threads at most of this estimator's compiled calls; None: as `fastbp.get_num_threads` says. The results are
        the same.

    Attributes
    ----------
    loss_ : float
        The last loss.
    best_loss_ : float or None
        The smallest loss; None with early stopping.
    loss_curve_ : list of float
        The mean loss of every epoch, penalty included.
    validation_scores_ : list of float or None
        The R^2 of every epoch on the validation rows; None without any.
    best_validation_score_ : float or None
    t_ : int
        Rows trained on, epochs counted.
    n_iter_ : int
        Epochs (or iterations) of the last fit.
    coefs_, intercepts_ : list of arrays
        Weights (n_in, n_out) and biases (n_out,) of every layer: views into `model_.params`. An array put in their
        place is copied there.
    model_ : fastbp.Sequential
        The network beneath.
    n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_
        As in scikit-learn.

    Raises
    ------
    ValueError
        In `fit`, for a setting out of its range: the message names it. (As in scikit-learn nothing is checked before.)

    Notes
    -----
    From the same `random_state`, float64 data give scikit-learn's loss curve to rounding errors. float32 data train
    in float32, anything else in float64.

    A run whose loss becomes NaN or infinite ends with the ValueError that scikit-learn raises. `model_` is compiled
    with fastbp's nearest loss, for 'squared_error' ``mean_squared_error``, and with a penalty that is not divided by
    the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import MLPRegressor
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> regr = MLPRegressor(hidden_layer_sizes=(20,), activation="tanh", solver="lbfgs", random_state=0)
    >>> regr.fit(X, np.sin(3 * X[:, 0])).score(X, np.sin(3 * X[:, 0])) > 0.99
    True
    """

    _parameter_constraints: dict[str, list] = {
        **PARAMETER_CONSTRAINTS,
        "solver": [StrOptions(known_solvers() | {"lbfgs", "lm"}), Optimizer],
        "loss": [StrOptions({"squared_error", "poisson", "mean_absolute_error", "huber"}), Loss],
    }
    _score_name = "r2_score"

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        callbacks: list | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.callbacks = callbacks
        self.n_threads = n_threads

    def _check_full_batch(self, validation_data):
        super()._check_full_batch(validation_data)
        if self.solver == "lm" and self.loss != "squared_error":
            raise ValueError(f"solver='lm' minimises squared errors, not loss={self.loss!r}: take solver='lbfgs'.")

    def _learn_targets(self, y, incremental):
        pass

    def _targets(self, y):
        return y.reshape(-1, 1) if y.ndim == 1 else y

    def _n_outputs(self, targets):
        return targets.shape[1]

    def _objective(self):
        return regression_objective(self.loss, self.n_outputs_)

    def _network_targets(self, objective, targets, dtype):
        return objective.loss.prepare_targets(targets, self.n_outputs_, dtype)

    def _stratifies(self):
        return False

    def _validation_score(self, rows):
        return r2(rows.y, self.model_.engine.predict(rows.x), rows.weight)

    def predict(self, X: Any) -> np.ndarray:
        """Predict using the multi-layer perceptron model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predicted values.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            For missing or infinite numbers, and another number of columns than in training.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> X = np.linspace(-1, 1, 200)[:, None]
        >>> y = np.sin(3 * X[:, 0])
        >>> reg = fastbp.MLPRegressor(hidden_layer_sizes=(20,), activation="tanh", solver="lbfgs", random_state=0)
        >>> reg = reg.fit(X, y)
        >>> bool(abs(reg.predict([[0.5]]) - np.sin(1.5)).item() < 0.05)
        True
        """
        outputs = self._outputs(X)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the coefficient of determination, R^2, on given test data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Test samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True values.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        score : float
            1.0 where all predictions are right, 0.0 where they are no better than the mean of `y`; of several outputs
            the mean.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            For missing or infinite numbers, and another number of columns than in training.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> X = np.linspace(-1, 1, 200)[:, None]
        >>> y = np.sin(3 * X[:, 0])
        >>> reg = fastbp.MLPRegressor(hidden_layer_sizes=(20,), activation="tanh", solver="lbfgs", random_state=0)
        >>> reg.fit(X, y).score(X, y) > 0.99
        True
        """
        return super().score(X, y, sample_weight)

    @where_batches_are
    @settings_checked
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Update the model with a single iteration over the given data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        self : object
            Trained MLP model.

        Raises
        ------
        AttributeError
            Where the solver takes all rows at every step ('lbfgs', 'lm').
        ValueError
            For settings and data as in `fit`.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> X = np.linspace(-1, 1, 200)[:, None]
        >>> reg = fastbp.MLPRegressor(hidden_layer_sizes=(20,), random_state=0)
        >>> for start in range(4):  # parts of a file, say
        ...     reg = reg.partial_fit(X[start::4], np.sin(3 * X[start::4, 0]))
        >>> reg.t_
        200
        """
        return self._fit(X, y, sample_weight, None, incremental=True)
