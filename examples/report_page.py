"""A model on one HTML page: how good it is, what it goes by, and where it fails.

What one learns: one look at calibration, at the worst rows and at the columns that count tells more than a score.
"""

from pathlib import Path

from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

import fastbp


def main():
    x, y = load_wine(return_X_y=True, as_frame=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.4, random_state=0)

    model = fastbp.TabularClassifier("fast", random_state=0).fit(x_train, y_train)
    page = fastbp.report(model, x_test, y_test, "report.html")

    print(page)
    size = Path("report.html").stat().st_size
    print(f"report.html: {size / 1e3:.0f} kB, no scripts, nothing from a network")
    print("figures:", page.html.count("<figure"))
    assert page.html.count("<svg") >= 10
    assert size < 300_000


if __name__ == "__main__":
    main()
