"""Layers, one file a family: the spec class, then its kernels.  A family's file loads when one of its names is used.

Loading all of them took 107 of the 296 ms that the import of a dense model takes (`python -X importtime`, on a busy
machine).  fastbp/__init__.py tells which file a name is in.
"""

from typing import TYPE_CHECKING

from fastbp import _HOME_OF  # type: ignore[attr-defined]
from fastbp.registry import declare
from fastbp.settings.lazy_names import late_names

if TYPE_CHECKING:  # the stub of the package has the types of all public names
    from fastbp import *  # noqa: F403
    from fastbp.layers.base import LAYERS as LAYERS

_BASE = "layers.base"
_LAYER_HOMES = {
    name: f"fastbp.{home}" for name, home in _HOME_OF.items() if home.startswith("layers.") and home != _BASE
}
_NAMES = {"LAYERS": f"fastbp.{_BASE}", "Layer": f"fastbp.{_BASE}"} | _LAYER_HOMES

declare("layer", _LAYER_HOMES)

__all__ = sorted(_NAMES)
__getattr__, __dir__ = late_names(__name__, _NAMES)
