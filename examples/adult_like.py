"""Classification of a table as it comes: categories, dates, missing values, unequal classes.

What one learns: nothing has to be encoded, filled or scaled; `class_weight` trades wrong alarms for missed cases;
probabilities are calibrated, so that of the rows given 80 % about 80 % are in the class.
"""

import warnings

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, log_loss
from sklearn.model_selection import train_test_split

import fastbp
from fastbp.tabular.calibration import reliability

JOBS = {"clerk": -0.4, "engineer": 0.9, "farmer": -0.8, "manager": 1.2, "nurse": 0.1, "teacher": 0.3}
SCHOOLS = {"primary": -1.0, "secondary": 0.0, "college": 0.8, "doctorate": 1.5}


def people(n, seed=0):
    """Return a table of people, and who earns more than most."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(17, 80, n).astype(float),
            "hours": rng.normal(40, 10, n).clip(5, 90).round(),
            "capital_gain": np.where(rng.random(n) < 0.9, 0.0, rng.lognormal(8, 1, n).round()),
            "job": rng.choice(list(JOBS), n),
            "school": rng.choice(list(SCHOOLS), n, p=[0.1, 0.5, 0.3, 0.1]),
            "town": [f"town {i}" for i in rng.zipf(1.6, n) % 60],
            "married": rng.random(n) < 0.5,
            "since": pd.Timestamp("1990-01-01") + pd.to_timedelta(rng.integers(0, 12_000, n), unit="D"),
        }
    )
    score = frame["job"].map(JOBS) + frame["school"].map(SCHOOLS) + frame["married"]
    score += rng.logistic(size=n) * 0.7 - np.square(frame["age"] - 50) / 400
    score += (frame["hours"] - 40) / 20 + (frame["capital_gain"] > 3000) * 2
    for name in ("age", "job", "since"):
        frame.loc[rng.random(n) < 0.08, name] = None
    return frame, pd.Series(np.where(score > 1.5, ">50K", "<=50K"), name="income")


def main():
    frame, income = people(4000)
    x_train, x_test, y_train, y_test = train_test_split(frame, income, stratify=income, random_state=0)
    print(x_train.head(3).to_string(index=False))
    print(f"{x_train.isna().sum().sum()} missing values; classes: {y_train.value_counts().to_dict()}")

    # Of the towns, the rare ones are one category: a warning says so, and the encoder's notices do.
    warnings.simplefilter("ignore", fastbp.TableWarning)
    model = fastbp.TabularClassifier("fast", random_state=0).fit(x_train, y_train)
    print("\n".join(model.encoder_.notices))
    p = model.predict_proba(x_test)
    chance = log_loss(y_test, np.tile(y_train.value_counts(normalize=True).sort_index(), (len(y_test), 1)))
    print(f"accuracy {model.score(x_test, y_test):.3f}, log loss {log_loss(y_test, p):.3f} (chance: {chance:.3f})")
    print(f"out of fold, before any test row was seen: log loss {model.best_score_:.3f}")
    codes = np.searchsorted(model.classes_, y_test)
    found = reliability(p, codes, n_bins=5)
    for low, rows, sure, right in zip(found.edges, found.rows, found.confidence, found.accuracy, strict=False):
        if rows:
            print(f"  predictions above {low:.1f}: {rows:4} rows, mean probability {sure:.3f}, right {right:.3f}")

    balanced = fastbp.TabularClassifier("fast", class_weight="balanced", random_state=0).fit(x_train, y_train)
    for name, one in (("plain", model), ("balanced", balanced)):
        (_, wrong_alarms), (missed, _) = confusion_matrix(y_test, one.predict(x_test))
        print(f"{name:9} missed {missed:3} of the rich, called {wrong_alarms:3} others rich")
    assert log_loss(y_test, p) < 0.75 * chance
    assert found.error < 0.06


if __name__ == "__main__":
    main()
