"""Model cards: what a model is, learnt from and can, as Markdown (Mitchell et al., 2019).

A card is made of what the model knows.  What nobody told it, such as a licence, stands there as not given.
"""

import platform
from importlib import metadata

NOT_GIVEN = "*not given*"
# Whose versions a card tells.
PACKAGES = ("numpy", "numba")


def card_text(title, sections):
    """Return a card: a title, and sections {heading: lines}.

    Examples
    --------
    >>> print(card_text("Model card", {"Limits": ["- It guesses."]}))
    # Model card
    <BLANKLINE>
    ## Limits
    <BLANKLINE>
    - It guesses.
    <BLANKLINE>
    """
    parts = [f"# {title}\n"]
    for heading, lines in sections.items():
        parts += [f"\n## {heading}\n\n", "\n".join(lines), "\n"]
    return "".join(parts)


def table(rows):
    """Return the lines of a Markdown table; the first row is the head."""
    cells = [[cell(value) for value in row] for row in rows]
    head, *rest = [f"| {' | '.join(row)} |" for row in cells]
    return [head, f"|{'---|' * len(rows[0])}", *rest]


def cell(value):
    """Return a value as the text of a table's cell."""
    if isinstance(value, float):
        value = f"{value:.4g}"
    return " ".join(str(value).split()).replace("|", "\\|")


def facts(pairs):
    """Return a list of "- **name**: value" lines; what is None is not given."""
    return [f"- **{name}**: {NOT_GIVEN if value is None else cell(value)}" for name, value in pairs.items()]


def versions():
    """Return the versions that a model runs with."""
    import fastbp

    found = {"fastbp": fastbp.__version__, "Python": platform.python_version()}
    found |= {package: metadata.version(package) for package in PACKAGES}
    return ", ".join(f"{name} {version}" for name, version in found.items())


def general(license, date):
    """Return the facts of every card that a model does not know: licence and date."""
    return {"licence": license, "date": None if date is None else str(date), "this card was written with": versions()}


def network_card(model, *, license=None, date=None, title="Model card: a fastbp.Sequential", more=None):
    """Return the card of a `Sequential`; `more` are further facts of the model."""
    network = model.engine.network
    of_model = {
        **(more or {}),
        "inputs": f"rows of shape {network.input_shape}",
        "outputs": f"rows of shape {network.output_shape}",
        "parameters": f"{model.count_params():,}, {model.dtype.name}",
        "seed": model.seed,
    }
    layers = [["layer", "kind", "output", "parameters"]]
    layers += [
        [placed.name, type(placed.spec).__name__, placed.output_shape, f"{placed.n_params:,}"]
        for placed in network.layers
        if hasattr(placed.spec, "registered")
    ]
    training = {"updates": model.step}
    if model._compiled is not None:
        optimizer, loss, metrics = model._compiled
        training |= {"optimizer": optimizer, "loss": loss, "metrics": ", ".join(name for name, _ in metrics) or "none"}
    limits = [
        "- The model knows nothing of the data that it was trained on: add where they come from, and whom they leave "
        "out.",
        "- It extrapolates without a warning: for inputs far from those of training its outputs mean nothing.",
    ]
    sections = {
        "Model": facts(of_model | general(license, date)),
        "Layers": table(layers),
        "Training": facts(training),
        "Limits": limits,
    }
    return card_text(title, sections)
