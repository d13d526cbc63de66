"""The table of a table's columns: what type each was found to be."""

from fastbp.commands.report import format_table

MOST_EXAMPLES, LONGEST = 3, 40


def column_types(frame, forms):
    """Return {name: type} of a pandas frame whose text was read by forms."""
    return {name: _type_of(frame[name], forms.get(name)) for name in frame.columns}


def _type_of(column, form):
    if form is not None:
        return form.describe()
    import narwhals as nw

    from fastbp.tabular.columns import column_kind
    from fastbp.tabular.textcolumns import is_free_text, recognised_column

    series = nw.from_native(column, series_only=True)
    kind = column_kind(series)
    if kind == "text" and is_free_text(series) and (found := recognised_column(series)[1]) is not None:
        return found.describe()
    return {"text": "category"}.get(kind, kind)


def describe_columns(frame, types, roles):
    """Return a list of dicts: each column's name, type, role, missing values, different values and first values."""
    rows = []
    for name in frame.columns:
        column = frame[name]
        distinct = column.dropna().unique()
        rows.append(
            {
                "name": name,
                "type": types[name],
                "role": roles.get(name, "feature"),
                "missing": int(column.isna().sum()),
                "distinct": len(distinct),
                "examples": [_short(value) for value in distinct[:MOST_EXAMPLES]],
            }
        )
    return rows


def columns_as_text(rows):
    """Return the table of `describe_columns` as text."""
    lines = [["column", "type", "missing", "different", "such as"]]
    for row in rows:
        kind = row["type"] if row["role"] == "feature" else f"{row['type']}, {row['role']}"
        lines.append([_short(row["name"]), kind, str(row["missing"]), str(row["distinct"]), ", ".join(row["examples"])])
    return format_table(lines)


def _short(value):
    text = " ".join(str(value).removesuffix(" 00:00:00").split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"
