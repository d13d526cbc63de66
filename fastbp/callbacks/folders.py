"""Where callbacks write: checked before training, not after it."""

from pathlib import Path

from fastbp.io.files import writable


def check_folder(path):
    """Raise FileNotFoundError where there is no folder to write the file to: before training, not after it."""
    folder = Path(path).parent
    if "{" not in str(folder) and not folder.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {folder}.")
    if "{" not in str(path):
        writable(path)
