"""A trained network with all that it needs to predict from a table: its encoder and its target."""

import numpy as np

from fastbp.tabular.encoding import TableEncoder
from fastbp.tabular.reading import TableError
from fastbp.tabular.target import target_from_state

KIND = "tabular"


class TabularModel:
    """Predict a column of a table from its other columns.

    Parameters
    ----------
    encoder : TableEncoder
        Fitted.
    target : ClassTarget or NumberTarget
        Fitted.
    network : fastbp.Sequential
        Trained on the encoder's columns; a softmax over the classes, or one linear output.

    Examples
    --------
    >>> from fastbp.tabular.trainer import Settings, train_table
    >>> import pandas as pd
    >>> table = pd.DataFrame({"x": range(100), "big": [x > 49 for x in range(100)]})
    >>> model = train_table(table, "big", Settings(epochs=30, hidden=(8,)), verbose=0).model
    >>> model.predict(pd.DataFrame({"x": [0, 99]})).tolist()
    [False, True]
    """

    def __init__(self, encoder, target, network):
        self.encoder = encoder
        self.target = target
        self.network = network

    @property
    def task(self):
        """What is predicted: "classification" or "regression"."""
        return self.target.task

    @property
    def text_columns(self):
        """The columns to be read as text (see `fastbp.tabular.reading.read_table`)."""
        return self.encoder.text_columns + [self.target.name] * self.target.is_text

    def outputs(self, frame, notices=None):
        """Return the network's outputs (n, k) for a DataFrame: probabilities, or standardised values.

        A line is appended to `notices` for each column with values unlike training's.
        """
        return np.asarray(self.network.predict(self.encoder.transform(frame, notices)))

    def predict(self, frame, notices=None):
        """Return the predicted classes or values (n,), in the target's own type and unit."""
        return self.decide(self.outputs(frame, notices))

    def predict_proba(self, frame, notices=None):
        """Return the probability of each class (n, k), in the order of ``target.classes``."""
        if self.task != "classification":
            raise TableError("this model predicts a quantity: it has no probabilities.")
        return self.outputs(frame, notices)

    def decide(self, outputs):
        """Return the predicted classes or values (n,) of outputs (n, k)."""
        return self.target.decode(outputs.argmax(axis=1) if self.task == "classification" else outputs[:, 0])

    def get_state(self):
        """Return what a file needs: tensors by name, and a JSON-ready description."""
        encoder_tensors, encoder = self.encoder.get_state()
        network_tensors, network = self.network.get_state()
        tensors = {f"encoder/{name}": array for name, array in encoder_tensors.items()}
        tensors |= {f"network/{name}": array for name, array in network_tensors.items()}
        return tensors, {"kind": KIND, "target": self.target.get_state(), "encoder": encoder, "network": network}

    @classmethod
    def from_state(cls, tensors, description):
        """Return the model that `get_state` described."""
        from fastbp.sequential import Sequential

        encoder = TableEncoder.from_state(_under("encoder/", tensors), description["encoder"])
        network = Sequential.from_state(_under("network/", tensors), description["network"])
        return cls(encoder, target_from_state(description["target"]), network)

    def save(self, path):
        """Write encoder, target and network into one safetensors file, whole or not at all."""
        from fastbp.saving import save_tensors

        save_tensors(path, *self.get_state())

    @classmethod
    def load(cls, path):
        """Return the model of a file written by `save`; no code of the file is run.

        Raises
        ------
        fastbp.ModelFileError
            The file is truncated, foreign, or of a newer version.
        TableError
            The file holds a network alone.
        """
        from fastbp.modelfile import load_model

        model = load_model(path)
        if not isinstance(model, cls):
            raise TableError(f"{path} holds a network without its table's encoding: use fastbp.load_model.")
        return model


def _under(prefix, tensors):
    return {name[len(prefix) :]: array for name, array in tensors.items() if name.startswith(prefix)}
