"""Networks on tables: from a file or a DataFrame to a trained model and its predictions.

The data's way, file by file: `reading` (a file becomes a DataFrame), `task` (what is to be learnt),
`target` and `encoding` (columns become numbers), `trainer` (a network is fitted), `model` (what is kept
in one file and predicts).  Of the encoding: `objects` and `columns` (the border), `factorize`, `scaling`,
`dates` and `vocabulary` (the rules), `numeric` and `categories` (the coders), `coders` (which column gets which).
"""
