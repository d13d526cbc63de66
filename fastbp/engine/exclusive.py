"""Who may use a model at the same time: many threads that predict with it, or one that changes it.

Nobody wants two trainings mixed, or predictions with half an update.  So a call raises if it comes in the way of
another thread's.  The thread that trains may do what it likes, in callbacks.
"""

import os
from collections.abc import Callable
from functools import wraps
from threading import get_ident
from typing import TypeVar

# Decorators return what they take, for type checkers.
Method = TypeVar("Method", bound=Callable)

# Objects are named by their ids, which stay theirs: an object lives as long as one of its methods runs.
_changing: dict[int, "_Claim"] = {}  # object: the claim of the thread that changes it
_reading: dict[int, int] = {}  # thread: the object that it predicts with


class _Claim:
    __slots__ = ("thread",)

    def __init__(self, thread):
        self.thread = thread


def changes(method: Method) -> Method:
    """Decorate a method that changes its object: no other thread may change it, or read from it, meanwhile."""

    @wraps(method)
    def alone(self, *arguments, **more):
        key, me = id(self), get_ident()
        claim = _Claim(me)
        try:
            owner = _changing.setdefault(key, claim)
            if owner.thread != me or (owner is claim and _is_read_elsewhere(key, me)):
                raise _refusal(self, "trains it, or computes gradients with it" if owner is not claim else "predicts")
            return method(self, *arguments, **more)
        finally:
            # Here is no call, so no signal's handler can raise before the claim is gone (threads.py).
            if key in _changing and _changing[key] is claim:
                del _changing[key]

    return alone  # type: ignore[return-value]


def reads(method: Method) -> Method:
    """Decorate a method that reads from its object: no other thread may change it meanwhile."""

    @wraps(method)
    def beside_others(self, *arguments, **more):
        key, me = id(self), get_ident()
        outer = _reading.get(me)
        try:
            _reading[me] = key
            if _changing:
                check_free(self)
            return method(self, *arguments, **more)
        finally:
            if outer is None:
                _reading.pop(me, None)
            else:
                _reading[me] = outer

    return beside_others  # type: ignore[return-value]


def _is_read_elsewhere(key, me):
    # A metric of one's own may compute gradients while `evaluate` calls it.
    return key in _reading.values() and any(read == key for thread, read in list(_reading.items()) if thread != me)


def check_free(target):
    """Raise RuntimeError where another thread changes the object."""
    owner = _changing.get(id(target))
    if owner is not None and owner.thread != get_ident():
        raise _refusal(target, "trains it, or computes gradients with it")


def is_changed_here(target):
    """Does this thread change the object, in a method further out?"""
    owner = _changing.get(id(target))
    return owner is not None and owner.thread == get_ident()


def _refusal(target, does):
    return RuntimeError(
        f"this {_NAMES.get(type(target).__name__, type(target).__name__)} is in use: another thread {does}. "
        "Wait for it, or use a copy (copy.deepcopy) in each thread."
    )


# What users know an object by.
_NAMES = {"Engine": "model", "Sequential": "model"}


def _forget_other_threads():
    """In a forked child none of the parent's other threads goes on."""
    me = get_ident()
    for key in [key for key, claim in _changing.items() if claim.thread != me]:
        del _changing[key]
    for thread in [thread for thread in _reading if thread != me]:
        del _reading[thread]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
