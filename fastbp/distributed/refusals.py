"""Settings that `Sequential` has and a pipeline has not, each with the reason that its refusal tells."""

# What `Sequential` has, and why a pipeline has it not.
NOT_HERE = {
    "metrics": "figures beside the loss are computed of predict's outputs",
    "weighted_metrics": "figures beside the loss are computed of predict's outputs",
    "validation_split": "give validation_data, rows that you set apart",
    "sample_weight": "rows count the same",
    "class_weight": "rows count the same",
    "initial_epoch": "a training is begun by one call of fit, and goes on by the next",
    "steps_per_epoch": "an epoch goes over all rows",
}


def refuse_settings(method, settings):
    """Raise TypeError for settings that `Sequential` has and a pipeline has not, by name."""
    for name, value in settings.items():
        if name not in NOT_HERE:
            raise TypeError(f"PipelineModel.{method} got an unexpected keyword argument {name!r}")
        if value is not None:
            raise TypeError(
                f"PipelineModel.{method} has no {name}=, which fastbp.distributed.fit has: {NOT_HERE[name]}."
            )
