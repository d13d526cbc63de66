"""Benchmarks of fastbp, run with asv."""
