"""Registries: a name, a settings dataclass and its kernels in one row; JSON descriptions for saving."""

import dataclasses
import difflib

_REGISTRIES = {}


def nearest(name, names):
    """Return " Did you mean 'x'?" for the closest of `names`, or an empty string."""
    found = difflib.get_close_matches(str(name), [str(n) for n in names], n=1)
    return f" Did you mean {found[0]!r}?" if found else ""


class Registry(dict):
    """Settings classes by name.  The classes are dataclasses; `kind` names the family in messages."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.nameless = ()
        _REGISTRIES[kind] = self

    def register(self, name):
        """Class decorator: add the settings class under `name`, its `name` too unless that is a setting."""

        def add(cls):
            cls.registered = (self.kind, name)
            if "name" not in vars(cls) and all(field.name != "name" for field in dataclasses.fields(cls)):
                cls.name = name
            self[name] = cls
            return cls

        return add

    def accept(self, cls):
        """Class decorator: objects of `cls` are settings too, but no name makes one and no file holds one."""
        self.nameless += (cls,)
        return cls

    def resolve(self, value):
        """Return a settings object: `value` itself if it is one, or the default one of that name."""
        if isinstance(value, str):
            if value not in self:
                known = ", ".join(sorted(self))
                raise ValueError(f"unknown {self.kind} {value!r}.{nearest(value, self)} Known: {known}.")
            return self[value]()
        classes = (*self.values(), *self.nameless)
        if isinstance(value, classes):
            return value
        if isinstance(value, type) and issubclass(value, classes):
            raise TypeError(f"{value.__name__} is a class; write {value.__name__}() for the {self.kind}.")
        raise TypeError(f"a {self.kind} is a name or an object, not {value!r}.")


def describe(value):
    """Return a JSON-ready description of a registered settings object; plain values stay as they are."""
    if type(value).__module__ == "numpy":  # which is not imported here: the command line's help needs this file
        return value.tolist()
    if isinstance(value, list | tuple):
        return [describe(part) for part in value]
    if not hasattr(value, "registered"):
        return value
    settings = {f.name: describe(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    return {"class": "/".join(value.registered), "settings": settings}


def rebuild(value):
    """Return what `describe` described.  Only registered classes are made: no code is run."""
    if isinstance(value, list):
        return tuple(rebuild(part) for part in value)
    if not (isinstance(value, dict) and set(value) == {"class", "settings"}):
        return value
    kind, _, name = value["class"].partition("/")
    cls = _REGISTRIES.get(kind, {}).get(name)
    if cls is None:
        raise ValueError(f"unknown {kind} {name!r} in a model's description: it needs a newer fastbp.")
    return cls(**{key: rebuild(setting) for key, setting in value["settings"].items()})
