"""The parameters of a network, and a version of their values by which predictions keep what they made of them.

Predictions pack the weights (kernels/panels.py), which takes 52 of 390 us for 64 rows of 784-512-512-10.  What they
packed may stay for the next call only if no parameter has changed, and users write into the array and its views in
place.  No counter sees that.  But whoever writes holds the array, one of its views, or something made of them (a slice,
a memory view, a tensor), and all of these hold a reference to the array or to the view.

So there is one way to the array and to the views, for users and for the library's own writers alike.  It takes the
version away.  A prediction that finds none counts references: if only those of `Parameters` are left, nobody can write
any more, and the values get a new version.  Else they have none, and the prediction packs anew.  Nobody has to say
that he has written.  A reference that the library forgets somewhere costs time, never a wrong result.
"""

import sys
from functools import cache
from sys import getrefcount

import numpy as np


class Parameters:
    """Parameters (P,) of a network, their views by name, and their version.

    Attributes
    ----------
    flat : (P,) array
        For compiled calls that only read: a view of its own, which runners may hold from call to call.

    Parameters
    ----------
    array : (P,) array
        Where it does not own its memory (a memory map), others may write there, and there is never a version.
    views : dict
        {name: view}, of the array and perhaps of others.
    """

    def __init__(self, array, views):
        self.flat, self._array, self._views = array[:], array, views
        # Views of views have the array itself as their base, if it owns its memory.
        self._own = [view for view in views.values() if view.base is array]
        # Without Python's lock the count would not be that of one moment.
        has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
        self._is_countable = type(array) is np.ndarray and array.flags.owndata and has_lock
        self._version = self._claim = None

    def hand_out(self):
        """Return the array, to be read or written."""
        array = self._array
        # Now the array is held.  What another thread counts from here on has this reference, or its claim is gone.
        self._claim = self._version = None
        return array

    def hand_out_views(self):
        """Return {name: view}, to be read or written."""
        views = self._views.copy()
        self._claim = self._version = None
        return views

    def version(self):
        """Return an object that stands for the values as they are, another one after each change.

        None: somebody may be writing.
        """
        if self._version is None and self._is_countable:
            claim = self._claim = object()
            alone = self._references() == references_of_its_own(len(self._own))
            # Between these two lines is no call, so no other thread and no signal's handler comes in between.
            if alone and self._claim is claim:
                self._version = claim
        return self._version

    def _references(self):
        """Return how many references to the array and to its views there are."""
        # Views come first: whoever holds one can make a slice and drop the view, but nobody makes our view of a slice.
        return sum(map(getrefcount, self._own)) + getrefcount(self._array)


@cache
def references_of_its_own(n_views):
    """Return how many references to array and views there are where nobody else has one."""
    array = np.zeros(n_views)
    parameters = Parameters(array, {i: array[i:] for i in range(n_views)})
    del array
    return parameters._references()
