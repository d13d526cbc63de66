"""The sections of compare.py: each prints its tables through a `Report`."""
