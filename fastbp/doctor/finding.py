"""A finding: what is wrong with a training, where, by which figure, and what to do about it."""

from dataclasses import dataclass

# From the worst on.
SEVERITIES = ("serious", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Parameters
    ----------
    check : str
        The name of the check that found it: ``"dead_units"``.
    severity : {"serious", "warning", "note"}
        Nothing is learned like this; it costs accuracy or time; it may be meant.
    layer : str or None
        As `Sequential.summary` has it; None where it is no layer's.
    figure : float
        What was measured.
    text : str
        What is wrong, with the figure.
    normal : str
        What the figure is in healthy networks.
    remedy : str
        What to do.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1, "relu")], input_shape=(2,), seed=0)
    >>> model.compile("adam", "mse")
    >>> x = np.random.default_rng(0).normal(size=(100, 2))
    >>> (finding,) = [one for one in fastbp.diagnose(model, x, -1 - abs(x[:, 0])) if one.check == "target_range"]
    >>> finding.layer, finding.figure
    ('dense', 1.0)
    """

    check: str
    severity: str
    layer: str | None
    figure: float
    text: str
    normal: str
    remedy: str

    def __str__(self):
        where = "" if self.layer is None else f" in {self.layer!r}"
        return (
            f"{self.severity}: {self.check}{where}\n    {self.text}\n    Normal: {self.normal}\n    "
            f"Remedy: {self.remedy}"
        )


def by_severity(findings):
    """Return findings, the worst ones first; those of one severity in the order of the checks."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
