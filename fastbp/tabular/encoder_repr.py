"""The text that shows a `TableEncoder`, and the table of its columns in a notebook."""

import html


def line_of(encoder):
    """Return an encoder in a line."""
    if not encoder.feature_names_in:
        return "<TableEncoder, not fitted>"
    many = len(encoder.feature_names_in)
    makes = f"{encoder.n_numeric} for numeric embeddings, {encoder.n_plain} plain, {encoder.n_codes} of codes"
    left_out = f"; {len(encoder.dropped)} left out" if encoder.dropped else ""
    return f"<TableEncoder of {many} column{'s' * (many != 1)}{left_out}: {makes}>"


def html_of(encoder):
    """Return a table of the columns: what each becomes, or why it is left out."""
    lines = [f"<p><code>{html.escape(line_of(encoder))}</code></p>"]
    if encoder.feature_names_in:
        kinds = {coder.name: type(coder).__name__ for coder in encoder._coders}
        rows = []
        for name in encoder.feature_names_in:
            what = kinds.get(name) or f"left out: {encoder.dropped.get(name, '')}"
            rows.append(f"<tr><td>{html.escape(str(name))}</td><td>{html.escape(what)}</td></tr>")
        lines.append(
            f"<table><thead><tr><th>column</th><th>read as</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
        )
    return "".join(lines)
