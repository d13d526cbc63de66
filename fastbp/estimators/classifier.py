"""MLPClassifier: scikit-learn's class, trained by compiled steps."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target

from fastbp.estimators.base import PARAMETER_CONSTRAINTS
from fastbp.estimators.checked import settings_checked, where_batches_are
from fastbp.estimators.labelled import LabelledMLP
from fastbp.estimators.labels import Labels, plain_labels
from fastbp.estimators.objectives import classification_objective


class MLPClassifier(ClassifierMixin, LabelledMLP):
    """Multi-layer perceptron classifier: scikit-learn's, in compiled steps.

    It minimises the log loss. All parameters, attributes and defaults of
    `sklearn.neural_network.MLPClassifier` are there; `dropout`, `class_weight`, `callbacks`, `n_threads`, the
    `validation_data` of `fit` and fastbp's own names and objects come on top.

    Parameters
    ----------
    hidden_layer_sizes : array-like of shape (n_layers - 2,), default=(100,)
        Units of each hidden layer.
    activation : str or fastbp activation, default='relu'
        Of the hidden layers: 'identity', 'logistic', 'tanh', 'relu', or what `fastbp.Dense` takes, by name or as
        an object ('gelu', 'silu', `fastbp.LeakyReLU(0.1)`, ...).
    solver : str or fastbp optimizer, default='adam'
        'sgd' and 'adam' take a step a batch, with the parameters below; so do fastbp's other optimizers, by name
        ('rmsprop', 'adamw', 'lion', ...: `learning_rate_init`, else their own defaults) or as objects with their own
        settings, such as ``fastbp.AdamW(1e-3, weight_decay=0.01)``. 'lbfgs' is scipy's L-BFGS-B on all rows at
        once.
    alpha : float, default=0.0001
        Strength of the L2 penalty, ``alpha / 2 * |W|**2`` over the number (or the sum of the weights) of the rows in
        a batch; intercepts are not penalised.
    batch_size : int or 'auto', default='auto'
        Rows of a batch; 'auto' is ``min(200, n_samples)``. 'lbfgs' takes all rows.
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
        Epochs at most (of 'lbfgs': iterations).
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
        Share of the rows that early stopping sets aside, stratified for two classes.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Of 'adam'.
    epsilon : float, default=1e-8
        Of 'adam'.
    n_iter_no_change : int, default=10
    max_fun : int, default=15000
        Evaluations of the loss by 'lbfgs' at most.
    dropout : float, default=0.0
        Share of each hidden layer's outputs that a training step sets to zero, at least 0 and below 1.
    class_weight : dict, 'balanced' or None, default=None
        Factors on the rows of each class; 'balanced' makes the classes weigh the same.
    callbacks : list of fastbp callbacks, default=None
        Called around training and epochs. Figures: 'loss', 'learning_rate', and with validation rows 'val_loss' and
        'val_accuracy'.
    n_threads : int, default=None
        Threads at most of this estimator's compiled calls; None: as `fastbp.get_num_threads` says. The results are
        the same.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    loss_ : float
        The last loss.
    best_loss_ : float or None
        The smallest loss; None with early stopping.
    loss_curve_ : list of float
        The mean loss of every epoch, penalty included.
    validation_scores_ : list of float or None
        The accuracy of every epoch on the validation rows; None without any.
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
    with fastbp's nearest loss, a crossentropy (of several labels the mean, not the sum), and with a penalty that is
    not divided by the rows.

    Examples
    --------
    >>> from fastbp import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier((20,), max_iter=500, learning_rate_init=0.01, random_state=0).fit(X, y)
    >>> clf.predict(X[::50])
    array([0, 1, 2])
    >>> clf.score(X, y) > 0.95
    True
    """

    _parameter_constraints: dict[str, list] = {
        **PARAMETER_CONSTRAINTS,
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }
    _score_name = "accuracy"

    def __init__(
        self,
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
        class_weight: Any = None,
        callbacks: list | None = None,
        n_threads: int | None = None,
    ) -> None:
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
        self.class_weight = class_weight
        self.callbacks = callbacks
        self.n_threads = n_threads

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy on given test data and labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Test samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        score : float
            The share of rows whose labels are all predicted.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = fastbp.MLPClassifier((20,), solver="lbfgs", random_state=0).fit(X, y)
        >>> clf.score(X, y) > 0.95
        True
        """
        return super().score(X, plain_labels(y), sample_weight)

    def _objective(self):
        return classification_objective(self._label_kind == "multiclass", self.n_outputs_)

    def _stratifies(self):
        return self.n_outputs_ == 1

    def predict(self, X: Any) -> np.ndarray:
        """Predict using the multi-layer perceptron classifier.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray, shape (n_samples,) or (n_samples, n_classes)
            The predicted classes.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            For missing or infinite numbers, and another number of columns than in training.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = fastbp.MLPClassifier((20,), solver="lbfgs", random_state=0).fit(X, y)
        >>> clf.predict(X[::50])
        array([0, 1, 2])
        """
        outputs = self._outputs(X)
        return self._labels.decode(outputs)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability estimates.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y_prob : ndarray of shape (n_samples, n_classes)
            The predicted probability of the sample for each class in the model, where classes are ordered as they
            are in `self.classes_`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            For missing or infinite numbers, and another number of columns than in training.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = fastbp.MLPClassifier((20,), solver="lbfgs", random_state=0).fit(X, y)
        >>> clf.predict_proba(X[::50]).round(2)
        array([[1., 0., 0.],
               [0., 1., 0.],
               [0., 0., 1.]])
        """
        outputs = self._outputs(X)
        return outputs if outputs.shape[1] > 1 else np.hstack([1 - outputs, outputs])

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the log of probability estimates.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        log_y_prob : ndarray of shape (n_samples, n_classes)
            ``log(predict_proba(X))``.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = fastbp.MLPClassifier((20,), solver="lbfgs", random_state=0).fit(X, y)
        >>> clf.predict_log_proba(X[::50]).argmax(axis=1)
        array([0, 1, 2])
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    @where_batches_are
    @settings_checked
    def partial_fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, classes: ArrayLike | None = None
    ) -> Self:
        """Update the model with a single iteration over the given data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,)
            The target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.
        classes : array of shape (n_classes,), default=None
            Classes across all calls to partial_fit, as ``np.unique(y_all)`` gives them; required for the first
            call, not for those after it. Note that y doesn't need to contain all labels in `classes`.

        Returns
        -------
        self : object
            Trained MLP model.

        Raises
        ------
        AttributeError
            Where the solver takes all rows at every step ('lbfgs').
        ValueError
            Where the first call has no `classes`, y has others, or ``class_weight="balanced"``; else as in `fit`.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = fastbp.MLPClassifier((20,), learning_rate_init=0.01, random_state=0)
        >>> for start in range(5):  # parts of a file, say
        ...     clf = clf.partial_fit(X[start::5], y[start::5], classes=[0, 1, 2])
        >>> clf.t_
        150
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit. Compute the weights from all of y with "
                "compute_class_weight('balanced', classes=classes, y=y) and give class_weight a dict."
            )
        y, classes = plain_labels(y), plain_labels(classes)
        if _check_partial_fit_first_call(self, classes):
            self._labels = Labels.of(y if type_of_target(y).startswith("multilabel") else classes)
        return self._fit(X, y, sample_weight, None, incremental=True)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
