"""CSVLogger: the figures of every epoch in a CSV file."""

import csv
import io
from pathlib import Path
from typing import Any

from fastbp.callbacks.base import Callback
from fastbp.callbacks.folders import check_folder
from fastbp.io.files import is_stream, replace_file


class CSVLogger(Callback):
    """Write the figures of every epoch to a CSV file, one row an epoch, as soon as it ends.

    Parameters
    ----------
    filename : str or path
    separator : str, default ","
    append : bool, default False
        Go on with the file of an earlier training, in place of overwriting it. Figures that it has no column for get
        columns of their own at its right end, empty in its rows.

    Raises
    ------
    FileNotFoundError
        Before training, where there is no such folder.
    ValueError
        Before training, where `append` meets a file without a column "epoch".

    Examples
    --------
    >>> import fastbp, numpy as np, tempfile, pathlib
    >>> model = fastbp.Sequential([fastbp.Dense(1)], seed=0)
    >>> model.compile("sgd", "mean_squared_error")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = pathlib.Path(folder, "log.csv")
    ...     history = model.fit(np.eye(4), np.ones(4), callbacks=[fastbp.CSVLogger(log)], verbose=0)
    ...     print(log.read_text().splitlines()[0])
    epoch,loss,learning_rate
    """

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False):
        self.filename, self.separator, self.append = Path(filename), separator, append

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._names: Any = None
        if is_stream(self.filename):  # a line an epoch to a pipe, or to /dev/stdout
            return
        check_folder(self.filename)
        resumed = self.params.get("resumed_epoch")
        if (self.append or resumed is not None) and self.filename.exists():
            self._go_on(resumed)
        else:
            replace_file(self.filename, b"")

    def _go_on(self, resumed):
        """Read the columns of the file; of a training that is resumed, leave out rows of epochs that come again."""
        with open(self.filename, newline="") as file:
            names, *rows = list(csv.reader(file, delimiter=self.separator)) or [None]
        if not names:
            return
        if "epoch" not in names:
            raise ValueError(
                f"CSVLogger: {self.filename} has no column 'epoch' but {', '.join(names)}: it is another kind of file, "
                f"or another separator than {self.separator!r}."
            )
        self._names, place = names, names.index("epoch")
        if resumed is not None:
            kept = [row for row in rows if len(row) <= place or not row[place].isdigit() or int(row[place]) < resumed]
            if len(kept) < len(rows):
                self._write_all(names, kept)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        row = {"epoch": epoch, **(logs or {})}
        if self._names is not None and (new := [name for name in row if name not in self._names]):
            self._add_columns(new)
        with open(self.filename, "a", newline="") as file:
            writer = csv.DictWriter(file, self._names or list(row), delimiter=self.separator)
            if self._names is None:
                writer.writeheader()
                self._names = writer.fieldnames
            writer.writerow(row)

    def _add_columns(self, new):
        """Give the file columns of these names, which are empty in the rows that it has."""
        if is_stream(self.filename):  # what was sent is sent
            raise ValueError(f"CSVLogger: the figures {', '.join(new)} came after the columns were sent.")
        with open(self.filename, newline="") as file:
            names, *rows = list(csv.reader(file, delimiter=self.separator))
        self._names = [*names, *new]
        self._write_all(self._names, [row + [""] * (len(names) - len(row) + len(new)) for row in rows])

    def _write_all(self, names, rows):
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self.separator).writerows([names, *rows])
        replace_file(self.filename, text.getvalue().encode())
