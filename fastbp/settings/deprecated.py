"""What goes away: one warning class and one helper for functions, arguments and names of an older release."""

import inspect
from functools import wraps

from fastbp.settings.user_warnings import warn


class FastbpDeprecationWarning(FutureWarning):
    """What is used here works today and will not in a later release.

    A FutureWarning, which Python shows by default: a DeprecationWarning would be seen by few. It names the release
    that removes the old way and what to write in its place.

    Examples
    --------
    >>> import warnings, fastbp
    >>> warnings.simplefilter("error", fastbp.FastbpDeprecationWarning)  # in a test suite: find old ways early
    """


def warn_deprecated(what, *, since, removed_in, instead):
    """Warn, at the user's line, that something goes away.

    Parameters
    ----------
    what : str
        The old way as users write it, such as ``"Dense(size=)"``.
    since, removed_in : str
        Releases: the one that warns first, and the one that no longer knows it.
    instead : str
        What to write in its place.
    """
    warn(
        f"{what} is deprecated since fastbp {since} and will be removed in {removed_in}: use {instead}.",
        FastbpDeprecationWarning,
    )


def _check_releases(since, removed_in):
    """Raise ValueError unless there is a minor release between the first warning and the end."""
    first, last = (tuple(map(int, release.split(".")[:2])) for release in (since, removed_in))
    if not first < last:
        raise ValueError(f"what warns since {since} is removed in a later minor release at the earliest: {removed_in}.")


def deprecated(*, since, removed_in, instead):
    """Decorate a function or method that goes away: each call warns, and works as before.

    Raises
    ------
    TypeError
        For a class, of which nobody could derive any more.  Its `__init__` is decorated instead.
    ValueError
        For releases out of order.
    """
    _check_releases(since, removed_in)

    def decorate(function):
        if isinstance(function, type):
            raise TypeError(f"{function.__name__} is a class: decorate its __init__.")

        @wraps(function)
        def warning(*arguments, **settings):
            warn_deprecated(f"{function.__qualname__}()", since=since, removed_in=removed_in, instead=instead)
            return function(*arguments, **settings)

        return warning

    return decorate


def renamed_argument(old, new, *, since, removed_in):
    """Decorate a function one of whose keyword arguments has a new name: the old one warns and is passed on.

    Raises
    ------
    TypeError
        Where the function has no argument of the new name, or has one of the old name; at a call that gives both.
    ValueError
        For releases out of order.
    """
    _check_releases(since, removed_in)

    def decorate(function):
        names = inspect.signature(function).parameters
        if new not in names or old in names:
            raise TypeError(f"{function.__qualname__} has to take {new!r}, and {old!r} no more.")

        @wraps(function)
        def renaming(*arguments, **settings):
            if old in settings:
                if new in settings:
                    raise TypeError(
                        f"{function.__qualname__}() got both {new!r} and its older name {old!r}: give {new!r}."
                    )
                what = f"{function.__qualname__}({old}=)"
                warn_deprecated(what, since=since, removed_in=removed_in, instead=f"{new}=")
                settings[new] = settings.pop(old)
            return function(*arguments, **settings)

        return renaming

    return decorate
