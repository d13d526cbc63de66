"""Doctor: what `diagnose` tells, while training runs and at its end."""

import math

from fastbp.callbacks.base import Callback
from fastbp.doctor.diagnosis import Diagnosis
from fastbp.doctor.examination import examine
from fastbp.doctor.patient import Patient, copy_of


class Doctor(Callback):
    """Examine a training: after its first epoch (what is serious is printed at once), and at its end.

    Parameters
    ----------
    verbose : {0, 1}, default 1
        0 prints nothing: look at `diagnosis`.

    Attributes
    ----------
    diagnosis : Diagnosis or None
        Of the last examination.

    Raises
    ------
    ValueError
        Where `verbose` is neither 0 nor 1.

    See Also
    --------
    fastbp.diagnose : The same, when you like.

    Notes
    -----
    The model and the training stay as they are, to the bit: each examination looks at a copy, and takes as long as some
    batches. Where training diverges, the weights of the last good epoch are examined. An estimator's callbacks are not
    given its rows: there the curves alone are looked at. Tabular estimators, whose networks train side by side, refuse
    it.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 4))
    >>> model = fastbp.Sequential([fastbp.Dense(8, "relu"), fastbp.Dense(1, "relu")], seed=0)
    >>> model.compile("adam", "mse")
    >>> doctor = fastbp.Doctor(verbose=0)
    >>> history = model.fit(x, -1 - x[:, 0] ** 2, epochs=3, callbacks=[doctor], verbose=0)
    >>> doctor.diagnosis[0].check
    'target_range'
    """

    follows_one_model = True

    def __init__(self, verbose: int = 1):
        if verbose not in (0, 1):
            raise ValueError(f"Doctor(verbose={verbose!r}): 0 prints nothing, 1 what was found.")
        self.verbose = verbose
        self.diagnosis: Diagnosis | None = None
        self._history: dict[str, list] = {}

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.diagnosis, self._history = None, {}

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(value)
        if len(self._history.get("loss", ())) == 1 and self.verbose:
            self._warn_early()

    def on_divergence(self, error: ArithmeticError) -> bool:
        self._history.setdefault("loss", []).append(math.inf)
        return False

    def on_train_end(self, logs: dict | None = None) -> None:
        self.diagnosis = self._examined()
        if self.verbose:
            print(self.diagnosis, flush=True)

    def _warn_early(self):
        """Print what is serious after the first epoch: nobody wants to wait for the last one."""
        if serious := [finding for finding in self._examined() if finding.severity == "serious"]:
            print("After the first epoch:", *serious, sep="\n", flush=True)

    def _examined(self):
        """Return the `Diagnosis` of the model as it is."""
        size = -(-len(self.training_rows.x) // self.params["steps"]) if self.training_rows is not None else 32
        patient = Patient(copy_of(self.model), self.training_rows, history=self._history, batch_size=size)
        return examine(patient)
