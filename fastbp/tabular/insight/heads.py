"""From an ensemble's mean outputs to the numbers that are explained, and from their gradients to those of outputs."""

import numpy as np

from fastbp.kernels import arraymath

# Probabilities are kept away from 0 and 1 by so much.
EDGE = 1e-7


class ClassHead:
    """Mean probabilities p (n, c) -> tempered ones of some classes, divided by their weights, or their log odds.

    Parameters
    ----------
    temperature : float
    places : list of int
        Which classes.
    is_logit : bool
        Are log odds explained?
    factors : (c,), optional
        What `class_weight` made of each class's rows.
    """

    def __init__(self, temperature, places, is_logit, factors=None):
        self.factors = None if factors is None else np.where(factors > 0, factors, 1.0)
        self.power, self.places, self.is_logit = 1 / temperature, places, is_logit

    def value(self, p):
        """Return what is explained, (n, k) float64."""
        return self.linked(self._tempered(p)[:, self.places])

    def linked(self, q):
        """Return probabilities q, or their log odds."""
        if not self.is_logit:
            return q
        q = np.clip(q, EDGE, 1 - EDGE)
        return arraymath.log(q) - arraymath.log(1 - q)

    def pulled(self, p, number):
        """Return the gradient (n, c) by p of what is explained, its column `number`."""
        q, place = self._tempered(p), self.places[number]
        own = q[:, place]
        slope = 1 / (np.clip(own, EDGE, 1) * np.clip(1 - own, EDGE, 1)) if self.is_logit else np.ones(len(q))
        # q_i = p_i^b / f_i / sum_j (p_j^b / f_j):  dq_i / dp_j = b q_i ((i == j) - q_j) / p_j
        gradient = -q * own[:, None]
        gradient[:, place] += own
        return gradient * (slope * self.power)[:, None] / np.maximum(p, np.finfo(np.float32).tiny)

    def _tempered(self, p):
        p = np.maximum(p.astype(np.float64), np.finfo(np.float32).tiny)
        if self.power != 1.0:
            p = arraymath.exp(self.power * (arraymath.log(p) - arraymath.log(p.max(axis=1))[:, None]))
        if self.factors is not None:
            p = p / self.factors
        return p / p.sum(axis=1, keepdims=True)


class JointHead:
    """Mean outputs of several targets -> what the head of each makes of its block.

    Parameters
    ----------
    heads : list of ClassHead or QuantityHead
    blocks : list of slice
    places : list of (int, int)
        Of each number that is explained, which head it is of, and its number there.
    """

    def __init__(self, heads, blocks, places):
        self.heads, self.blocks, self.places = heads, blocks, places

    def value(self, outputs):
        """Return what is explained, (n, k) float64."""
        parts = [head.value(outputs[:, block]) for head, block in zip(self.heads, self.blocks, strict=True)]
        return np.concatenate(parts, axis=1)

    def linked(self, values):
        """Return predictions as they are: log odds are not explained."""
        return values

    def pulled(self, outputs, number):
        """Return the gradient by the outputs of what is explained, its column `number`."""
        head, own = self.places[number]
        gradient = np.zeros(outputs.shape)
        gradient[:, self.blocks[head]] = self.heads[head].pulled(outputs[:, self.blocks[head]], own)
        return gradient


class QuantityHead:
    """Mean outputs (n, k), standardised -> quantities within training's range, or rising quantiles.

    Parameters
    ----------
    target : Quantity or Quantities
    decided : callable
        outputs (n, k) -> predictions (n,) or (n, k)
    is_sorted : bool
        Are the outputs quantiles, which are put in order?
    """

    def __init__(self, target, decided, is_sorted):
        self.target, self.decided, self.is_sorted = target, decided, is_sorted

    def value(self, outputs):
        """Return the predictions, (n, k) float64."""
        return self.decided(outputs).reshape(len(outputs), -1)

    def linked(self, values):
        """Return predictions as they are."""
        return values

    def pulled(self, outputs, number):
        """Return the gradient (n, k) by the outputs of the predictions' column `number`: none beyond the range."""
        limited = self.target.limit(outputs)
        place = np.full(len(outputs), number)
        if self.is_sorted:
            place = np.argsort(limited, axis=1, kind="stable")[:, number]
        rows = np.arange(len(outputs))
        parts = getattr(self.target, "parts", None)
        scale = self.target.scale if parts is None else parts[number].scale
        gradient = np.zeros(outputs.shape)
        inside = limited[rows, place] == outputs[rows, place].astype(np.float64)
        gradient[rows, place] = scale * inside
        return gradient
