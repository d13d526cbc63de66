"""Gradients that get lost or grow on their way back through the layers."""

import numpy as np

from fastbp.doctor.check_registry import check, found

# By how much smaller (larger) a layer's gradient may be than one behind it, each relative to the layer's weights.
VANISHED, EXPLODED = 1e-4, 1e4
# A gradient so many times the weights themselves.
LARGE = 1e3


@check("rows")
def vanishing_gradients(patient):
    """A kernel's gradient, relative to the kernel, next to that of a layer behind it.

    Hochreiter (1991), Glorot & Bengio (2010). Below 1e-4 of the largest behind it: healthy networks of the tests (to 4
    layers, CNN, GRU) have 0.02 to 1 at the start and after training, ten sigmoid layers 1e-7.
    """
    ratios = {name: ratio for name, ratio in patient.relative_gradients.items() if np.isfinite(ratio)}
    names = list(ratios)
    lost = [
        (name, ratios[name] / max(ratios[other] for other in names[place + 1 :]))
        for place, name in enumerate(names[:-1])
        if 0 < ratios[name] < VANISHED * max(ratios[other] for other in names[place + 1 :])
    ]
    if lost:
        name, share = lost[0]
        behind = max(names[names.index(name) + 1 :], key=ratios.__getitem__)
        more = f" (so too {', '.join(other for other, _ in lost[1:])})" if len(lost) > 1 else ""
        yield found(
            "vanishing_gradients",
            "serious",
            name,
            share,
            text=f"Its gradient, relative to its weights, is {share:.1g} of that of {behind!r} behind it{more}: it "
            "hardly learns.",
            normal="above 0.01.",
            remedy='Take "relu" in place of "sigmoid" or "tanh", start from "he_normal" or "glorot_uniform", put '
            "BatchNormalization or LayerNormalization between, wrap layers in Residual, or take fewer; of long "
            "sequences take GRU or LSTM.",
        )


@check("rows")
def exploding_gradients(patient):
    """A gradient that is not finite, is 1e3 times the weights, or 1e4 times (relatively) that of the last layer.

    Pascanu et al. (2013). Healthy networks of the tests have gradients of 0.001 to 10 times their weights; targets of
    100,000 with the squared error have 1e5.
    """
    bad = [
        name for name in patient.kernels if not np.isfinite(patient.size_of(patient.gradients, patient.kernels[name]))
    ]
    advice = (
        "Scale inputs and targets to about -1 to 1, set global_clipnorm=1.0 of the optimizer, lower the learning "
        "rate, start from smaller weights, or put a normalization between."
    )
    if bad:
        yield found(
            "exploding_gradients",
            "serious",
            bad[0],
            np.inf,
            text="Its gradient is not finite.",
            normal="up to 10 times its weights.",
            remedy=advice,
        )
        return
    ratios = patient.relative_gradients
    names = list(ratios)
    for place, name in enumerate(names):
        growth = ratios[name] / ratios[names[-1]] if place < len(names) - 1 and ratios[names[-1]] > 0 else 0
        if growth > EXPLODED or ratios[name] > LARGE:
            told = f"{ratios[name]:.2g} times its weights"
            told += f", relatively {growth:.1g} times as large as that of {names[-1]!r}" if growth > EXPLODED else ""
            yield found(
                "exploding_gradients",
                "serious",
                name,
                ratios[name],
                text=f"Its gradient is {told}.",
                normal="up to 10 times its weights.",
                remedy=advice,
            )
            return


@check("rows")
def layers_without_gradient(patient):
    """A layer that is to be trained, and whose gradient is zero to the bit in all batches."""
    if patient.has_learned:
        return
    for name in patient.layers:
        placed = patient.params_of(name)
        if not placed or not patient.spec(name).trainable:
            continue
        if all((patient.gradients[:, p.start : p.stop] == 0).all() for p in placed):
            yield found(
                "layers_without_gradient",
                "serious",
                name,
                0,
                text=f"Its gradient is exactly 0 in {len(patient.gradients)} batches: it does not learn.",
                normal="some entries of every batch's gradient are not 0.",
                remedy="Look at the layers after it: dead units, an activation at its end, Columns that do not read "
                "it, or weights of 0.",
            )


@check("rows")
def frozen_layers(patient):
    """Layers with ``trainable=False`` whose kernels are still those that the seed drew; or that nothing is trained."""
    engine = patient.engine
    trained = [name for name in patient.layers if patient.params_of(name) and patient.spec(name).trainable]
    if engine.params.size and not trained:
        yield found(
            "frozen_layers",
            "serious",
            next(name for name in patient.layers if patient.params_of(name)),
            1,
            text="No layer is trained: all have trainable=False.",
            normal="one layer at least is trained.",
            remedy="Set model.trainable = True, or that of some layers, and compile again.",
        )
        return
    drawn = patient.network.initial_params(engine.seed, engine.dtype)
    for name in patient.layers:
        wide = [p for p in patient.params_of(name) if len(p.param.shape) > 1 and "bias" not in p.param.name]
        as_drawn = [np.array_equal(drawn[p.start : p.stop], engine.params[p.start : p.stop]) for p in wide]
        if wide and not patient.spec(name).trainable and all(as_drawn):
            yield found(
                "frozen_layers",
                "warning",
                name,
                1,
                text="It is not trained (trainable=False), and its weights are still the random ones of the start.",
                normal="a layer that is frozen holds weights that were learned elsewhere.",
                remedy="Set its trainable = True and compile again, or load its weights.",
            )


@check("rows")
def waiting_changes(patient):
    """Settings that were changed after `compile`, which the model has not taken."""
    from fastbp.engine.layer_ownership import changes
    from fastbp.engine.network import said

    model = patient.model
    if waiting := changes(model.layers, model.engine.layers):
        yield found(
            "waiting_changes",
            "warning",
            None,
            len(waiting),
            text=f"{said(patient.network, waiting)}. This waits for compile.",
            normal="layers are as the model took them.",
            remedy="Call compile, which keeps the weights.",
        )


@check("rows")
def equal_units(patient):
    """Units of one hidden layer with the same weights: they get the same gradients, and stay one unit."""
    for name, placed in patient.kernels.items():
        spec = patient.spec(name)
        width = getattr(spec, "units", getattr(spec, "filters", None))
        kernel = placed[0]
        shape = kernel.param.shape
        if (
            name == patient.last_layer
            or width is None
            or width < 2
            or shape[-1] != width
            or "Member" in type(spec).__name__
        ):
            continue
        values = patient.engine.params[kernel.start : kernel.stop].reshape(-1, width)
        kinds = len(np.unique(values, axis=1).T)
        if kinds <= width / 2:
            yield found(
                "equal_units",
                "serious",
                name,
                kinds,
                text=f"Its {width} units have {kinds} different set{'s' * (kinds != 1)} of weights: equal units get "
                "equal gradients, and stay equal.",
                normal="no two units are equal.",
                remedy='Take a random kernel_initializer, such as "glorot_uniform" or "he_normal", in place of a '
                "constant one.",
            )
