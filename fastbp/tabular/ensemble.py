"""An ensemble of networks: the mean of their outputs is its prediction, and one file holds them all."""

import numpy as np

from fastbp.engine.network import is_picky
from fastbp.io import filechecks
from fastbp.models.sequential import Sequential
from fastbp.tabular.calibration import HIGHEST, LOWEST, temper_blocks, tempered
from fastbp.tabular.repeated_rows import Repeats

# So many outputs are predicted at once.
BLOCK = 2**24


# The names of the repeats' tensors begin so.
REPEATS = "repeats/"


class Ensemble:
    """Networks whose predictions are averaged.

    Parameters
    ----------
    networks : list of Sequential
    temperature : float or array of float, default 1.0
        Averaged probabilities p become ``p ** (1 / temperature)``, normalised; an array has one for each of `blocks`.
    repeats : Repeats, optional
        Training rows whose targets join the prediction where a row has the same features.

    Attributes
    ----------
    history : list of dict
        Of each network: its ``best_epoch`` (from 1) and ``score``, and the ``epochs`` that ended in a validation with
        their ``scores``.
    unseen : Unseen or None
        The rows that some networks did not train on, with the mean outputs of these.
    least_seconds : float
        Where a time limit was set, what the least training takes: a step of one network, its validation, and what
        follows.
    left_out : list of (m,) int64, or None
        The rows that each network did not train on, beside `unseen`.
    kept : fastbp.tabular.insight.importances.Kept or None
        Rows by which the importances of columns are found; not in files.
    importances : fastbp.explain.permutation.Importances or None
        Where somebody has asked for them.
    oof_share : float or None
        The share of all networks that such a mean is taken over, on average over the rows that have one.
    interrupted : bool
        Whether Ctrl-C ended training.
    """

    def __init__(self, networks, temperature=1.0, repeats=None):
        self.networks, self.temperature, self.repeats = networks, temperature, repeats
        self.history, self.interrupted = [], False
        self.kept = self.importances = None
        self.unseen, self.left_out, self.oof_share, self.least_seconds = None, None, None, 0.0

    @property
    def oof_outputs(self):
        """The mean outputs (n, k) of the networks that did not train on a row; NaN where all did."""
        return None if self.unseen is None else self.unseen.spread(self.unseen.outputs)

    def outputs(self, x):
        """x (n, d) float32 -> probabilities or standardised values (n, k) float32."""
        network = self.networks[0].engine.network
        network.check_input(x)
        size = max(BLOCK // network.output_shape[0], 1)
        if len(x) <= size:
            return self._outputs(x)
        outputs = np.empty((len(x), network.output_shape[0]), np.float32)
        for first in range(0, len(x), size):
            outputs[first : first + size] = self._outputs(x[first : first + size])
        return outputs

    def _outputs(self, x):
        total = self.networks[0].engine.predict(x)
        for network in self.networks[1:]:
            total += network.engine.predict(x)
        total /= len(self.networks)
        total = self._tempered(total)
        return total if self.repeats is None else self.repeats.mixed(total, x)

    @property
    def blocks(self):
        """The slices of the outputs that are probabilities, of several targets."""
        return getattr(self.networks[0].engine.layers[-1], "blocks", [])

    def _tempered(self, outputs):
        if isinstance(self.temperature, np.ndarray):
            return temper_blocks(outputs, self.blocks, self.temperature)
        return outputs if self.temperature == 1.0 else tempered(outputs, self.temperature)

    def get_state(self):
        """Return what a file needs: tensors by name, and a JSON-ready description."""
        states = [network.get_state() for network in self.networks]
        tensors = {f"{i}/{name}": array for i, (own, _) in enumerate(states) for name, array in own.items()}
        description = {
            "networks": [description for _, description in states],
            "temperature": np.asarray(self.temperature).tolist(),
            "history": self.history,
            "strength": None,
        }
        if self.repeats is not None:
            own, description["strength"] = self.repeats.get_state()
            tensors |= {f"{REPEATS}{name}": array for name, array in own.items()}
        return tensors, description

    @classmethod
    def from_state(cls, tensors, description):
        """Return the ensemble that `get_state` described; without the outputs for training's rows."""
        networks = [
            Sequential.from_state(_below(f"{i}/", tensors), own) for i, own in enumerate(description["networks"])
        ]
        if not networks:
            raise ValueError("there are no networks.")
        repeats = None
        if description["strength"] is not None:
            repeats = Repeats.from_state(_below(REPEATS, tensors), description["strength"])
        ensemble = cls(networks, repeats=repeats)
        ensemble.temperature = _checked_temperature(description["temperature"], len(ensemble.blocks))
        ensemble.history = filechecks.listed(description["history"], "history", _one_history, len(networks))
        return ensemble

    def check_against(self, encoder, n_outputs):
        """Raise ValueError where the networks of a file do not take what its encoder makes, or have other outputs.

        Parameters
        ----------
        encoder : TableEncoder
        n_outputs : int
            Of the target.
        """
        width, cardinalities = encoder.n_numeric + encoder.n_plain, tuple(encoder.cardinalities)
        # A network that takes the encoder's categories must refuse the fraction 0.5, and must take 0 and the last code.
        rows = np.full((2, width + len(cardinalities)), 0.5, np.float32)
        rows[0, width:], rows[1, width:] = 0.0, np.array(cardinalities) - 1
        for network in self.networks:
            placed = network.engine.network
            filechecks.agree("the width of encoded rows", placed.input_shape, rows.shape[1:])
            filechecks.agree("the outputs", placed.output_shape, (n_outputs,))
            filechecks.agree("the type of numbers", network.dtype.name, "float32")
            known = [getattr(layer.spec, "cardinalities", ()) for layer in placed.layers if is_picky(layer.spec)]
            filechecks.agree("the categories", known, [cardinalities] if cardinalities else [])
            placed.check_input(rows)
        if self.repeats is not None:
            filechecks.agree("the outputs of repeated rows", self.repeats.sums.shape[1], n_outputs)


def _checked_temperature(value, n_blocks):
    """Return the temperature, or those of the blocks, that a file holds."""
    if not isinstance(value, list):
        return filechecks.real(value, "temperature", LOWEST / 2, 2 * HIGHEST)
    filechecks.agree("the temperatures", len(value), n_blocks)
    return np.array([filechecks.real(one, "temperature", LOWEST / 2, 2 * HIGHEST) for one in value])


def _one_history(figures, name):
    for key, value in figures.items():
        for number in value if type(value) is list else [value]:
            filechecks.number_or_none(number, f"{key} of the history")


def _below(start, tensors):
    """Return the tensors whose names begin with `start`, by the rest of their names."""
    return {name[len(start) :]: array for name, array in tensors.items() if name.startswith(start)}
