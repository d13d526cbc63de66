"""Plain NumPy float64 versions of the kernels, written from the formulas: the oracle of the tests."""
