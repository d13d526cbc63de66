"""Several targets on the command line: what ``train``, ``evaluate`` and ``predict`` do where there is more than one."""

from __future__ import annotations

from fastbp.commands.loading import as_dates, class_targets, codes_of, read_for, target_forms
from fastbp.commands.options import asked_types, how_to_read, print_json, tell
from fastbp.tabular.errors import TableError

# Options of one target only.
ALONE = ("metric", "class_weight", "quantiles")


def train(table, arguments, say):
    """Return a dict: the fitted model, what was found in the table, and the scores of each target."""
    from fastbp.commands import training as one
    from fastbp.commands.column_roles import roles_of
    from fastbp.tabular.columns import target_names
    from fastbp.tabular.model import ESTIMATORS
    from fastbp.tabular.recognition import packed_form

    for option in ALONE:
        if getattr(arguments, option) is not None:
            raise TableError(f"--{option.replace('_', '-')} is for one target: train a model for each.")
    names = target_names(arguments.target, table.frame.columns)
    features, y, tasks, n_empty = _split(table, names, arguments)
    given = roles_of(features, arguments, names)
    settings = {"time_limit": arguments.time_limit, "random_state": arguments.seed, "verbose": 1}
    model = ESTIMATORS["TabularMultiTask"](arguments.preset, tasks={name: task for name, (task, _) in tasks.items()},
                                           **settings)  # fmt: skip
    forms = {name: (table.target_form or {}).get(name) for name in names}
    rows = one.columns_of(table, given, forms)
    if n_empty:
        say(f"{n_empty} row{'s have' if n_empty > 1 else ' has'} no value in any target: left out.")
    one.show_columns(rows, say)
    for name, (task, reason) in tasks.items():
        say(f"task: {task} of {name!r} ({reason})")
    one.fit(model, given, y, arguments)
    told = one.told_of(model, table)
    for line in told:
        say(line)
    epochs = [network["best_epoch"] for network in model.history_]
    say(f"columns: {len(model.encoder_.columns)} used")
    say(f"networks: {len(epochs)}; their best epochs: {min(epochs)} to {max(epochs)}")
    scores = _out_of_fold(model, y, say)
    kept = {name: packed_form(form) for name, form in forms.items() if form and tasks[name][0] == "regression"}
    model.reading_ = one.remembered(table, rows, scores, arguments) | {"target_forms": kept}
    facts = {"task": {name: task for name, (task, _) in tasks.items()}, "target": names, "rows": len(y)}
    return {"model": model, **facts, "dropped_rows": n_empty, "columns": rows, "notes": [*table.notes, *told],
            "scores": scores}  # fmt: skip


def _split(table, names, arguments):
    """Return features and targets as pandas frames, {name: (task, reason)}, and the number of rows without a target."""
    import pandas as pd

    from fastbp.commands.training import asked_task, target_values
    from fastbp.tabular.columns import as_frame, is_missing, take_column
    from fastbp.tabular.task import detect_task

    frame, y, tasks = as_frame(table.frame), {}, {}
    if isinstance(arguments.task, dict) and (other := set(arguments.task) - set(names)):
        raise TableError(f"--task: {min(other)!r} is none of the targets {', '.join(names)}.")
    for name in names:
        column = take_column(frame, name)
        missing = is_missing(column)
        if missing.all():
            raise TableError(f"the target column {name!r} is empty.")
        known, form = column.filter((~missing).tolist()), (table.target_form or {}).get(name)
        tasks[name] = asked_task(arguments.task, name) or detect_task(known, form)
        values = target_values(known, tasks[name][0], table, form)
        y[name] = pd.Series(values, table.frame.index[~missing]).astype(object if missing.any() else values.dtype)
        y[name] = y[name].reindex(table.frame.index)
    features, y = table.frame.drop(columns=names), pd.DataFrame(y)
    if not len(features.columns):
        raise TableError(f"there is no column beside the targets {', '.join(names)} to learn from.")
    known = y.notna().any(axis=1)
    return features[known], y[known], tasks, int((~known).sum())


