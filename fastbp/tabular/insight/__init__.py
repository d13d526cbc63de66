"""What a fitted tabular estimator tells of itself: importances, contributions, partial dependence."""
