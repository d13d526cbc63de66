"""Recipes: how the networks of the tabular estimators look, how they train, and how many there are.

The networks are RealMLP's (Holzmueller et al., 2024, arXiv:2407.04491) with what lowered the loss on 16 tables of 275
to 10,000 rows: piecewise linear functions of numeric columns beside the waves, running means of the parameters, bags
of short trainings on different parts of the rows, and a temperature.  `asv_benchmarks/ablate_tabular.py` measures each
choice, `asv_benchmarks/compare_tabular.py` the presets beside other learners.
"""

from dataclasses import dataclass

# Two of either width had the same losses (geometric mean over eight data sets: 0.946 and 0.950 of RealMLP's); the wide
# ones take twice the time.
NARROW, WIDE = (128, 128, 128), (256, 256, 256)


@dataclass(frozen=True)
class Recipe:
    """Settings of an ensemble of networks for a table.

    Parameters
    ----------
    folds : int
        The training rows are cut into so many parts; each network leaves one of them out, to choose its best epoch.
    networks : int
        Networks; those beyond `folds` go on with a new cut.
    epochs : int
        Passes over the rows of each network.
    batch_size : int
        Rows of a step; the last, short batch of an epoch is dropped.
    hidden : tuple of tuples of int
        Units of the hidden layers; networks take the tuples in turn.
    n_frequencies : int
        Cosines of each numeric column (`PeriodicEmbedding`); 0: none.
    n_knots : int
        Places, about twice as many, at which the piecewise linear functions of each numeric column bend
        (`PiecewiseLinearEmbedding`); 0: none.
    dropout, weight_decay : float
        Both fall to zero in the second half of training (by half a cosine wave).
    classification_rate, regression_rate : float
        The highest learning rate.
    averaging : float
        The networks used are running means of the parameters over the steps, with weights that fall by 1 / e in this
        share of training.
    """

    folds: int
    networks: int
    epochs: int
    batch_size: int = 256
    hidden: tuple[tuple[int, ...], ...] = (NARROW,)
    n_frequencies: int = 16
    n_knots: int = 16
    dropout: float = 0.2
    weight_decay: float = 0.02
    classification_rate: float = 0.04
    regression_rate: float = 0.2
    averaging: float = 0.04


PRESETS = {
    "fast": Recipe(folds=5, networks=3, epochs=24),
    "default": Recipe(folds=6, networks=12, epochs=24),
    "best": Recipe(folds=6, networks=24, epochs=24, hidden=(NARROW, WIDE)),
}
