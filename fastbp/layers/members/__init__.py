"""Ensembles whose members train in one pass."""
