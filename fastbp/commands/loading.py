"""Read a model's file for a command, and tables as that model was given them."""

from pathlib import Path

from fastbp.commands.arguments import tell_unseen
from fastbp.commands.options import asked_types, how_to_read, tell, told_dropped
from fastbp.settings.naming import nearest
from fastbp.tabular.errors import TableError


def load_model(path):
    """Return the tabular estimator of a file; a missing file is an error that says the nearest name."""
    from fastbp.tabular.estimator import BaseTabular

    model = load_any(path)
    if not isinstance(model, BaseTabular):
        raise TableError(f"{path} holds a network without its table's encoding: use fastbp.load_model.")
    return model


def load_any(path):
    """Return the model of a file, whatever it is; a missing file is an error that says the nearest name."""
    from fastbp.io.load import load_model as load

    path = Path(path)
    if not path.is_file():
        folder = path.parent
        names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
        what = "is a folder, not a model's file." if path.is_dir() else "does not exist."
        if path.exists() and not path.is_dir():
            what = "is no regular file."
        raise TableError(f"model {str(path)!r} {what}{nearest(path.name, names)}")
    return load(path)


def read_for(model, path, how, *, ids=(), types=None, target=None):
    """Return the `fastbp.tabular.reading.Table` of a file, its columns read as the model's training had them.

    ids are names of columns to be copied as they are, types {name: type} what the user says of columns,
    target the column whose values are asked for.
    """
    from fastbp.tabular.csv_types import Expected
    from fastbp.tabular.reading import read_file

    reading = model.reading_
    forms, encoder = dict(model.encoder_.forms), model.encoder_
    forms |= target_forms(model)
    form = target_form(model)
    if form is not None and not hasattr(model, "classes_"):
        forms[model.target_name_] = form
    expected = Expected(frozenset([*text_columns(model), *ids]), encoder.kinds | (types or {}), forms, trained=True)
    usual = how._replace(thousands=how.thousands or reading.get("thousands"))
    return read_file(path, usual, expected=expected, target=target, usual_decimal=reading.get("decimal"))


def read_answered(model, arguments):
    """Return the features and the target column of the table that a command judges a model by, and tell of it.

    Raises
    ------
    TableError
        Where the model does not know its target's name, the table has no such column, or too much in it is unseen.
    """
    from fastbp.tabular.task import split_target

    name = model.target_name_
    if name is None:
        raise TableError(f"{arguments.model} does not know its target's name: fit it with a Series that has one.")
    table = read_for(model, arguments.data, how_to_read(arguments), types=asked_types(arguments), target=name)
    tell(table.notes)
    features, column, dropped = split_target(table.frame, name)
    if dropped:
        tell([told_dropped(dropped, name)])
    unseen, odd = [], []
    model.encoder_.transform(features, unseen, odd)
    tell(odd)
    tell_unseen(unseen, arguments.allow_unseen)
    return features, column


def target_form(model):
    """Return how the file of training wrote a target that is text there, or None."""
    from fastbp.tabular.recognition import unpacked_form

    return unpacked_form(model.reading_.get("target_form"))


def target_forms(model):
    """Return {name: form} of those of several targets that are text in the file of training."""
    from fastbp.tabular.recognition import unpacked_form

    return {name: unpacked_form(form) for name, form in model.reading_.get("target_forms", {}).items()}


def text_columns(model):
    """Return the names of the columns that a model wants read as text, its targets' too."""
    if hasattr(model, "tasks_"):
        texts = [name for name, classes in class_targets(model).items() if isinstance(classes[0], str)]
        return [*model.encoder_.text_columns, *texts]
    return [*model.encoder_.text_columns, *([model.target_name_] if classes_are_text(model) else [])]


def classes_are_text(model):
    """Tell whether a model predicts classes that are text."""
    return isinstance(getattr(model, "classes_", [None])[0], str)


def class_targets(model):
    """Return {name: classes} of the targets that are classes."""
    names = [name for name, task in model.tasks_.items() if task == "classification"]
    return dict(zip(names, model.classes_, strict=True))


def codes_of(classes, column):
    """Return the codes (n,) of a target's column by its classes."""
    import numpy as np

    from fastbp.tabular.errors import TableError
    from fastbp.tabular.factorize import text_of
    from fastbp.tabular.task import class_values, row_number
    from fastbp.tabular.vocabulary import TWINS

    # Compared as text: the class 1 may be "1", 1.0 or True here, by what else is in the column.
    codes = {text_of(label): code for code, label in enumerate(classes.tolist())}
    if not isinstance(classes[0], str):
        codes |= {TWINS[text]: code for text, code in list(codes.items()) if text in TWINS and TWINS[text] not in codes}
    texts = [text_of(value) for value in class_values(column).tolist()]
    texts = [text if text in codes else text.strip() for text in texts]
    unknown = next((place for place, text in enumerate(texts) if text not in codes), None)
    if unknown is None:
        return np.array([codes[text] for text in texts])
    known = ", ".join(map(str, classes[:10].tolist())) + (" ..." if len(classes) > 10 else "")
    raise TableError(
        f"the target column {column.name!r} holds {texts[unknown]!r} in row {row_number(column, unknown)}, which "
        f"training did not see; its classes are {known}."
    )


def as_dates(seconds):
    """Return seconds since 1970 as dates and times (in UTC where training had zones)."""
    import pandas as pd

    return pd.to_datetime((seconds * 1e6).round().astype("int64"), unit="us").dt.strftime("%Y-%m-%dT%H:%M:%S")
