"""The categories of a column that have a code of their own, most frequent first."""

import numpy as np

from fastbp.tabular.columns import Useless

# Columns with more categories are embedded: RealMLP's limit, which includes the slot of missing values.
MOST_ONE_HOT = 9
# In embedded columns, categories with fewer rows than this share a code, because they cannot train a vector.
FEWEST_ROWS = 3
MOST_CATEGORIES = 2048
# If fewer of the rows than this share have a repeated text, the column holds names, or numbers of files.
LEAST_REPEATED = 0.1
# A column that was booleans in training may later hold numbers or words, and the other way round.
TWINS = {"True": "1", "1": "True", "False": "0", "0": "False"}


class Vocabulary:
    """Codes for texts: 0 missing, 1, 2 ... the texts, then one for all others if `rare`.

    Parameters
    ----------
    texts : list of str
        Most frequent first (equal ones, and two alone, by their text), so that the codes depend neither on the rows'
        order nor on the table's library.
    rare : bool
        Whether training had further texts: they and all unseen ones share the last code, whose vector is trained on
        just such rows.  Without it an unseen text is 0, like a missing one.
    """

    def __init__(self, texts, rare):
        self.texts = texts
        self.rare = rare
        self._codes = {text: code for code, text in enumerate(texts, 1)}
        for text, twin in TWINS.items():
            if text in texts:
                self._codes.setdefault(twin, self._codes[text])

    @classmethod
    def fit(cls, texts, counts, fewest_rows, most=MOST_CATEGORIES):
        """Return the vocabulary of the most frequent texts: at most `most`, each in at least `fewest_rows` rows.

        counts (k,): in how many rows each of the texts stands.
        """
        enough = np.flatnonzero(counts >= fewest_rows).tolist()
        ranked = sorted(enough, key=lambda i: (-counts[i], texts[i]))[:most]
        rare = bool(np.count_nonzero(counts) > len(ranked))
        if len(ranked) == 2 and not rare:
            ranked.sort(key=texts.__getitem__)  # -1 is False, +1 is True
        return cls([texts[i] for i in ranked], rare)

    def __len__(self):
        """The number of codes, the one of missing values included."""
        return 1 + len(self.texts) + self.rare

    def codes_of(self, texts):
        """Return the codes (k,) int64 of texts."""
        unseen = len(self) - 1 if self.rare else 0
        return np.array([self._codes.get(self._known(text), unseen) for text in texts], np.int64)

    def _known(self, text):
        """Return the text as training has seen it: a number may be written otherwise, as float32 or as float64."""
        if text not in self._codes:
            for twin in _twins_of_single(text):
                if twin in self._codes:
                    return twin
        return text

    def lookup(self, codes, texts):
        """Return the codes (n,) int64 of a factorized column."""
        return np.append(self.codes_of(texts), 0)[codes]

    def unseen(self, codes, texts):
        """Return {text: rows} of a factorized column's rows that have no code of their own."""
        counts = zip(texts, counts_of(codes, texts).tolist(), strict=True)
        return {text: count for text, count in counts if count and self._known(text) not in self._codes}


def _twins_of_single(text):
    """Return both ways to write a number of float32, as float32 and as float64; nothing for other text."""
    try:
        with np.errstate(over="ignore"):
            single = np.float32(text)
    except ValueError:
        return ()
    return str(single), repr(float(single))


def counts_of(codes, texts):
    """Return the number of rows (k,) of each text of a factorized column."""
    return np.bincount(codes + 1, minlength=len(texts) + 1)[1:]


def fit_vocabulary(codes, texts):
    """Return the vocabulary of a factorized column by the rules above, and the rows (len(vocabulary),) of each code.

    Raises
    ------
    Useless
        There are no two values, or too few of them repeat to learn from.
    """
    counts = counts_of(codes, texts)
    n_texts, n_known = np.count_nonzero(counts), counts.sum()
    if n_texts == 0:
        raise Useless("it is empty")
    if n_texts == 1 and n_known == len(codes):
        raise Useless("it has one value only")
    if n_texts > 2 and counts[counts > 1].sum() < LEAST_REPEATED * n_known:
        raise Useless("its values are different in nearly each row")
    vocabulary = Vocabulary.fit(texts, counts, 1 if n_texts < MOST_ONE_HOT else FEWEST_ROWS)
    if not vocabulary.texts:
        raise Useless(f"none of its values stands in {FEWEST_ROWS} rows or more")
    rows = np.bincount(vocabulary.codes_of(texts), counts, len(vocabulary)).astype(np.int64)
    rows[0] += len(codes) - n_known
    return vocabulary, rows
