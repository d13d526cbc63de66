"""Files: written whole or not at all, model files, IDX data."""
