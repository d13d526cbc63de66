"""Layers of every network: dense, activations, dropout and noise, shapes, branches."""
