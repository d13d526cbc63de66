"""Diagnosis: the findings on one model, as text, as HTML, and one by one."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastbp.doctor.finding import SEVERITIES, by_severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastbp.doctor.finding import Finding

COLORS = {"serious": "#b3261e", "warning": "#9a6700", "note": "#57606a"}


class Diagnosis(Sequence):
    """What `fastbp.diagnose` returns: findings, the worst first; empty (and false) for a healthy model.

    Parameters
    ----------
    findings : list of Finding
    looked_at : str
        What was examined, for the heading.

    Attributes
    ----------
    findings : tuple of Finding
    looked_at : str

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1, "relu")], input_shape=(2,), seed=0)
    >>> model.compile("adam", "mse")
    >>> x = np.random.default_rng(0).normal(size=(100, 2))
    >>> found = fastbp.diagnose(model, x, -1 - abs(x[:, 0]))
    >>> found[0].check, found["target_range"] == [found[0]]
    ('target_range', True)
    """

    def __init__(self, findings: Iterable[Finding], looked_at: str = "") -> None:
        self.findings, self.looked_at = tuple(by_severity(findings)), looked_at

    def __len__(self):
        return len(self.findings)

    def __getitem__(self, key):
        """Return a finding by its number, or the list of those of a check by its name."""
        if isinstance(key, str):
            return [finding for finding in self.findings if finding.check == key]
        return self.findings[key]

    @property
    def checks(self) -> list[str]:
        """The names of the checks that found something, each once, the worst first."""
        return list(dict.fromkeys(finding.check for finding in self.findings))

    def to_frame(self) -> Any:
        """Return a DataFrame with a row for each finding, and the attributes of `Finding` as columns.

        Returns
        -------
        DataFrame

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> x = np.random.default_rng(0).standard_normal((200, 4))
        >>> silent = fastbp.Dense(8, "relu", bias_initializer=fastbp.Constant(-99))
        >>> model = fastbp.Sequential([silent, fastbp.Dense(1)], seed=0)
        >>> model.compile("adam", "mse")
        >>> found = fastbp.diagnose(model, x, x[:, 0]).to_frame()
        >>> found.loc[0, ["severity", "layer"]].tolist()
        ['serious', 'dense']
        """
        import pandas as pd

        names = ["check", "severity", "layer", "figure", "text", "normal", "remedy"]
        return pd.DataFrame([[getattr(one, name) for name in names] for one in self.findings], columns=names)

    def __str__(self):
        return "\n".join([self._heading(), *(f"\n{finding}" for finding in self.findings)])

    def _heading(self):
        looked = f" ({self.looked_at})" if self.looked_at else ""
        if not self.findings:
            return f"Nothing found{looked}."
        counts = Counter(finding.severity for finding in self.findings)
        told = ", ".join(f"{counts[severity]} {severity}" for severity in SEVERITIES if counts[severity])
        return f"{len(self)} finding{'s' * (len(self) != 1)}: {told}{looked}."

    def __repr__(self):
        return str(self)

    def _repr_html_(self):
        head = f"<p>{html.escape(self._heading())}</p>"
        if not self.findings:
            return head
        titles = "".join(f"<th>{title}</th>" for title in ("", "layer", "found", "normal", "remedy"))
        body = "".join(map(_row, self.findings))
        return f"{head}<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def _row(finding):
    name = f'<b style="color: {COLORS[finding.severity]}">{finding.severity}</b><br>{html.escape(finding.check)}'
    cells = (finding.layer or "", finding.text, finding.normal, finding.remedy)
    told = "".join(f'<td style="text-align: left">{html.escape(cell)}</td>' for cell in cells)
    return f'<tr><td style="text-align: left">{name}</td>{told}</tr>'
