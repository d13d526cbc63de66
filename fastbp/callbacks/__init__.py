"""Callbacks, by Keras's names, one a file: what users hang on `Sequential.fit`.  A file loads when its name is used.

`base` says which hooks there are, `callbacklist` calls them, `monitor` is what callbacks share that watch a figure.
"""

from typing import TYPE_CHECKING

from fastbp import _HOME_OF  # type: ignore[attr-defined]
from fastbp.settings.lazy_names import late_names

if TYPE_CHECKING:  # the stub of the package has the types of all public names
    from fastbp import *  # noqa: F403

_NAMES = {name: f"fastbp.{home}" for name, home in _HOME_OF.items() if home.startswith("callbacks.")}

__all__ = sorted(_NAMES)
__getattr__, __dir__ = late_names(__name__, _NAMES)
