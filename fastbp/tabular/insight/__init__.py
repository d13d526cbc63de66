"""Insight into a fitted tabular estimator: importances, contributions, partial dependence."""
