"""What goes away says so, at the user's line, and works until then."""

import warnings
from pathlib import Path

import pytest

import fastbp
from fastbp.settings.deprecated import deprecated, renamed_argument


@deprecated(since="0.2", removed_in="0.4", instead="new()")
def old(x, *, y=1):
    """Add."""
    return x + y


@renamed_argument("size", "units", since="0.2", removed_in="0.4")
def layer(units=3):
    return units


def test_an_old_function_works_and_says_when_it_goes_and_what_to_write():
    with pytest.warns(
        fastbp.FastbpDeprecationWarning, match=r"old\(\) is deprecated since fastbp 0\.2 and will be"
    ) as w:
        assert old(1, y=2) == 3
    assert "removed in 0.4: use new()." in str(w[0].message)
    assert Path(w[0].filename) == Path(__file__)
    assert (old.__name__, old.__doc__) == ("old", "Add.")


def test_the_warning_is_shown_by_default():
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        old(1)
    assert issubclass(fastbp.FastbpDeprecationWarning, FutureWarning)
    assert len(caught) == 1


def test_helpers_that_are_used_wrongly_say_so_at_once():
    releases = {"since": "0.2", "removed_in": "0.4"}
    with pytest.raises(TypeError, match="Old is a class: decorate its __init__"):
        deprecated(**releases, instead="New")(type("Old", (), {}))
    for old_name, new_name in (("size", "unit"), ("units", "units"), ("units", "size")):
        with pytest.raises(TypeError, match="layer has to take .*, and .* no more"):
            renamed_argument(old_name, new_name, **releases)(layer.__wrapped__)
    for last in ("0.2", "0.2.3", "0.1"):
        with pytest.raises(ValueError, match=r"since 0\.2 is removed in a later minor release"):
            deprecated(since="0.2", removed_in=last, instead="new()")
        with pytest.raises(ValueError, match=r"since 0\.2 is removed in a later minor release"):
            renamed_argument("size", "units", since="0.2", removed_in=last)
    deprecated(since="0.9", removed_in="0.10", instead="new()")  # numbers, not text


def test_an_argument_by_its_old_name_is_passed_on():
    with pytest.warns(fastbp.FastbpDeprecationWarning, match=r"layer\(size=\).*use units=\."):
        assert layer(size=7) == 7
    assert layer(units=8) == 8
    assert layer(9) == 9
    with pytest.raises(TypeError, match="both 'units' and its older name 'size'"):
        layer(units=1, size=2)
