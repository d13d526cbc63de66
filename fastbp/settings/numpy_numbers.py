"""NumPy's numbers in settings become Python's."""


def plain(value):
    """Return a number of NumPy's, or a tuple or list of them, as Python's: int8(100) * 2 would overflow."""
    if type(value) in (list, tuple):
        return type(value)(map(_number, value))
    return _number(value)


def _number(value):
    # By the name of its module: NumPy is not imported here.  Arrays have entries to set.
    is_number = type(value).__module__ == "numpy" and hasattr(value, "item") and not hasattr(value, "__setitem__")
    return value.item() if is_number else value
