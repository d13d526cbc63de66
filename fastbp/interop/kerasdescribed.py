"""Descriptions of Keras's objects, {"class_name": ..., "config": {setting: value}}, read so that no setting is lost.

A setting may be one that fastbp has, one that changes neither outputs nor training, or one with a value that asks for
nothing.  Any other setting is an error that names it, as is one that a later Keras adds.
"""

from typing import Any


def settings_left(config: dict, mapped: Any, neutral: dict, unused: Any = ()) -> dict:
    """Return the settings of a description that fastbp has.

    Parameters
    ----------
    config : dict
        {setting: value}.
    mapped : collection of str
        Settings that fastbp has.
    neutral : dict
        {a setting that fastbp does not have: the value that asks for nothing}.
    unused : collection of str
        Settings that change neither outputs nor training.

    Raises
    ------
    ValueError
        For a setting with another value.
    """
    for name, value in config.items():
        if name in mapped or name in unused or value is None or same(value, neutral.get(name)):
            continue
        raise ValueError(f"{name}={value!r} has no counterpart in fastbp.")
    return {name: value for name, value in config.items() if name in mapped}


def same(value, neutral):
    """Is a setting's value the neutral one?  False is not 0, and a list is as good as a tuple."""
    if isinstance(value, list | tuple) and isinstance(neutral, list | tuple):
        return list(value) == list(neutral)
    return isinstance(value, bool) == isinstance(neutral, bool) and neutral is not None and bool(value == neutral)


def check_keras_s(described: dict) -> None:
    """Raise ValueError where a description is not of one of Keras's own classes, whatever its name is."""
    module = described.get("module") or ""
    if described.get("class_name") != "function" and (
        module.split(".")[0] != "keras" or described.get("registered_name")
    ):
        name = described.get("registered_name") or described.get("class_name")
        raise ValueError(f"{name} is not one of Keras's own classes: it has no counterpart in fastbp.")
