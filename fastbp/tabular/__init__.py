"""Networks on tables: from a file or a DataFrame to a trained model and its predictions.

The data's way, file by file: `reading` (a file becomes a DataFrame), `task` (what is to be learnt), `encoding`
(columns become numbers), `recipe`, `networks`, `network_training`, `folds`, `time_limit` and `bagging` (networks are
trained), `objectives` and `calibration` and `quantiles` (what they are measured by, what is made of their outputs),
`target` (classes and quantities), `multicolumn_targets` (targets of several columns), `estimator`, `classifier` and
`regressor` (what users see), `tablewarning` (what they are told), `crossvalidation` (scores on folds as fit's), `model`
(what a file holds). Of the encoding: `object_columns`, `pandastable`, `sparsetable` and `columns` (the border),
`factorize`, `scaling`, `dates` and `vocabulary` (the rules), `numeric` and `categories` (the coders), `coders` (which
column gets which), `encoded_matrix` (the matrix is filled).
"""