def _out_of_fold(model, y, say):
    """Print and return {target: scores} of the out-of-fold predictions."""
    import numpy as np

    from fastbp.commands import report

    predicted, proba = model.oof_predictions_, dict(zip(class_targets(model), model.oof_proba_, strict=True))
    scores = {}
    for place, (name, task) in enumerate(model.tasks_.items()):
        rows = y[name].notna().to_numpy() & np.array([value == value for value in predicted[:, place]])
        if task == "classification":
            codes = np.searchsorted(class_targets(model)[name], y[name][rows].to_numpy())
            scores[name] = report.class_scores(codes, proba[name][rows])
        else:
            truth = y[name][rows].to_numpy(np.float64)
            scores[name] = report.quantity_scores(truth, predicted[rows, place].astype(np.float64))
    say()
    say("out of fold")
    say(report.target_scores(scores))
    return scores


def predictions(model, frame, with_probabilities):
    """Return a DataFrame: the prediction of each target, then one column for each probability of each class."""
    import pandas as pd

    outputs, forms = model._outputs(frame), target_forms(model)
    table = {}
    for name, values in zip(model.target_names_, model._target.decode(outputs), strict=True):
        is_date = name in forms and forms[name].kind == "date"
        table[f"prediction_{name}"] = as_dates(pd.Series(values)) if is_date else values
    if with_probabilities:
        for (name, classes), p in zip(class_targets(model).items(), model._probabilities(outputs), strict=True):
            table |= {f"proba_{name}_{label}": p[:, code] for code, label in enumerate(classes)}
    return pd.DataFrame(table)


def read_answered(model, arguments):
    """Return the table that a command judges a model by, and its features; tell of it."""
    from fastbp.commands.arguments import tell_unseen

    names = model.target_names_
    text = names[0] if len(names) == 1 else ",".join(names)
    table = read_for(model, arguments.data, how_to_read(arguments), types=asked_types(arguments), target=text)
    tell(table.notes)
    features = table.frame.drop(columns=[name for name in names if name in table.frame.columns])
    unseen, odd = [], []
    model.encoder_.transform(features, unseen, odd)
    tell(odd)
    tell_unseen(unseen, arguments.allow_unseen)
    return table.frame, features


def answers(model, frame):
    """Yield (name, which rows have it, their values) of each target: codes of classes, or quantities."""
    from fastbp.tabular.columns import as_frame, is_missing, take_column
    from fastbp.tabular.task import number_values

    frame, classes = as_frame(frame), class_targets(model)
    for name in model.target_names_:
        column = take_column(frame, name)
        known = ~is_missing(column)
        if not known.any():
            raise TableError(f"the target column {name!r} is empty.")
        column = column.filter(known.tolist())
        form = target_forms(model).get(name)
        yield name, known, codes_of(classes[name], column) if name in classes else number_values(column, form)


def evaluate(model, arguments):
    """Read the table, predict, and print the report of each target."""
    names = model.target_names_
    frame, features = read_answered(model, arguments)
    scores, reports = _reports(model, frame, features)
    if arguments.json:
        print_json({"data": arguments.data, "model": arguments.model, "target": names, "scores": scores})
        return
    print(f"{arguments.data}: {len(features)} rows, {len(names)} targets")
    for name, report in reports.items():
        print(f"\n{model.tasks_[name]} of {name!r}\n\n{report}")


def _reports(model, frame, features):
    """Return {target: scores} and {target: report}, over the rows that have the target."""
    from fastbp.commands import report

    outputs, classes = model._outputs(features), class_targets(model)
    proba = dict(zip(classes, model._probabilities(outputs), strict=True))
    decoded = dict(zip(model.target_names_, model._target.decode(outputs), strict=True))
    scores, reports = {}, {}
    for name, known, truth in answers(model, frame):
        if name in classes:
            scores[name] = report.class_scores(truth, proba[name][known])
            reports[name] = report.class_report(truth, proba[name][known], [str(label) for label in classes[name]])
        else:
            scores[name] = report.quantity_scores(truth, decoded[name][known])
            reports[name] = report.side_by_side({"": scores[name]})
    return scores, reports


def answered(model, arguments):
    """Return the features and the targets of the table that a report judges a model by, as pandas frames."""
    import numpy as np
    import pandas as pd

    frame, features = read_answered(model, arguments)
    classes, columns = class_targets(model), {}
    for name, known, truth in answers(model, frame):
        values = classes[name][truth] if name in classes else truth
        columns[name] = np.full(len(frame), None, object) if name in classes else np.full(len(frame), np.nan)
        columns[name][known] = values
    return features.to_native() if hasattr(features, "to_native") else features, pd.DataFrame(columns)
