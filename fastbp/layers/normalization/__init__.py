"""Batch, layer and RMS normalization."""
