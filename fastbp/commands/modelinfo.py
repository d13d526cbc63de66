"""What a model's file tells: its columns and their types, its classes, its scores, the versions."""

from pathlib import Path

from fastbp.commands.options import print_json
from fastbp.commands.report import format_table, side_by_side, target_scores

MOST_CLASSES = 30


def print_model(path, model, as_json):
    """Print what is known of a tabular estimator that was read from a file."""
    facts = _facts(path, model)
    if as_json:
        print_json(facts)
        return
    columns, scores = facts.pop("columns"), facts.pop("scores")
    width = max(map(len, facts))
    for name, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        print(f"{name:<{width}}  {shown}")
    print()
    rows = [["column", "type", "role"], *([row["name"], row["type"], row["role"]] for row in columns)]
    print(format_table(rows))
    if scores:
        print()
        if "target" in facts and isinstance(facts["target"], list):
            print(target_scores(scores))
            return
        print(side_by_side({"out of fold": {name: float("nan") if v is None else v for name, v in scores.items()}}))


def _facts(path, model):
    """Return a dict of facts, ready for JSON."""
    from fastbp import __version__
    from fastbp.tabular.card import columns_of

    reading = model.reading_
    facts = {
        "model": str(path),
        "size": f"{Path(path).stat().st_size / 1e6:.2f} MB",
        "trained with": f"fastbp {reading['fastbp']}" if "fastbp" in reading else "fastbp, from Python",
        "this is": f"fastbp {__version__}",
        "target": model.target_name_,
        "preset": model.preset,
        "networks": len(model.ensemble_.networks),
        "best score": model.best_score_,
    }
    if hasattr(model, "tasks_"):
        facts["target"] = model.target_names_
        facts["task"] = [f"{name}: {task}" for name, task in model.tasks_.items()]
    elif hasattr(model, "classes_"):
        classes = [str(label) for label in model.classes_]
        more = [f"... ({len(classes)} in all)"] if len(classes) > MOST_CLASSES else []
        facts["task"], facts["classes"] = "classification", classes[:MOST_CLASSES] + more
    else:
        facts["task"] = "regression"
        if model.quantiles is not None:
            facts["quantiles"] = list(model.quantiles)
    return facts | {"columns": columns_of(model), "scores": reading.get("scores")}
