"""Properties of a file that its bytes tell: packed or not, the encoding, the delimiter, the decimal mark."""

import codecs
import csv
import gzip
import re
import zlib

from fastbp.tabular.errors import TableError

DELIMITERS = ",;\t|"
# So many lines, and bytes, are read to find how a file is written.
SAMPLE_LINES, SAMPLE_BYTES = 200, 1 << 16
PIECE = 1 << 20

_OTHER_FORMATS = {
    b"PK\x03\x04": "an Excel or zip file",
    b"\xd0\xcf\x11\xe0": "an Excel file",
    b"%PDF": "a PDF file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstandard file",
}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATOR_LINE = re.compile(rb'\s*"?sep=(.)"?\r?\n', re.IGNORECASE)
_COMMA_NUMBER = re.compile(r"[-+]?\d+,\d+")
# A comma that is followed by three digits may part thousands, unless a zero stands before it.
_MAYBE_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
_POINT_NUMBER = re.compile(r"[-+]?\d*\.\d+(?:[eE][-+]?\d+)?")
_MAYBE_DOTTED_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:\.\d{3})+")


def unpacked(content, name):
    """Return the bytes of a file, unpacked if they are gzipped."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise TableError(f"{name} is a damaged gzip file: {str(error).rstrip('.')}.") from None


def as_utf8(content, name, encoding=None):
    """Return the text of a file as UTF-8 bytes without a byte order mark, and a list of notes on its encoding.

    Without an `encoding`, a byte order mark decides.  Otherwise it is UTF-16 if every second byte is zero, else UTF-8,
    or, if the bytes are no UTF-8, cp1252, the commonest Western encoding with one byte a letter (Latin-1 if the file
    has bytes that cp1252 does not define).
    """
    guessed, notes = encoding or _encoding_of(content), []
    if guessed is None:
        _refuse_binary(content, name)
        if _decodes(content, "utf-8"):
            return content, notes
        guessed = "cp1252" if _decodes(content, "cp1252") else "latin-1"
    if encoding is None and guessed != "utf-8-sig":
        notes.append(f"{name} is read as {guessed} (if that is wrong, pass --encoding).")
    try:
        text = content.decode(guessed)
    except LookupError:
        raise TableError(f"--encoding {encoding}: there is no such encoding.") from None
    except UnicodeError as error:
        raise TableError(f"{name} is not {guessed} text: {error}.") from None
    content = text.removeprefix("\ufeff").encode(errors="surrogatepass")
    _refuse_zeros(content, name)
    return content, notes


def _encoding_of(content):
    """Return the encoding that a byte order mark, or every second byte being zero, tells; or None."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding
    start = content[:SAMPLE_BYTES]
    half = len(start) // 2
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if half > 4 and start[first::2].count(0) > 0.9 * half and start[1 - first :: 2].count(0) == 0:
            return encoding
    return None


def _decodes(content, encoding):
    """Are bytes text?  They are decoded piece by piece, because the text of a large file would be as large again."""
    if content.isascii():
        return True
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for start in range(0, len(content), PIECE):
            decoder.decode(content[start : start + PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _refuse_binary(content, name):
    """Raise where bytes are no text, saying what they look like."""
    for mark, kind in _OTHER_FORMATS.items():
        if content.startswith(mark):
            raise TableError(f"{name} is {kind}, not a CSV: save it as a CSV in UTF-8.")
    _refuse_zeros(content, name)


def _refuse_zeros(content, name):
    place = content.find(b"\0")
    if place >= 0:
        line = content.count(b"\n", 0, place) + 1
        raise TableError(
            f"{name} is a binary file, not a CSV, or a damaged one: byte {place}, in line {line}, is zero."
        )


def split_separator_line(content):
    """Return the delimiter that Excel's first line "sep=;" names, or None, and the bytes without that line."""
    found = _SEPARATOR_LINE.match(content)
    return (found[1].decode(), content[found.end() :]) if found else (None, content)


def sample_rows(content, delimiter):
    """Return the fields of the first lines that are not blank: a list of lists of str."""
    text = content[:SAMPLE_BYTES].decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    whole = len(content) <= SAMPLE_BYTES
    rows = []
    try:
        for row in csv.reader(text.splitlines(keepends=True), delimiter=delimiter):
            if row and any(map(str.strip, row)):
                rows.append(row)
            if len(rows) == SAMPLE_LINES:
                return rows
    except csv.Error:
        return rows
    return rows if whole or len(rows) < 2 else rows[:-1]  # the last one may be cut


def find_delimiter(content):
    """Return the delimiter by which most rows have as many fields as the header, two or more.

    Examples
    --------
    >>> find_delimiter(b'"Temp, C";z;y\\n1,5;2;3\\n')
    ';'
    """
    best, best_score = ",", (0.0, 1)
    for delimiter in DELIMITERS:
        rows = sample_rows(content, delimiter)
        width = len(rows[0]) if rows else 0
        if width < 2:
            continue
        same = sum(len(row) == width for row in rows[1:])
        score = (same / max(len(rows) - 1, 1), width)
        if score > best_score or best_score == (0.0, 1):
            best, best_score = delimiter, score
    return best


def find_decimal(content, delimiter, usual=None):
    """Return "," where a file's numbers have decimal commas, "." where points, `usual` where that does not show.

    Examples
    --------
    >>> find_decimal(b"a;b\\n1,5;2\\n1.234,5;3\\n", ";")
    ','
    """
    commas = maybe_commas = points = 0
    for row in sample_rows(content, delimiter)[1:]:
        for field in map(str.strip, row):
            if _COMMA_NUMBER.fullmatch(field):
                maybe_commas += 1
                commas += not _MAYBE_THOUSANDS.fullmatch(field)
            elif _POINT_NUMBER.fullmatch(field):
                points += not _MAYBE_DOTTED_THOUSANDS.fullmatch(field)
    if commas or points:
        return "," if commas > points else "."
    return "," if usual is None and delimiter == ";" and maybe_commas else usual
