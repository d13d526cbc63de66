"""scikit-learn's names and what they mean in fastbp: the one table."""

from dataclasses import replace

from fastbp.activations import ACTIVATIONS
from fastbp.optimizers import OPTIMIZERS, SGD, Adam
from fastbp.schedules import SCHEDULES, CosineDecay, OneCycle

# Activations of hidden layers, and of the last one (`out_activation_`).
ACTIVATION_NAMES = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}

# Solvers that take one step a batch, each made of the estimator's parameters; the engine's others get the rate alone.
SOLVERS = {
    "sgd": lambda mlp: SGD(mlp.learning_rate_init, mlp.momentum, bool(mlp.nesterovs_momentum)),
    "adam": lambda mlp: Adam(mlp.learning_rate_init, mlp.beta_1, mlp.beta_2, mlp.epsilon),
}

# How the learning rate changes between epochs; what changes between steps is a schedule.
LEARNING_RATE_MODES = ("constant", "invscaling", "adaptive")
SCHEDULE_NAMES = {"cosine_decay": CosineDecay, "one_cycle": OneCycle}


def activation_of(name):
    """Return the fastbp activation that a name of either library means; an object stands for itself."""
    return ACTIVATIONS.resolve(ACTIVATION_NAMES.get(name, name) if isinstance(name, str) else name)


def optimizer_of(mlp, total_steps):
    """Return a new optimizer for the parameters `solver` and `learning_rate`; `total_steps` is a schedule's length."""
    solver = mlp.solver
    if not isinstance(solver, str):
        optimizer = replace(solver)
    elif solver in SOLVERS:
        optimizer = SOLVERS[solver](mlp)
    else:
        optimizer = OPTIMIZERS[solver](mlp.learning_rate_init)
    if not isinstance(mlp.learning_rate, str):
        optimizer.learning_rate = mlp.learning_rate
    elif mlp.learning_rate in SCHEDULE_NAMES:
        optimizer.learning_rate = SCHEDULE_NAMES[mlp.learning_rate](initial_rate(mlp), total_steps)
    elif mlp.learning_rate != "constant" and callable(optimizer.learning_rate):
        raise ValueError(
            f"learning_rate={mlp.learning_rate!r} changes a constant rate, but {optimizer!r} has a schedule: set one "
            "of the two."
        )
    return optimizer


def initial_rate(mlp):
    """Return the learning rate that the changing ones begin with."""
    return mlp.learning_rate_init if isinstance(mlp.solver, str) else mlp.solver.learning_rate


def learning_rate_mode(mlp):
    """Return how the rate changes between epochs: that of "adam" does not, as in scikit-learn."""
    return "constant" if mlp.solver == "adam" else mlp.learning_rate


def known_activations():
    """Return the names of hidden activations."""
    return {"identity", "logistic", *ACTIVATIONS}


def known_solvers():
    """Return the names of solvers, those of a full batch left out."""
    return set(OPTIMIZERS)


def known_learning_rates():
    """Return the names that `learning_rate` may have."""
    return {*LEARNING_RATE_MODES, *SCHEDULE_NAMES}


def schedule_classes():
    """Return the classes of schedule objects."""
    return list(SCHEDULES.values())
