"""Solvers of whole problems beside the step by step training: least squares, Levenberg-Marquardt."""
