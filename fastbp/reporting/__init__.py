"""A report on a model: one HTML file that needs nothing else.

`report` puts it together, `model_adapters` asks the model, `figures` draws by `charts`, `page` writes HTML.
"""
