"""The tabular suite: data sets with fixed splits (`suite`), `learners`, and the `table` of their results."""
