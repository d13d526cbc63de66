"""A folder that keeps the finished networks of a fit, so that a killed fit can go on with the rest.

`run.json` identifies the fit by digests of all that decides on a network's bits, by the seed and the plan.  Each
network has a file of its own.  Files appear whole or not at all, so a kill loses only the networks in training.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

import fastbp
from fastbp.io import filechecks
from fastbp.io.files import replace_file
from fastbp.io.saving import ModelFileError, load_tensors, save_tensors
from fastbp.models.sequential import Sequential
from fastbp.settings.user_warnings import warn
from fastbp.tabular.network_training import Learned
from fastbp.tabular.time_limit import Plan

RUN = "run.json"
NETWORK = "network_{}.fastbp"
KIND = "network of a checkpoint"


class CheckpointError(ValueError):
    """A checkpoint that belongs to another fit, or is none."""


class NoCheckpoint:
    """The checkpoint of a fit without a checkpoint: it keeps nothing and finds nothing."""

    wanted = False

    def seed(self, drawn, chosen):
        """Return the fit's seed: `drawn`."""
        return drawn

    def begin(self, seed, make_facts):
        """Hold nothing."""

    def plan(self, make):
        """Return the fit's `Plan`, which `make` returns."""
        return make()

    def kept(self, n):
        """Return how many of n networks are finished."""
        return 0

    def keep(self, number, network, learned):
        """Write nothing."""

    def network(self, number):
        """Return None: no network is finished."""


class Checkpoint(NoCheckpoint):
    """The folder of one fit.

    Parameters
    ----------
    path : str or path
        A folder, which is made where there is none, under any name ("run", "run.ckpt"); a file of such a folder stands
        for it, and an empty file gives way to it.

    Raises
    ------
    CheckpointError
        Where `path` is another file, or a folder of other things.
    """

    wanted = True

    def __init__(self, path):
        self.path = folder_of(Path(path))
        self._run = self._read()

    def _read(self):
        """Return what run.json says; {} where no fit has begun."""
        try:
            run = json.loads((self.path / RUN).read_text())
            return {"seed": int(run["seed"]), "plan": run["plan"], "made_of": dict(run["made_of"])}
        except (FileNotFoundError, NotADirectoryError):
            if self.path.is_dir() and any(self.path.iterdir()):
                raise CheckpointError(f"checkpoint={str(self.path)!r} is a folder of other things.") from None
            return {}
        except (ValueError, KeyError, TypeError):
            raise CheckpointError(f"checkpoint={str(self.path)!r}: its {RUN} is damaged. Remove the folder.") from None

    def seed(self, drawn, chosen):
        """Return the fit's seed: `drawn` if the user has `chosen` it or no fit has begun, else the seed of that fit."""
        return drawn if chosen else self._run.get("seed", drawn)

    def begin(self, seed, make_facts):
        """Hold the folder for a fit, or make sure that it belongs to this one.

        Parameters
        ----------
        seed : int
        make_facts : callable
            Returns {what a user calls it: digest} for each thing that decides on a network's bits.
        """
        facts = {"random_state": str(seed), "release of fastbp": fastbp.__version__, **make_facts()}
        if not self._run:
            self._run = {"seed": seed, "plan": None, "made_of": facts}
            if self.path.is_file():
                self.path.unlink()  # an empty one
            self.path.mkdir(parents=True, exist_ok=True)
            self._write()
            return
        other = [name for name, found in facts.items() if self._run["made_of"].get(name) != found]
        if other:
            raise CheckpointError(
                f"checkpoint={str(self.path)!r} belongs to another fit, of other {', '.join(other)}. Name another "
                "folder, or remove this one to begin anew."
            )

    def plan(self, make):
        """Return the fit's `Plan`: the one with which it began, or a new one by `make`."""
        if self._run["plan"] is None:
            self._run["plan"] = list(make())
            self._write()
        return Plan(*self._run["plan"])

    def _write(self):
        replace_file(self.path / RUN, json.dumps(self._run).encode(), durable=True)

    def _file(self, number):
        return self.path / NETWORK.format(number)

    def kept(self, n):
        """Return how many of n networks are finished."""
        return sum(self._file(number).exists() for number in range(n))

    def keep(self, number, network, learned):
        """Write a finished network."""
        tensors, description = network.get_state()
        if learned.outputs is not None:
            tensors = {**tensors, "outputs": learned.outputs}
        figures = {"epoch": int(learned.epoch), "score": float(learned.score), "curve": learned.curve}
        save_tensors(self._file(number), tensors, {"kind": KIND, "network": description, **figures})

    def network(self, number):
        """Return a finished network and what was `Learned`, or None; a damaged file is told, and counts as missing."""
        try:
            tensors, description = load_tensors(self._file(number))
            filechecks.agree("the kind of file", description["kind"], KIND)
            outputs = tensors.pop("outputs", None)
            network = Sequential.from_state(tensors, description["network"])
            curve = tuple((int(epoch), float(score)) for epoch, score in description["curve"])
            return network, Learned(description["epoch"], description["score"], outputs, curve)
        except FileNotFoundError:
            return None
        except (ModelFileError, KeyError, ValueError, TypeError) as error:
            warn(f"{self._file(number)} cannot be used ({error}): the network is trained anew.", RuntimeWarning)
            return None

    def remove(self):
        """Remove the files that were written here, and the folder if nothing else is in it."""
        for file in [*self.path.glob(NETWORK.format("*")), self.path / RUN]:
            file.unlink(missing_ok=True)
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()


def checkpoint_at(path):
    """Return the `Checkpoint` of a path, `NoCheckpoint` for None."""
    return NoCheckpoint() if path is None else Checkpoint(path)


def folder_of(path):
    """Return the folder that a path stands for."""
    if not path.exists() or path.is_dir():
        return path
    if (path.parent / RUN).exists() and (path.name == RUN or path.match(NETWORK.format("*"))):
        return path.parent
    if path.is_file() and path.stat().st_size == 0:
        return path
    raise CheckpointError(
        f"checkpoint={str(path)!r} is a file: name a folder, which fit makes, under a name that is free, or a file of "
        f"such a folder ({RUN})."
    )


def made_of(part, valid, recipe, objective, separation):
    """Return digests of all that decides on the bits of a fit's networks, except the seed."""
    facts = (objective.task, objective.n_outputs, objective.loss, objective.activation, objective.metric)
    return {
        "X": digest(part.x),
        "y": digest(part.targets),
        "sample_weight or class_weight": digest(part.weight),
        "eval_set": digest(*(valid or ())),
        "groups or time": digest(separation.groups, separation.times),
        "preset": digest(repr(recipe)),
        "settings": digest(repr((*facts, objective.quantiles, objective.sizes))),
    }


def digest(*parts):
    """Return a digest of arrays, texts and Nones."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.dtype} {part.shape}".encode())
            total.update(np.ascontiguousarray(part).view(np.uint8).data if part.size else b"")
        else:
            total.update(repr(part).encode())
    return total.hexdigest()[:32]
