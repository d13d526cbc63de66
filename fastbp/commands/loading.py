"""Read a model's file for a command."""

from pathlib import Path

from fastbp.naming import nearest
from fastbp.tabular.reading import TableError


def load_model(path):
    """Return the tabular estimator of a file; a missing file is an error that says the nearest name."""
    from fastbp import modelfile
    from fastbp.tabular.estimator import BaseTabular

    path = Path(path)
    if not path.is_file():
        folder = path.parent
        names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
        what = "is a folder, not a model's file." if path.is_dir() else "does not exist."
        raise TableError(f"model {str(path)!r} {what}{nearest(path.name, names)}")
    model = modelfile.load_model(path)
    if not isinstance(model, BaseTabular):
        raise TableError(f"{path} holds a network without its table's encoding: use fastbp.load_model.")
    return model


def text_columns(model):
    """Return the names of the columns that a model wants read as text, its target's too."""
    return [*model.encoder_.text_columns, *([model.target_name_] if classes_are_text(model) else [])]


def classes_are_text(model):
    """Tell whether a model predicts classes that are text."""
    return isinstance(getattr(model, "classes_", [None])[0], str)
