"""Tests, in folders that mirror `fastbp/`: `tests/engine/test_plan.py` tries `fastbp/engine/plan.py`.

The folders are packages, so that two of them may hold files of one name, and so that tests share what they need:
``from tests.layers.test_layers import assert_near``.
"""
