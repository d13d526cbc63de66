"""One network trained by many processes, on one machine or many, over MPI."""

from typing import TYPE_CHECKING

from fastbp.settings.lazy_names import late_names

if TYPE_CHECKING:
    from fastbp.distributed.pipeline import PipelineModel as PipelineModel
    from fastbp.distributed.ranks import RankFailed as RankFailed
    from fastbp.distributed.training import fit as fit

_HOMES = {
    "PipelineModel": "fastbp.distributed.pipeline",
    "RankFailed": "fastbp.distributed.ranks",
    "fit": "fastbp.distributed.training",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = late_names(__name__, _HOMES)
