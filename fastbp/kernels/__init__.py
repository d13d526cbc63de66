"""The arithmetic that layers, losses and optimizers are made of: products, sums, vector functions, random numbers."""
