"""Every parameter and every result of a public name is annotated; typed_use.py is what type checkers make of them."""

import inspect

import pytest

import fastbp
from tests.public_names import public_members, public_values

MEMBERS = public_members()


def missing(function, is_constructor=False):
    """Return the parameters of a function that have no annotation, and "return" where its result has none."""
    signature = inspect.signature(function)
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name not in ("self", "cls")]
    found = [parameter.name for parameter in parameters if parameter.annotation is parameter.empty]
    return found + ["return"] * (signature.return_annotation is signature.empty and not is_constructor)


def function_of(member):
    """Return the function behind a public name: of a class its constructor, where it has one that is written."""
    if isinstance(member, property):
        return member.fget
    return inspect.unwrap(member.__init__ if inspect.isclass(member) else member)


def test_there_are_names_to_look_at():
    assert {"fastbp.layers.core.dense.Dense", "fastbp.models.sequential.Sequential"} <= set(public_values())
    assert len(MEMBERS) > 400


@pytest.mark.parametrize("name", MEMBERS)
def test_parameters_and_result_are_annotated(name):
    function = function_of(MEMBERS[name])
    if inspect.isfunction(function):  # object.__init__ is none
        assert missing(function, inspect.isclass(MEMBERS[name])) == [], name


@pytest.mark.parametrize("name", ["Dense", "Adam", "LSTM"])
def test_help_shows_the_settings(name):
    assert not {"args", "kwargs"} & set(inspect.signature(getattr(fastbp, name)).parameters)
