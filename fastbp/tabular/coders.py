"""The choice of a column's coder: the rule for numbers that are categories, and the user's own choice."""

import numpy as np

from fastbp.tabular.categories import CategoryCoder
from fastbp.tabular.columns import Useless, column_kind, nearest_name, to_numbers, type_name
from fastbp.tabular.dates import read_times, zone_of
from fastbp.tabular.errors import TableError
from fastbp.tabular.factorize import factorize
from fastbp.tabular.numeric import DateCoder, NumberCoder
from fastbp.tabular.textcolumns import is_free_text, recognised_column

CODERS = {coder.kind: coder for coder in (NumberCoder, DateCoder, CategoryCoder)}

# Whole numbers with at most so many different values are categories.  More of them are taken for counts or ranks: their
# order tells a network more than a vector for each would.
MOST_INTEGER_CATEGORIES = 2


def is_category(numbers):
    """Tell whether numbers (n,), NaN where missing, are categories: the rule for columns of numbers."""
    known = numbers[~np.isnan(numbers)]
    if len(np.unique(known[:1000])) > MOST_INTEGER_CATEGORIES:
        return False
    distinct = np.unique(known)
    whole = np.isfinite(distinct) & (distinct == np.floor(distinct))
    return 2 <= len(distinct) <= MOST_INTEGER_CATEGORIES and bool(whole.all())


def fit_coder(name, column, categorical, notes):
    """Return the fitted coder of a column and what it read; append to the list `notes` how text was read.

    Parameters
    ----------
    name : str
    column : narwhals Series or vector
    categorical : bool or None
        Whether a column of numbers is categorical; None goes by `is_category`.

    Raises
    ------
    Useless
        The column says nothing; the message says why.
    """
    form = None
    if categorical is not True and not isinstance(column, np.ndarray) and is_free_text(column):
        column, form, told = recognised_column(column)
        notes += told
    coder, values = _fit_typed(name, column, categorical)
    coder.form = form
    return coder, values


def _fit_typed(name, column, categorical):
    kind = column_kind(column)
    if kind == "date":
        if categorical:
            raise TableError(f"categorical_features names {name!r}, which holds dates: they cannot be categories.")
        zone = zone_of(column)
        times = read_times(name, column, zone)
        return DateCoder.fit(name, times, zone), times
    if kind == "other":
        raise Useless(f"it holds {type_name(column)}, neither numbers nor text nor dates")
    if kind == "number":
        numbers = to_numbers(column)
        if not (is_category(numbers) if categorical is None else categorical):
            return NumberCoder.fit(name, numbers), numbers
    values = factorize(column)
    return CategoryCoder.fit(name, values, kind == "text"), values


def chosen_categories(chosen, names):
    """Return {name: is it a category?} for `fit`'s categorical_features; {} goes by the rule."""
    if chosen is None:
        return {}
    if isinstance(chosen, str) and chosen == "from_dtype":
        return dict.fromkeys(names, False)
    if isinstance(chosen, str) or np.ndim(chosen) != 1:
        raise TableError(f"categorical_features={chosen!r}: it is None, 'from_dtype', or a list of names or positions.")
    chosen = np.asarray(chosen).tolist() if all(isinstance(c, bool | np.bool_) for c in chosen) else list(chosen)
    if chosen and isinstance(chosen[0], bool):
        if len(chosen) != len(names):
            raise TableError(f"categorical_features has {len(chosen)} entries for {len(names)} columns.")
        return dict(zip(names, chosen, strict=True))
    wanted = {_name_of(feature, names) for feature in chosen}
    return {name: name in wanted for name in names}


def _name_of(feature, names):
    if isinstance(feature, int | np.integer):
        if not -len(names) <= feature < len(names):
            raise TableError(f"categorical_features has position {feature}; there are {len(names)} columns.")
        return names[feature]
    if feature not in names:
        raise TableError(f"categorical_features: there is no column {feature!r}.{nearest_name(str(feature), names)}")
    return feature
