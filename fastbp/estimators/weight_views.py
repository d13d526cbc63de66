"""`coefs_` and `intercepts_` of an estimator: views into its network's parameters, and arrays put in their place."""

from operator import is_
from typing import Any

# Attributes that are views into the parameters, or hold some.
VIEWS = ("coefs_", "intercepts_", "_views")


class WeightViews:
    """An estimator's network and the views of its weights, which are made when somebody asks for them.

    As long as there are some, users may write into them, and predictions pack the weights at each call.
    """

    def _hold(self, model):
        """Make `model` the network beneath."""
        for name in VIEWS:
            vars(self).pop(name, None)
        self.model_ = model

    def __getattr__(self, name: str) -> Any:
        known = self.__dict__
        if name not in VIEWS or "model_" not in known:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        views = list(self.model_.views.values())
        # An attribute that the user has set already stays.
        for one, value in zip(VIEWS, (views[0::2], views[1::2], views[0::2] + views[1::2]), strict=True):
            known.setdefault(one, value)
        return known[name]

    def __dir__(self) -> list[str]:
        """Return the names of the attributes, also of those that are made when they are asked for."""
        return [*super().__dir__(), *(VIEWS[:2] if "model_" in self.__dict__ else ())]

    def _adopt_weights(self):
        """Copy arrays that the user put into `coefs_` or `intercepts_` to the flat parameters."""
        if self.__dict__.keys().isdisjoint(VIEWS):
            return
        if not all(map(is_, [*self.coefs_, *self.intercepts_], self._views)):
            pairs = zip(self.coefs_, self.intercepts_, strict=True)
            self.model_.set_weights([array for pair in pairs for array in pair])
            self._hold(self.model_)
