"""Pictures of a network, of its training, and what notebooks show.

What one learns: `model.plot()` draws the layers as SVG without any other package, `history.plot()` the curves by
matplotlib; objects at the end of a notebook's cell show themselves, by `_repr_html_`.
"""

import matplotlib

matplotlib.use("Agg")
from pathlib import Path

from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

import fastbp


def main():
    x, y = (scale(part) for part in load_diabetes(return_X_y=True))
    layers = [fastbp.Residual([fastbp.Dense(16, "relu"), fastbp.Dense(10)]), fastbp.Dense(1)]
    model = fastbp.Sequential(layers, input_shape=(10,), seed=0)
    model.compile("adam", "mean_squared_error")
    history = model.fit(x, y, epochs=8, validation_split=0.2, verbose=2)
    history.plot()[0].figure.savefig("curves.png")
    Path("model.svg").write_text(str(model.plot()))
    table = fastbp.TabularRegressor("fast", random_state=0).fit(x, y)
    shown = {"model": model, "history": history, "estimator": table, "encoder": table.encoder_}
    Path("page.html").write_text("<hr>".join(one._repr_html_() for one in shown.values()))
    for name, one in shown.items():
        print(f"{name}: {len(one._repr_html_()):,} characters of HTML")


if __name__ == "__main__":
    main()
