"""What is inside a tabular model: networks that each left out other rows.

What one learns: the mean of the networks is better than the networks; where they disagree, the prediction is less
certain; out-of-fold predictions tell how good a model is, and feed a second one, without rows kept aside.
"""

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import cross_val_predict, train_test_split

import fastbp


def main():
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0)
    model = fastbp.TabularRegressor(random_state=0).fit(x_train, y_train)

    encoded = model.encoder_.transform(x_test)
    members = np.hstack([network.predict(encoded) for network in model.ensemble_.networks])
    # Networks learn a quantity with mean 0 and deviation 1.
    members = y_train.mean() + y_train.std(ddof=0) * members
    errors = [root_mean_squared_error(y_test, member) for member in members.T]
    together = root_mean_squared_error(y_test, model.predict(x_test))
    print(f"{len(errors)} networks, test RMSE {min(errors):.1f} to {max(errors):.1f}, on average {np.mean(errors):.1f}")
    print(f"the RMSE of their mean: {together:.1f}")
    print("best epochs:", [network["best_epoch"] for network in model.history_])

    spread = members.std(axis=1)
    calm = spread < np.median(spread)
    for name, rows in (("agree", calm), ("disagree", ~calm)):
        rmse = root_mean_squared_error(y_test[rows], model.predict(x_test[rows]))
        print(f"where they {name}: spread {spread[rows].mean():.1f}, RMSE {rmse:.1f}")

    print(f"out-of-fold RMSE, known without the test rows: {model.best_score_:.1f}")
    # Stacking: a linear model of the out-of-fold predictions of two models.
    ridge = Ridge(0.1)
    first = np.column_stack([model.oof_predictions_, cross_val_predict(ridge, x_train, y_train)])
    stack = LinearRegression(positive=True).fit(first, y_train)
    second = np.column_stack([model.predict(x_test), ridge.fit(x_train, y_train).predict(x_test)])
    print(f"stacked with a ridge, weights {stack.coef_.round(2)}: ", end="")
    print(f"RMSE {root_mean_squared_error(y_test, stack.predict(second)):.1f}")
    assert together < np.mean(errors)
    assert abs(model.best_score_ - together) < 8


if __name__ == "__main__":
    main()
