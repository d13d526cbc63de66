"""A search with optuna that gives up hopeless trials after a few epochs.

What one learns: `fastbp.interop.optuna.PruningCallback` tells optuna the figure of each epoch, and ends the training of
a trial that optuna prunes.
"""

import optuna
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

import fastbp
from fastbp.interop.optuna import PruningCallback

X, Y = (scale(part) for part in load_diabetes(return_X_y=True))


def objective(trial):
    """Train with the settings of a trial; return the validation loss."""
    rate = trial.suggest_float("learning_rate", 1e-4, 1.0, log=True)
    units = trial.suggest_int("units", 4, 64, log=True)
    model = fastbp.Sequential([fastbp.Dense(units, "relu"), fastbp.Dense(1)], seed=0)
    model.compile(fastbp.Adam(rate), "mean_squared_error")
    pruning = PruningCallback(trial, "val_loss")
    history = model.fit(X, Y, epochs=20, validation_split=0.25, callbacks=[pruning], verbose=0)
    return history.history["val_loss"][-1]


def main():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=3)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0), pruner=pruner)
    study.optimize(objective, n_trials=16)
    pruned = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.PRUNED]
    print(f"{len(study.trials)} trials, {len(pruned)} of them pruned")
    print(f"best val_loss {study.best_value:.3f}")
    print(f"with {study.best_params}")
    assert pruned


if __name__ == "__main__":
    main()
