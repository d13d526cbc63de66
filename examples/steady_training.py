"""What to reach for when a run is ill: clipped gradients, averaged weights, accumulated batches, balanced classes.

What one learns: `clipnorm`, `use_ema` and `gradient_accumulation_steps` are settings of every optimizer, as in Keras;
`class_weight="balanced"` lets rare classes count, and `weighted_metrics` shows the figures with these weights.
"""

import numpy as np

import fastbp
from fastbp.metrics.scoring import Recall


def rare_class(n=600):
    """Rows of two classes, one of which has a twelfth of them; some rows are wild."""
    rng = np.random.default_rng(0)
    x = rng.standard_t(2, size=(n, 5))
    y = (x[:, 0] + 0.5 * x[:, 1] + rng.normal(size=n) > 2.6).astype(int)
    return x, y


def main():
    x, y = rare_class()
    print(f"{y.mean():.1%} of the rows are of class 1")
    recall = Recall(thresholds=0.5)
    settings = {
        "plain": ({}, None),
        "steady": ({"clipnorm": 1.0, "use_ema": True, "gradient_accumulation_steps": 2}, "balanced"),
    }
    found = {}
    for name, (steady, weight) in settings.items():
        model = fastbp.Sequential([fastbp.Dense(16, "relu"), fastbp.Dense(1, "sigmoid")], seed=0)
        model.compile(fastbp.Adam(0.01, **steady), "binary_crossentropy", [recall], weighted_metrics=["accuracy"])
        history = model.fit(x, y, epochs=15, batch_size=16, class_weight=weight, verbose=0).history
        found[name] = model.evaluate(x, y, return_dict=True)["recall"]
        print(f"{name}: weighted accuracy of training {history['accuracy'][-1]:.3f}, recall {found[name]:.3f}")
    assert found["steady"] > found["plain"]


if __name__ == "__main__":
    main()
