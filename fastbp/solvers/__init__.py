"""Solvers that take the whole problem at once, in place of steps over batches: least squares, Levenberg-Marquardt."""
