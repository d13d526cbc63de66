"""A model card: what to hand over beside a model's file.

What one learns: `model.card()` tells in Markdown what a model predicts from which columns, what these held, how well
it does on rows that it had not seen, which versions made it, and where not to trust it.
"""

import pandas as pd
from sklearn.datasets import load_wine

import fastbp


def main():
    wine = load_wine(as_frame=True)
    y = pd.Series(wine.target_names[wine.target], name="cultivar")
    model = fastbp.TabularClassifier("fast", random_state=0).fit(wine.data[["alcohol", "hue", "proline"]], y)
    card = model.card(license="CC BY 4.0", date="2026-11-27")
    print(card)
    with open("MODEL_CARD.md", "w") as file:
        file.write(card)
    model.save("wine.fastbp")
    assert "licence**: CC BY 4.0" in card
    assert fastbp.load_model("wine.fastbp").card(license="CC BY 4.0", date="2026-11-27").count("proline") == 1


if __name__ == "__main__":
    main()
