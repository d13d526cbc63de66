"""Registries: a name, a settings dataclass and its kernels in one entry; JSON descriptions for saving."""

import dataclasses
from collections.abc import Mapping
from functools import wraps
from importlib import import_module

from fastbp.settings.naming import canonical, nearest
from fastbp.settings.numpy_numbers import plain

_REGISTRIES: dict[str, "Registry"] = {}
_HOMES: dict[str, dict[str, str]] = {}


def declare(kind, homes):
    """Say which module registers each name of a family, {name: module}: it is imported when the name is asked for."""
    _HOMES[kind] = homes


class Registry(Mapping):
    """Settings classes by name.  The classes are dataclasses; `kind` names the family in messages.

    `check`, where there is one, is called with each class that is registered, and raises TypeError.  Names of
    `declare` are there from the start, their classes when they are first asked for.
    """

    def __init__(self, kind, check=None):
        self.kind, self._check = kind, check
        self.nameless = ()
        self._homes = _HOMES.get(kind, {})
        self._classes = {}
        _REGISTRIES[kind] = self

    def __getitem__(self, name):
        if name not in self._classes and name in self._homes:
            import_module(self._homes[name])
        return self._classes[name]

    def __iter__(self):
        return iter(self._homes | self._classes)

    def __len__(self):
        return len(self._homes | self._classes)

    def __contains__(self, name):
        return name in self._classes or name in self._homes

    def register(self, name):
        """Class decorator: add the settings class under `name`, its `name` too unless that is a setting.

        A class of one's own (`fastbp.custom`) may be defined once more, as notebooks do; objects of the old one go on.

        Raises
        ------
        TypeError
            Where the class is no dataclass, or lacks what the family needs.
        ValueError
            Where another class has the name.
        """
        if not isinstance(name, str):
            raise TypeError(f"write @....register('name') over the {self.kind}, not @....register.")

        def add(cls):
            self._check_free(name, cls)
            if "__dataclass_fields__" not in vars(cls):
                raise TypeError(f"{cls.__name__} is no dataclass: write @dataclass(frozen=True) right above the class.")
            if self._check is not None:
                self._check(cls)
            cls.__init__ = _with_plain_numbers(cls.__init__)
            cls.registered = (self.kind, name)
            if "name" not in vars(cls) and all(field.name != "name" for field in dataclasses.fields(cls)):
                cls.name = name
            if cls.__dataclass_params__.frozen:
                cls.__setattr__ = _refuse
            self._classes[name] = cls
            return cls

        return add

    def _check_free(self, name, cls):
        """Raise ValueError where another class has the name; one that is defined once more takes its own place."""
        old = self._classes.get(name)
        taken_by = self._homes.get(name, cls.__module__) if old is None else old.__module__
        if taken_by != cls.__module__ or (old is not None and old.__qualname__ != cls.__qualname__):
            raise ValueError(
                f"{taken_by} has {_one(self.kind)} {name!r} already: "
                f"give the {self.kind} of {cls.__module__} another name."
            )

    def accept(self, cls):
        """Class decorator: objects of `cls` are settings too, but no name makes one and no file holds one."""
        self.nameless += (cls,)
        return cls

    def resolve(self, value):
        """Return a settings object: `value` itself if it is one, or the default one of that name, Keras's too."""
        if isinstance(value, str):
            name = canonical(value, self, self.kind)
            if name is None:
                known = self._for_users()
                near = nearest(value, known, self.kind)
                raise ValueError(f"unknown {self.kind} {value!r}.{near} Known: {', '.join(known)}.")
            return self[name]()
        # An object's class is loaded: those that are not need not be.
        classes = (*self._classes.values(), *self.nameless)
        if isinstance(value, classes) or self._is_of_replaced_class(value):
            return value
        if isinstance(value, type) and issubclass(value, classes):
            raise TypeError(f"{value.__name__} is a class; write {value.__name__}() for the {self.kind}.")
        unknown = dataclasses.is_dataclass(value) and not hasattr(value, "registered")
        hint = f" Its class {type(value).__name__} is not registered." if unknown else ""
        if callable(value) and not unknown and self._check is not None:  # a family of fastbp.custom
            hint = f" fastbp.custom says how to write {_one(self.kind)} of your own."
        raise TypeError(f"{_one(self.kind)} is a name or an object, not {value!r}.{hint}")

    def _for_users(self):
        """Return the names that a message lists, sorted: those of classes that say ``listed = False`` are left out."""
        return sorted(name for name in self if getattr(self._classes.get(name), "listed", True))

    def _is_of_replaced_class(self, value):
        """Is it of a class that was registered, before another one of its name took its place?"""
        kind, name = getattr(type(value), "registered", (None, None))
        return kind == self.kind and name in self._classes


def _one(kind):
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _refuse(settings, name, value):
    """In place of a frozen dataclass's `__setattr__`, whose message does not tell what to do."""
    made = f"{type(settings).__name__}({name}={value!r})"
    raise dataclasses.FrozenInstanceError(
        f"{type(settings).__name__}.{name} cannot be changed: put a new object in its place, such as {made}."
    )


def _with_plain_numbers(init):
    """Return an `__init__` that takes NumPy's numbers as Python's (`plain`)."""

    @wraps(init)
    def plain_init(self, *arguments, **settings):
        init(self, *map(plain, arguments), **{name: plain(value) for name, value in settings.items()})

    return plain_init


def describe(value):
    """Return a JSON-ready description of a registered settings object; plain values stay as they are."""
    if type(value).__module__ == "numpy":  # which is not imported here: the command line's help needs this file
        return value.tolist()
    if isinstance(value, list | tuple):
        return [describe(part) for part in value]
    if not hasattr(value, "registered"):
        return value
    settings = {f.name: describe(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    described = {"class": "/".join(value.registered), "settings": settings}
    module = type(value).__module__
    # Of a class that is not fastbp's the file tells where it was, for the message of whoever lacks it.
    return described if module.startswith("fastbp.") else described | {"module": module}


def rebuild(value):
    """Return what `describe` described.  Only registered classes are made: no code is run."""
    if isinstance(value, list):
        return tuple(rebuild(part) for part in value)
    if not (isinstance(value, dict) and set(value) - {"module"} == {"class", "settings"}):
        return value
    kind, _, name = value["class"].partition("/")
    cls = _REGISTRIES.get(kind, {}).get(name)
    if cls is None:
        raise ValueError(_unknown(kind, name, value.get("module")))
    return cls(**{key: rebuild(setting) for key, setting in value["settings"].items()})


def _unknown(kind, name, module):
    if module is None:
        return f"unknown {kind} {name!r} in a model's description: it needs a newer fastbp."
    return (
        f"the {kind} {name!r} is not fastbp's own, and a file holds no code: import the module that registers it "
        f"({module!r} when the model was saved) before you load the model."
    )
