"""Settings of layers, losses and optimizers: their names, their sizes, and what is assigned to them checked."""
