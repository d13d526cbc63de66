"""Settings that may change: what is assigned to a layer or an optimizer is checked as its construction checks it."""

import dataclasses
import inspect
from functools import cache

import numpy as np

from fastbp.settings.naming import nearest
from fastbp.settings.numpy_numbers import plain


class SettingsType(type):
    """The type of settings classes: it tells an object that its construction is over."""

    def __call__(cls, *args, **kwargs):
        made = super().__call__(*args, **kwargs)
        made._check_kinds()
        object.__setattr__(made, "_made", True)
        return made

    @property
    def __signature__(cls):
        """What `help` and editors show: the settings, where they would show the (*args, **kwargs) of `__call__`."""
        if cls.__init__ is object.__init__:
            return inspect.Signature()
        _, *settings = inspect.signature(cls.__init__).parameters.values()
        return inspect.Signature(settings)


class Settings(metaclass=SettingsType):
    """Base of the dataclasses whose settings users may assign to: layers and optimizers.

    An assignment either raises what the constructor would raise, and changes nothing, or leaves the object as the
    constructor would have made it. Copies and pickles are objects of their own.
    """

    # Beside the object's dictionary, which holds nothing but settings.
    __slots__ = ("_made", "_owner")

    # How many assignments there were; each kind has a list of its own.
    changes = [0]

    def __new__(cls, *args, **kwargs):
        """Return an object that is not made yet: what is assigned to it is not checked."""
        made = object.__new__(cls)
        object.__setattr__(made, "_made", False)
        object.__setattr__(made, "_owner", None)
        return made

    def __setattr__(self, name, value):
        if self._made and name in setting_names(type(self)):
            self._assign(name, value)
        elif self._made and not name.startswith("_") and not hasattr(type(self), name) and _is_ours(type(self)):
            known = ", ".join(setting_names(type(self)))
            hint = nearest(name, setting_names(type(self)))
            raise AttributeError(f"{type(self).__name__} has no setting {name!r}.{hint} It has: {known}.")
        else:
            object.__setattr__(self, name, value)
            self.changes[0] += self._made

    def _assign(self, name, value):
        """Change one setting, or raise and change nothing."""
        trial = Settings.__new__(type(self))
        trial.__dict__.update(self.__dict__)
        trial.__dict__[name] = plain(value)
        if hasattr(trial, "__post_init__"):
            trial.__post_init__()
        trial._check_kinds()
        self.__dict__.update(trial.__dict__)
        self.changes[0] += 1

    def _check_kinds(self):
        """Raise ValueError where a switch is neither True nor False, or the name is no text."""
        for name in _switches(type(self)):
            object.__setattr__(self, name, checked_switch(self, name, getattr(self, name)))
        name = getattr(self, "name", None)
        if "name" in setting_names(type(self)) and name is not None and (not isinstance(name, str) or not name):
            raise ValueError(f"{type(self).__name__}(name={name!r}): a name is a text, or None.")

    def __getstate__(self):
        """Return the settings: whose object this is does not go along."""
        return dict(self.__dict__)

    def __setstate__(self, state):
        self.__dict__.update(state)
        object.__setattr__(self, "_made", True)


def checked_switch(settings, name, value):
    """Return True or False for a switch, or raise ValueError."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise ValueError(f"{type(settings).__name__}({name}={value!r}): it is True or False.")


def is_number(value):
    """Is it a real number, and no truth value?"""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.complexfloating)


@cache
def setting_names(cls):
    """Return the names of a class's settings."""
    return tuple(field.name for field in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else ()


@cache
def _switches(cls):
    """Return the names of the settings that are True or False: declared so, or by default."""
    fields = dataclasses.fields(cls) if setting_names(cls) else ()
    return tuple(field.name for field in fields if field.type in (bool, "bool") or isinstance(field.default, bool))


def _is_ours(cls):
    """Is it a class of fastbp's, which keeps nothing but settings?"""
    return cls.__module__.startswith("fastbp.")
