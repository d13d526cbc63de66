"""Networks on tables: from a file or a DataFrame to a trained model and its predictions.

The files, in the order in which data pass through them:

- a file becomes a DataFrame: `reading`, `sniffing`, `csv_to_dataframe`, `csv_types`, `parquet_to_dataframe`
- what is to be learnt: `task`, `target`, `multicolumn_targets`, `mixed_targets`
- a DataFrame becomes a matrix: `columns` (any library's tables), `recognition` (text that is numbers or dates),
  `factorize`, `scaling`, `dates` and `vocabulary` (the rules), `numeric` and `categories` (the coders of a column),
  `coders` (which column gets which coder), `encoding` (all columns), `rows_to_float32` (the matrix is written)
- networks are trained: `recipe`, `networks`, `folds`, `network_training`, `bagging`, `time_limit`, `checkpoint`,
  `joblib_tasks`, `joblib_loky`, `joblib_spark`
- outputs become predictions: `ensemble`, `objectives`, `calibration`, `quantiles`, `repeated_rows`
- users see: `estimator`, `classifier`, `regressor`, `multitask`, `tablewarning`, `crossvalidation`, `insight`
"""
