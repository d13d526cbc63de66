"""Read a model's file for a command."""

from pathlib import Path

from fastbp._registry import nearest
from fastbp.tabular.reading import TableError


def load_model(path):
    """Return the `TabularModel` of a file; a missing file is an error that says the nearest name."""
    from fastbp.tabular.model import TabularModel

    path = Path(path)
    if not path.is_file():
        folder = path.parent
        names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
        what = "is a folder, not a model's file." if path.is_dir() else "does not exist."
        raise TableError(f"model {str(path)!r} {what}{nearest(path.name, names)}")
    return TabularModel.load(path)
