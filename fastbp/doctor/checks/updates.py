"""The next update next to the weights: is the learning rate too large, or too small?"""

from fastbp.doctor.check_registry import check, found

LARGE, SMALL = 0.5, 1e-6


@check("rows")
def large_updates(patient):
    """The next update of a kernel, relative to the kernel.

    Karpathy (CS231n) wants about 1e-3. Above 0.5 weights are replaced rather than trained: healthy networks of the
    tests have 1e-4 to 0.15 (Adam at 0.01 to 0.05 in small networks is at the upper end).
    """
    ratios = patient.update_ratios
    large = {name: ratio for name, ratio in ratios.items() if ratio > LARGE}
    if large:
        name = max(large, key=large.__getitem__)
        yield found(
            "large_updates",
            "serious",
            name,
            large[name],
            text=f"The next update changes its weights by {large[name]:.3g} of their size (learning rate "
            f"{patient.learning_rate:.3g}).",
            normal="about 0.001, up to 0.2 in small networks.",
            remedy=f"Lower the learning rate to some {patient.learning_rate * 0.01 / large[name]:.1g}; "
            "fastbp.doctor.learning_rate_range tells what the model can take. Scale targets that are large.",
        )


@check("rows")
def small_updates(patient):
    """All kernels' updates below 1e-6 of the kernels, while there is something to learn.

    A loss above half of the baseline's, or 95 % where a schedule may have come to its end. Of 1e-6, a thousand steps
    make 0.1 %; below 6e-8 a float32 weight does not change at all.
    """
    ratios, share = patient.update_ratios, patient.share
    at_the_end = patient.is_trained and callable(patient.engine.optimizer.learning_rate)  # of a schedule
    enough = 0.95 if at_the_end else 0.5
    unknown = share is None and at_the_end
    if not ratios or unknown or (share is not None and share < enough) or not max(ratios.values()) < SMALL:
        return
    name = max(ratios, key=ratios.__getitem__)
    yield found(
        "small_updates",
        "serious" if ratios[name] < 6e-8 else "warning",
        name,
        ratios[name],
        text=f"The next update changes its weights by {ratios[name]:.1g} of their size, those of other layers by less "
        f"(learning rate {patient.learning_rate:.3g}).",
        normal="about 0.001.",
        remedy="Raise the learning rate: fastbp.doctor.learning_rate_range tells what the model can take. Where a "
        "schedule has come to its end, make its steps more.",
    )
