"""Why a tabular model predicts what it predicts: importances, contributions and partial dependence.

What one learns: the importance of a column is what the model loses without it, on rows that it was not trained on; the
contributions of the columns to one prediction add up to it; partial dependence is the mean effect of a column's value.
"""

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

import fastbp


def main():
    x, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    x["noise"] = np.random.default_rng(0).normal(size=len(x))
    x_train, x_test, y_train, _ = train_test_split(x, y, random_state=0)
    model = fastbp.TabularRegressor("fast", random_state=0).fit(x_train, y_train)

    importances = model.importances().sort_values("importance", ascending=False)
    print(importances.head(4).round(3))
    noise = importances.loc["noise"]
    print(f"noise: {noise['importance']:.3f}, standard error {noise['standard_error']:.3f}")

    contributions = model.explain(x_test)
    first = contributions.iloc[0]
    print(f"a typical person: {first['(base value)']:.0f}; this one: {model.predict(x_test.head(1))[0]:.0f}, because")
    for name, value in first.drop("(base value)").sort_values(key=abs, ascending=False).head(3).items():
        print(f"  {name} = {x_test[name].iloc[0]:.4g}: {value:+.1f}")

    curve = model.partial_dependence(x_train, "bmi")["target"]
    for bmi in (curve.index[0], curve.index[-1]):
        print(f"mean prediction with a BMI of {bmi:.0f}: {curve[bmi]:.0f}")

    np.testing.assert_allclose(contributions.sum(axis=1), model.predict(x_test), rtol=1e-3)
    assert abs(noise["importance"]) < 4 * noise["standard_error"] + 0.01
    assert importances.index[0] in ("bmi", "s5")
    assert curve.iloc[-1] > curve.iloc[0]


if __name__ == "__main__":
    main()
