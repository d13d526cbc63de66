"""The coder of categories; `fastbp.tabular.numeric` says what a coder is."""

import numpy as np

from fastbp.io import filechecks
from fastbp.tabular.columns import all_missing, column_kind, type_name
from fastbp.tabular.errors import TableError
from fastbp.tabular.factorize import factorize
from fastbp.tabular.numeric import missing_in
from fastbp.tabular.recognition import check_form, packed_form, unpacked_form
from fastbp.tabular.scaling import LIMIT, robust_scale_of_counts, scaled
from fastbp.tabular.textcolumns import parsed_column
from fastbp.tabular.vocabulary import MOST_ONE_HOT, TWINS, Vocabulary, fit_vocabulary


class CategoryCoder:
    """Categories: one-hot columns among the plain ones, or a column of codes.

    Parameters
    ----------
    name : str
    texts, rare
        The `Vocabulary`'s.
    table : (len(vocabulary), k) float32, or None
        The plain columns' values for each code; None for a column of codes.
    is_text : bool
        Whether the column held text, rather than numbers or booleans.
    expects_missing : bool
        Whether missing values are no surprise.
    form : object, optional
        How text wrote these numbers in training (of `fastbp.tabular.recognition`), or what a file keeps of that.
    """

    kind = "category"

    def __init__(self, name, texts, rare, table, is_text, expects_missing, form=None):
        self.name = name
        self.vocabulary = Vocabulary(texts, rare)
        self.table = table
        self.is_text = is_text
        self.expects_missing = expects_missing
        self.form = unpacked_form(form) if isinstance(form, dict) else form

    @classmethod
    def fit(cls, name, values, is_text):
        """Learn from a factorized column."""
        vocabulary, counts = fit_vocabulary(*values)
        table = _one_hot_table(counts) if len(vocabulary) <= MOST_ONE_HOT else None
        return cls(name, vocabulary.texts, vocabulary.rare, table, is_text, bool(counts[0]))

    @property
    def numeric_names(self):
        return []

    @property
    def plain_names(self):
        if self.table is None:
            return []
        names = [f"{self.name}={text}" for text in self.vocabulary.texts]
        names += [f"{self.name} (rare)"] * self.vocabulary.rare
        return names[-self.table.shape[1] :]  # of two values the second one has the column

    @property
    def cardinalities(self):
        return [len(self.vocabulary)] if self.table is None else []

    def read(self, column, notes):
        """Return the column factorized; a line is appended to the list `notes` where text is odd."""
        if column_kind(column) in ("date", "other") and not all_missing(column):
            raise TableError(f"column {self.name!r} held categories in training and holds {type_name(column)} now.")
        if self.form is not None and column_kind(column) == "text":
            column = parsed_column(column, self.form, "number", notes)
        return factorize(column)

    def encode(self, values, numeric, plain, codes):
        """Overwrite plain (n, k) or codes (n, 1)."""
        if self.ends is not None:
            plain[:, 0] = np.append([self._place_of(text) for text in values[1]], self.table[0, 0])[values[0]]
            return
        own = self.vocabulary.lookup(*values)
        if self.table is None:
            codes[:, 0] = own
        else:
            np.take(self.table, own, axis=0, out=plain, mode="clip")  # the default mode would fill a copy first

    @property
    def ends(self):
        """The two numbers that were the column's only values in training; None for other categories."""
        texts = self.vocabulary.texts
        if self.is_text or len(texts) != 2 or self.vocabulary.rare or set(texts) <= set(TWINS) - {"0", "1"}:
            return None
        return tuple(map(float, texts))

    def _place_of(self, text):
        """Return the plain column's value for a number: on the line through training's two numbers, within (-3, 3)."""
        (low, high), (_, below, above) = self.ends, self.table[:, 0]
        try:
            share = (float(TWINS.get(text, text) if text in ("True", "False") else text) - low) / (high - low)
        except ValueError:
            return self.table[0, 0]
        return np.clip(below + share * (above - below), -LIMIT, LIMIT)

    def surprises(self, values):
        """Return a list of lines about what training had not seen."""
        lines, n, new = [], len(values[0]), self.vocabulary.unseen(*values)
        n_new = sum(new.values())
        # Rows of rare categories have taught the network what unseen ones mean; it is odd only if all are unseen.
        if n_new > 0 and (not self.vocabulary.rare or n_new == np.count_nonzero(values[0] >= 0) > 1):
            few = ", ".join(map(repr, sorted(new)[:3])) + (" ..." if len(new) > 3 else "")
            taken = "numbers all the same" if self.ends else "none of its categories"
            if self.vocabulary.rare:
                taken = "rare categories"
            lines.append(
                f"column {self.name!r}: training did not see {few}; taken as {taken}, in {n_new} of {n} rows."
                f"{self._hint(new)}"
            )
        if not self.expects_missing and (n_missing := int(np.count_nonzero(values[0] < 0))):
            lines.append(f"column {self.name!r}: {missing_in(n_missing)}; taken as none of its categories.")
        return lines

    def check(self):
        """Raise ValueError where what a file says of the coder is not as `fit` makes it."""
        vocabulary = self.vocabulary
        filechecks.text(self.name, "name")
        check_form(self.form)
        filechecks.listed(vocabulary.texts, "texts", filechecks.text)
        if len(set(vocabulary.texts)) != len(vocabulary.texts) or not vocabulary.texts:
            raise ValueError(f"column {self.name!r} has no categories, or one of them twice.")
        for name in ("is_text", "expects_missing"):
            filechecks.flag(getattr(self, name), name)
        filechecks.flag(vocabulary.rare, "rare")
        if self.table is not None:
            # As `_one_hot_table` makes it.
            width = 1 if len(vocabulary) == 3 else len(vocabulary) - 1
            filechecks.shaped(self.table, "table", (len(vocabulary), width), np.float32)

    def _hint(self, new):
        """Return what may be wrong with unseen texts."""
        if new.keys() & self.vocabulary.texts or not any(text.strip() in self.vocabulary.texts for text in new):
            return ""
        return " Training saw them without the blanks around them: strip the column."

    def get_state(self):
        fields = dict(vars(self))
        vocabulary = fields.pop("vocabulary")
        return {"texts": vocabulary.texts, "rare": vocabulary.rare, **fields, "form": packed_form(self.form)}


def _one_hot_table(counts):
    """Return the values of the plain columns (codes, k) for codes that stand in so many rows: scaled one-hot columns.

    The missing ones' are all zero before scaling; two categories make one column of -1, +1, and 0 where missing.
    """
    table = np.eye(len(counts))[:, 1:]
    if len(counts) == 3:
        table = np.array([[0.0], [-1.0], [1.0]])
    columns = [scaled(column, *robust_scale_of_counts(column, counts)) for column in table.T]
    return np.stack(columns, axis=1).astype(np.float32)
