"""Plain NumPy float64 versions of the kernels, written from the formulas: the oracle of the tests.

NumPy keeps denormal numbers; compiled code takes them for zero, operands and results, in float32 and float64
(test_fpmode.py).  So the two differ where a number is below 1.2e-38 or 2.2e-308: by less than any tolerance here, but
for what divides by such a number, takes its logarithm, or asks whether it is zero.
"""
