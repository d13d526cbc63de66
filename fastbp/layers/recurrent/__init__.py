"""Recurrent layers, and the masks of their time steps."""
