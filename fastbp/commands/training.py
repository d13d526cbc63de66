"""Parts of ``fastbp train`` that are the same for one target and for several."""

from fastbp.tabular.errors import TableError


def asked_task(asked, name):
    """Return (task, "as asked") of a target by --task, or None."""
    task = asked if isinstance(asked, str) else asked.get(name, "auto")
    return None if task == "auto" else (task, "as asked")


def target_values(column, task, table, form):
    """Return the target (n,): quantities, or classes as they are in the file."""
    from fastbp.tabular.task import check_learnable, class_values, number_values

    if task == "regression":
        y = number_values(column, form)
    else:
        y = class_values(column)
        if y.dtype.kind == "f":  # 0.5 and 1.50 as classes
            y = _as_written(column, table)
    check_learnable(column.name, y, task)
    return y


def _as_written(column, table):
    """Return the values of a column of numbers as text (n,), in a file's own digits where it is a CSV."""
    import numpy as np

    from fastbp.tabular.task import class_values

    if table.file is None:
        return class_values(column, as_text=True)
    written = table.file.read_text([column.name])[column.name]
    return np.array(written.loc[column.to_native().index].str.strip().tolist(), dtype=object)


def fit(model, given, y, arguments):
    """Fit to the features in `given`; what is wrong with them is a mistake of the user's, told in a line."""
    from fastbp.engine.threads import set_num_threads

    set_num_threads(arguments.threads)
    try:
        model.fit(given.features, y, checkpoint=arguments.resume, **given.of_fit)
    except ValueError as error:
        raise TableError(str(error)) from None
    finally:
        set_num_threads(None)


def told_of(model, table):
    """Return what a fitted model says of the table, and reading it did not say."""
    encoder = model.encoder_
    encoder.adopt_forms(table.forms)
    lines = [*getattr(model._target, "notices", ()), *encoder.notices, *encoder.doubts]
    return [line for line in lines if line not in table.notes]


def columns_of(table, given, target_forms):
    """Return what is told of a table's columns, for targets {name: form or None}."""
    from fastbp.commands.columns import column_types, describe_columns

    frame, roles = table.frame, {**given.roles, **dict.fromkeys(target_forms, "target")}
    types = column_types(frame, {**table.forms, **target_forms})
    return describe_columns(frame, types, roles)


def show_columns(rows, say):
    from fastbp.commands.columns import columns_as_text

    say()
    say(columns_as_text(rows))
    say()


def remembered(table, rows, scores, arguments):
    """Return what `reading_` keeps of the file, for predict, evaluate and info."""
    from fastbp import __version__
    from fastbp.commands.options import plain

    kept = ("name", "type", "role")
    return {
        "decimal": table.how.decimal,
        "thousands": table.how.thousands,
        "ids": arguments.id,
        "columns": [{key: row[key] for key in kept} for row in rows],
        "scores": plain(scores),
        "fastbp": __version__,
    }
