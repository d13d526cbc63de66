"""Layers for columns of tables: categories, numeric embeddings, scales."""
