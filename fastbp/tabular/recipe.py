"""Recipes: how the networks of the tabular estimators look, how they train, and how many there are.

The networks are RealMLP's (Holzmueller et al., 2024, arXiv:2407.04491), with choices that lowered the loss on 16 tables
of 275 to 10,000 rows (the suite).  Where two choices were as good there, 48 other tables decided (of R's packages and
KEEL, 263 to 10,000 rows, not looked at before).  Each figure below is the loss of three networks with a choice, divided
by the loss without it, when the choice was made (geometric means over tables):

- piecewise linear functions of numeric columns beside the waves, on six hard tables: 0.96
- waves beside the functions: suite 0.995, the 48 tables 0.98
- knots at four times as many distinct values for columns that have one value in most rows, six tables that have
  such columns, three splits: 0.98 (adult 0.97, spambase 0.94)
- 4 functions of a column in place of 8: suite 0.994, the 48 tables 0.99, a tenth of the time less; 4 waves in place of
  8: 0.999 and 0.996
- running means of the parameters: 0.99 to 0.995
- a bag of five on different parts of the rows beside one network: 0.95; parts of a tenth in place of a fifth: suite
  0.988, the 48 tables 0.993
- 48 epochs in place of 24, ended early where the best one lies in the first half: suite 0.985 in 1.45 of the time, 41
  of the 48 tables 0.975 (concrete 0.84, weather 0.84); 72: 0.6 % better on the 41, 0.3 % worse on the suite
- no dropout (RealMLP: 0.15): 0.98 (letter 0.86, covertype 0.95); of tables cut to 300 rows: as good
- width 128 in place of 256: as good but for letter (0.8 with 256); weight decay 0.05 in place of 0.02, batches of 64 or
  128: as good
- few rows: batches of 64 and 250 steps in place of 256 and 100, 15 tables cut to 800 rows: 0.92
- targets of repeated rows (`repeated_rows.py`): wine_quality_white 0.74, others as they were
- without gain, and left out: statistics of the target for each category, spiked columns' values as categories,
  nearest neighbours, label smoothing, other schedules

`asv_benchmarks/ablate_tabular.py` measures the choices again, `asv_benchmarks/compare_tabular.py` the presets beside
other learners.
"""

from dataclasses import dataclass, replace

# Two networks of either width had the same losses (0.946 and 0.950 of RealMLP's, geometric means over eight data sets),
# but wide ones take twice the time.
NARROW, WIDE = (128, 128, 128), (256, 256, 256)
# Tables of fewer rows: with batches of 64 and no fewer than 250 steps, in place of 256 and 100, the losses for 15
# tables cut to 800 rows are 8 % lower (diamonds' and bike_sharing_hour's by 37 and 46 %).
FEW_ROWS = 2500
# Tables with more numeric columns get no functions of these columns: both kinds would make the matrix up to eight times
# as wide, and would take time themselves.  R^2 (two seeds) of `fast`, and seconds of CPU a fit, for 1,000 generated
# rows.  10 of the normal columns matter (a sum, a product, a size); 8 hidden numbers make the skewed columns:
#                            both                     pieces                   none
#       100 columns, normal  0.94   0.94    1.9       0.94   0.95    1.0       0.94   0.94    0.4
#                    skewed  0.80   0.80    1.5       0.79   0.80    1.0       0.77   0.77    0.5
#       300          normal  0.90   0.90    4.4       0.84   0.92    2.3       0.90   0.90    0.6
#                    skewed  0.86   0.87    4.3       0.86   0.86    2.4       0.85   0.86    0.7
#     1,000          normal  0.18   0.36   19.2       0.03   0.34    8.6       0.17   0.25    1.1
#                    skewed  0.88   0.89   20.4       0.87   0.84    9.3       0.89   0.89    1.3
MOST_EMBEDDED = 512


@dataclass(frozen=True)
class Recipe:
    """Settings of an ensemble of networks for a table.

    Parameters
    ----------
    folds : int
        The training rows are cut into so many parts; each network leaves one of them out, to choose its best epoch.
    networks, few_rows_networks : int
        Networks, also for tables of few rows; those beyond `folds` go on with a new cut.
    epochs : int
        Passes over the rows of each network, at most (`network_training.learn` ends earlier where they do not help).
    least_steps : int
        Steps of each network, however few the rows are: there are more epochs then.
    batch_size, few_rows_batch_size : int
        Rows of a step, also for tables of few rows; the last, short batch of an epoch is dropped.
    hidden : tuple of tuples of int
        Units of the hidden layers; networks take the tuples in turn.
    n_frequencies : int
        Cosines of each numeric column (`PeriodicEmbedding`); 0: none, as for more than `MOST_EMBEDDED` columns.
    n_knots : int
        Places, about twice as many, at which the piecewise linear functions of each numeric column bend
        (`PiecewiseLinearEmbedding`); 0: none, as for more than `MOST_EMBEDDED` columns.
    dropout, weight_decay : float
        Both fall to zero in the second half of training (by half a cosine wave).
    classification_rate, regression_rate : float
        The highest learning rate.
    averaging : float
        A network's parameters are running means over the steps. A step's weight in the mean falls by 1 / e within this
        share of the training.
    """

    folds: int
    networks: int
    few_rows_networks: int
    epochs: int
    least_steps: int
    batch_size: int = 256
    few_rows_batch_size: int = 64
    hidden: tuple[tuple[int, ...], ...] = (NARROW,)
    n_frequencies: int = 4
    n_knots: int = 16
    dropout: float = 0.0
    weight_decay: float = 0.02
    classification_rate: float = 0.04
    regression_rate: float = 0.2
    averaging: float = 0.04

    def suited(self, n_rows, n_numeric=0):
        """Return the recipe for a table of so many training rows and numeric columns."""
        recipe = self
        if n_numeric > MOST_EMBEDDED:
            recipe = replace(recipe, n_frequencies=0, n_knots=0)
        if n_rows < FEW_ROWS:
            recipe = replace(recipe, networks=self.few_rows_networks, batch_size=self.few_rows_batch_size)
        return recipe


PRESETS = {
    # Few rows: 8 networks or 500 steps are no better (titanic, german_credit, penguins, two splits); with 3 networks
    # penguins has 1.7 times the log loss (three splits).  4 networks of 20 epochs in place of 3 of 24 are as good.
    "fast": Recipe(folds=10, networks=3, few_rows_networks=6, epochs=24, least_steps=250),
    "default": Recipe(folds=10, networks=10, few_rows_networks=10, epochs=48, least_steps=500),
    "best": Recipe(folds=10, networks=20, few_rows_networks=20, epochs=48, least_steps=500, hidden=(NARROW, WIDE)),
}
