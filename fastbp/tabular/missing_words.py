"""The words by which people and programs say that a value is missing."""

from dataclasses import dataclass, field

# Words in lower case, without blanks around.  They mean "missing" in columns of numbers, dates and booleans.  In a
# column of text a category may be called "none".
MISSING_WORDS = frozenset(
    {
        *("", "-", "--", "---", "\u2013", "\u2014", ".", "..", "...", "?", "??", "*", "/"),
        *("na", "n/a", "n.a.", "n.a", "<na>", "nan", "+nan", "-nan", "nat", "nil", "nd", "n.d.", "n/d", "k.a."),
        *("null", "(null)", "<null>", "none", "(none)", "<none>", "\\n", "missing", "(missing)", "<missing>"),
        *("unknown", "undefined", "not available", "not applicable", "no data", "blank", "(blank)", "empty"),
        *("1.#ind", "-1.#ind", "1.#ind00", "-1.#ind00", "1.#qnan", "-1.#qnan", "1.#qnan0", "1.#snan"),
        *("#n/a", "#n/a n/a", "#na", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!", "#error!", "#spill!"),
        *("#calc!", "#getting_data", "#field!"),
    }
)


@dataclass(frozen=True)
class Form:
    """The way in which a column of text writes its values.

    Parameters
    ----------
    words : tuple of str
        What was odd in training: in later tables it is missing, however often it comes.
    """

    words: tuple = field(default=(), repr=False, kw_only=True)


def is_missing_word(text):
    """Tell whether a text says that a value is missing.

    Examples
    --------
    >>> is_missing_word("N/A "), is_missing_word("0")
    (True, False)
    """
    return len(text) < 24 and text.strip().lower() in MISSING_WORDS


def is_spreadsheet_error(text):
    """Tell whether a text is what a spreadsheet shows for a value that it could not compute: no category, ever."""
    return text.startswith("#") and text.strip().lower() in MISSING_WORDS
