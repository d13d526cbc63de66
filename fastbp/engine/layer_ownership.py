"""The user's layer objects and a model's own copies of them: which model owns a layer, and what was changed since.

A model copies its layers' settings when it is compiled (or built, if that comes first).  Network, plan and files use
these copies alone.  `model.layers` holds *handles*: objects that share their settings with those that the user gave,
and that know their model besides.
"""

import copy
import dataclasses
import weakref
from typing import NamedTuple

import numpy as np

from fastbp.settings.validation import Settings, setting_names


class Change(NamedTuple):
    """One setting of a layer that differs from the model's copy."""

    taken: object  # the model's copy
    setting: str
    before: object
    now: object


def walk(specs):
    """Yield the specs, and the layers within them."""
    for spec in specs:
        yield spec
        yield from walk(spec.held)


def has_weights(spec):
    """Does the spec, or a layer within it, have weights to train?"""
    return any(type(layer).gradient is not None for layer in walk([spec]))


def check_places(specs):
    """Raise ValueError where one spec with weights stands twice."""
    seen = set()
    for spec in walk(specs):
        if id(spec) in seen and type(spec).gradient is not None:
            raise ValueError(
                f"one {type(spec).__name__} object stands twice in the model. Layers do not share weights: each place "
                "would get weights of its own. Write a layer for each place ([Dense(8) for _ in range(2)] in place of "
                "[Dense(8)] * 2), or put copy.deepcopy(layer) in the second."
            )
        seen.add(id(spec))


def check_owners(specs):
    """Raise ValueError where specs were taken from another model that has weights for them."""
    for spec in specs:
        owner = spec._owner and spec._owner()
        if owner is None or owner.engine is None or not has_weights(spec):
            continue
        if len(specs) == len(owner.layers) and all(map(_is, specs, owner.layers)) and owner.engine.is_as_drawn():
            return
        raise ValueError(
            f"a {type(spec).__name__} comes from the layers of another model that is built. Layers hold settings, "
            "models hold the weights, and a second model would draw new ones. If you want those, pass copies: "
            "copy.deepcopy(layers). To take the weights along, build a model of the copies, and copy them too: "
            "new.views[name][...] = old.views[name] for each name in new.views. copy.deepcopy(model) copies all."
        )


def handle(spec, model):
    """Return an object that shares all settings with `spec`, also later changes, and knows its model."""
    made = type(spec).__new__(type(spec))
    object.__setattr__(made, "__dict__", spec.__dict__)
    object.__setattr__(made, "_made", True)
    own(made, model)
    return made


def own(spec, model):
    """Note in a spec that it is the handle of `model`."""
    object.__setattr__(spec, "_owner", weakref.ref(model))


def copies(specs):
    """Return copies of the specs, for a model alone."""
    return [_copy(spec) for spec in specs]


def _copy(value):
    """Return a copy of a setting.  A frozen object is not copied: an initializer may hold a large array."""
    if isinstance(value, float | int | str | None):
        return value
    if isinstance(value, Settings):
        made = copy.copy(value)
        made.__dict__.update({name: _copy(setting) for name, setting in vars(value).items()})
        return made
    if type(value) in (tuple, list):
        parts = [_copy(part) for part in value]
        # An unchanged tuple is kept, because `same` finds it equal at once.
        return value if type(value) is tuple and all(map(_is, parts, value)) else type(value)(parts)
    return value if _is_frozen(value) else copy.deepcopy(value)


def _is_frozen(value):
    return dataclasses.is_dataclass(value) and type(value).__dataclass_params__.frozen


def changes(specs, taken):
    """Return the `Change`s of specs since copies of them were taken; the same layers stand in both."""
    found = []
    for now, before in zip(specs, taken, strict=True):
        within = {id(layer) for layer in (*now.held, *before.held)}
        for setting in setting_names(type(before)):
            values = getattr(before, setting), getattr(now, setting)
            if not _holds(values[0], within) and not same(*values):
                found.append(Change(before, setting, *values))
        found += changes(now.held, before.held)
    return found


def _holds(value, within):
    """Does the setting hold layers of `within`, the ids of the layers inside a layer?"""
    if isinstance(value, tuple | list):
        return any(_holds(part, within) for part in value) if within else False
    return id(value) in within


def same(a, b):
    """Are two settings equal?  Arrays are compared by entries, objects by attributes or by an `__eq__` of their own."""
    if a is b:
        return True
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    plain = dataclasses.is_dataclass(a) or type(a).__eq__ is object.__eq__
    if type(a) is type(b) and plain and hasattr(a, "__dict__"):
        return vars(a).keys() == vars(b).keys() and all(same(value, vars(b)[key]) for key, value in vars(a).items())
    return bool(a == b)


def _is(a, b):
    return a is b
