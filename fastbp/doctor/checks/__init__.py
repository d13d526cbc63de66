"""The checks, by what they look at; importing this registers all of them."""

from fastbp.doctor.checks import curves, gradients, inputs, outputs, targets, units, updates

__all__ = ["curves", "gradients", "inputs", "outputs", "targets", "units", "updates"]
