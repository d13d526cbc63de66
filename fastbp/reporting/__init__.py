"""A report on a model: one HTML file that needs nothing else.

`report` puts it together, `subjects` asks the model, `figures` draws by `charts`, `page` writes HTML.
"""
