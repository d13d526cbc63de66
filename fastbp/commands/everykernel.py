"""Every kernel of the package with the signatures that networks ask for: what a kernel library holds.

No list is kept.  Kernels are noted as they are asked for: by small networks of every registered layer, with each of its
settings changed in turn, of every activation, loss and optimizer, in both float types, and by the solvers.  They are
planned, trained, evaluated and applied, but nothing is compiled and no kernel runs.  A kernel of the package that
nothing here asks for is an error.
"""

import ctypes
import dataclasses
import gc
import itertools
import pkgutil
from contextlib import contextmanager, suppress
from importlib import import_module
from types import SimpleNamespace

import numpy as np

import fastbp
from fastbp.activations import ACTIVATIONS
from fastbp.compiler import jit
from fastbp.compiler.libraryfile import key_of
from fastbp.compiler.signatures import Code
from fastbp.engine import helper_threads, limits, runner, threads
from fastbp.engine.engine import Engine
from fastbp.engine.output_activation import apply_activation
from fastbp.kernels import arraymath
from fastbp.layers import LAYERS
from fastbp.layers.base import kernel_address
from fastbp.losses.base import Loss
from fastbp.optimizers import OPTIMIZERS
from fastbp.solvers.leastsquares import LeastSquares

DTYPES = ("float32", "float64")
KINDS = ("forward", "backward", "gradient", "prepare", "tabulate", "sum_forward", "finish_backward")
# Settings without which layers cannot be made; of a name that is not here these values are tried.
POOL = (2, 0.5, (1,), (2,), "tanh", [fastbp.Dense(1)], fastbp.Dense(1))
SAMPLES = {
    "activation": "tanh",
    "bins": [[0.0, 1.0]],
    "branches": ([fastbp.Dense(1)], [fastbp.Dense(1)]),
    "cardinalities": (3,),
    "columns": (0,),
    "filters": 2,
    "input_dim": 3,
    "kernel_size": 2,
    "layer": fastbp.GRU(2),
    "layers": (fastbp.Dense(1),),
    "members": 2,
    "output_dim": 2,
    "rate": 0.5,
    "stddev": 0.5,
    "target_shape": (-1,),
    "units": 2,
}
# Enough for several slices a batch.
MANY_ROWS = 2048
SHAPES = ((1,), (2, 1), (4, 4), (6, 6, 2), (32,))
# What a setting is changed to, by what it is; a layer may refuse.
CHANGES = ((bool, (True, False)), (float, (0.25,)), (type(None), ("l2", "max_norm", 0.25, 2)), (str, ("causal", "ntk")))


class NeverAskedError(RuntimeError):
    """A kernel, or a layer, that none of the networks here has."""


def every_kernel():
    """Return {key: (kernel, signature)} of the whole package.  For a process of its own: no kernel runs after this."""
    _import_all()
    with _noted() as asked:
        for dtype in map(np.dtype, DTYPES):
            _ask_by_layers(dtype)
            _ask_by_losses(dtype)
            _ask_by_optimizers(dtype, (_dense(), fastbp.Embedding(3, 1), fastbp.Embedding(3, 1, lazy=True)))
            _ask_by_python(dtype)
            _ask_by_solvers(dtype)
    found = _by_key(asked)
    _check_all_were_asked(found)
    return found


def demo_kernels():
    """As `every_kernel`, of dense networks and of those for tables: of float32, and what has it beside other types."""
    from fastbp.tabular.networks import table_network
    from fastbp.tabular.objectives import classification_objective, regression_objective
    from fastbp.tabular.recipe import PRESETS

    table = SimpleNamespace(n_numeric=1, n_plain=1, n_codes=1, cardinalities=(3,))
    objectives = classification_objective(2, "log_loss"), regression_objective()
    with _noted() as asked:
        dtype = np.dtype(DTYPES[0])
        _ask_by_activations(dtype)
        _ask_by_losses(dtype)
        _ask_by_optimizers(dtype, (_dense(),))
        _ask_by_python(dtype)
        _train(_model(fastbp.Dropout(0.5), dtype), fastbp.SGD())
        for objective in objectives:
            x = np.arange(3.0 * MANY_ROWS, dtype=dtype).reshape(MANY_ROWS, 3) % 3
            network = table_network(table, x, objective, PRESETS["default"], (2,), 0)
            _train(network, fastbp.Adam(weight_decay=0.1), x)
    return _by_key(asked)


SETS = {"all": every_kernel, "demo": demo_kernels}


def _import_all():
    """Import all modules of the package, but those that need packages which are not there."""
    for module in pkgutil.walk_packages(fastbp.__path__, "fastbp.", onerror=lambda name: None):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):
                import_module(module.name)


def _by_key(asked):
    ours = [(kernel, of) for kernel, of in asked if kernel.kept and kernel.module.startswith("fastbp.")]
    return {key_of(kernel, of): (kernel, of) for kernel, of in ours}


def _check_all_were_asked(found):
    """Raise NeverAskedError unless every kernel of the package is among the found ones."""
    known = {id(kernel) for kernel, _ in found.values()}
    ours = (thing for thing in gc.get_objects() if isinstance(thing, jit.Kernel) and thing.kept)
    names = {f"{one.module}.{one.qualname}" for one in ours if id(one) not in known}
    missing = sorted(name for name in names if name.startswith("fastbp."))
    if missing:
        raise NeverAskedError(f"nothing in {__name__} asks for {', '.join(missing)}.")


@contextmanager
def _noted():
    """Have kernels noted, not compiled and not run; yield the list of them, which is filled at the end."""
    nothing = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(lambda slots: 0)
    address = ctypes.cast(nothing, ctypes.c_void_p).value
    changed = {
        (jit, "find"): lambda kernel, of: Code(1, address, str(of.returns or "")),
        # As if networks were large: they are cut into slices and pieces, for two threads.
        **{(limits, name): 1 for name in ("SLICE_MULTIPLY_ADDS", "CHUNK_BYTES", "ITEM_MULTIPLY_ADDS")},
        (limits, "THREAD_MULTIPLY_ADDS"): 0,
        (threads, "available_cores"): lambda: 2,
        (runner, "open_counters"): _finished_counters,
    }
    before = {(owner, name): getattr(owner, name) for owner, name in changed}
    start, asked = len(jit.asked), []
    try:
        _set(changed)
        yield asked
    finally:
        _set(before)
        asked += jit.asked[start:]


def _set(values):
    for (owner, name), value in values.items():
        setattr(owner, name, value)


def _finished_counters(*arguments):
    counters = helper_threads.open_counters(*arguments)
    counters[-helper_threads.FINISHED] = 1
    return counters


def _ask_by_layers(dtype):
    for name in LAYERS:
        cls = LAYERS[name]
        for kind in KINDS:
            kernel_address(cls, kind, dtype)
        if not sum(_run_changed(cls, shape, dtype) for shape in SHAPES):
            raise NeverAskedError(f"{name} cannot be made: say in SAMPLES of {__name__} how its settings may be.")
    _ask_by_activations(dtype)


def _ask_by_activations(dtype):
    for name in ACTIVATIONS:
        _run(fastbp.Activation(name), SHAPES[0], dtype)
        _run(fastbp.ParametricActivation(name), SHAPES[0], dtype)


def _run_changed(cls, shape, dtype):
    """Run layers of a class: as by default, and with each setting changed; return False for a shape it refuses."""
    settings = [setting for setting in dataclasses.fields(cls) if setting.init]
    given = next((one for one in _given(settings) if _run_made(cls, one, shape, dtype)), None)
    if given is None:
        return False
    for change in _changes(settings):
        _run_made(cls, given | change, shape, dtype)
    return True


def _changes(settings):
    """Yield {name: value} of each setting that may be changed."""
    for setting in settings:
        for value in (value for kind, values in CHANGES if type(setting.default) is kind for value in values):
            yield {setting.name: value}


def _given(settings):
    """Yield {name: value} of the settings without which a layer cannot be made."""
    known = {one.name: SAMPLES[one.name] for one in settings if one.name in SAMPLES}
    unknown = [one.name for one in settings if one.default is one.default_factory and one.name not in known]
    for values in itertools.product(POOL, repeat=len(unknown)):
        yield known | dict(zip(unknown, values, strict=True))


def _run_made(cls, given, shape, dtype):
    """Run a layer with these settings; return False where there is none, or it refuses the shape."""
    with suppress(ValueError, TypeError, AttributeError):
        return _run(cls(**given), shape, dtype)
    return False


def _run(layer, shape, dtype):
    """Differentiate and apply small networks of a layer; return False where it takes no inputs of that shape."""
    before, behind = [fastbp.Activation("tanh")], [fastbp.Flatten(), fastbp.Dense(1)]
    made, x = False, np.zeros((4, *shape))
    for layers in ([layer], [layer, *behind], [*before, layer, *behind]):
        with suppress(ValueError, TypeError):
            model = fastbp.Sequential(layers, input_shape=shape, seed=0, dtype=dtype)
            made = True
            model.compile("sgd", "mean_squared_error")
            model.predict(x)
            model.value_and_grad(x, np.zeros(len(x)))
    return made


def _ask_by_losses(dtype):
    for cls in _subclasses(Loss):
        if cls.kernel is not None:
            runner.loss_address(cls.kernel, cls.dtype, dtype)


def _subclasses(cls):
    return [one for part in cls.__subclasses__() for one in (part, *_subclasses(part))]


def _dense():
    return fastbp.Dense(1, kernel_regularizer="l2", kernel_constraint="max_norm")


def _ask_by_optimizers(dtype, layers):
    for name in OPTIMIZERS:
        for layer in layers:
            _train(_model(layer, dtype), OPTIMIZERS[name]())
    for change in _changes(dataclasses.fields(fastbp.Adam)):
        with suppress(ValueError, TypeError):
            optimizer = fastbp.Adam(**change)
            for layer in layers:
                _train(_model(layer, dtype), optimizer)


def _model(layer, dtype):
    return fastbp.Sequential([layer, fastbp.Flatten()], input_shape=(1,), seed=0, dtype=dtype)


def _train(model, optimizer, x=None):
    """Train, evaluate and apply a model in all ways that there are."""
    x = np.zeros((MANY_ROWS, 1)) if x is None else x
    y = np.zeros((len(x), *model.output_shape))
    model.compile(optimizer, "mean_squared_error")
    weight, batch_size = np.ones(len(x)), MANY_ROWS // 2
    for run in (
        lambda: model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0),
        lambda: model.fit(x, y, sample_weight=weight, batch_size=batch_size, epochs=1, shuffle=False, verbose=0),
        lambda: model.evaluate(x, y),
        lambda: model.predict(x),
        lambda: model.train_on_batch(x, y),
        lambda: model.vjp(x, y),
        lambda: model.value_and_grad(x, y),
        model.apply_gradients,
    ):
        with suppress(ArithmeticError):  # of numbers that nothing has computed
            run()


def _ask_by_python(dtype):
    """Ask for what Python calls beside the driver."""
    for values in (np.ones(1, name) for name in DTYPES):
        arraymath.exp(values)
        arraymath.log(values)
    arraymath.matmul(np.ones((1, 1)), np.ones((1, 1)))
    for activation in ACTIVATIONS.values():
        if activation.forward is not None:
            apply_activation(activation(), np.zeros((2, 2), dtype))


def _ask_by_solvers(dtype):
    engine = Engine([fastbp.Dense(1)], (1,), seed=0, dtype=dtype)
    problem = LeastSquares(engine, np.zeros((2, 1), dtype), np.zeros((2, 1), dtype), None, 0.1)
    problem.linearize(engine.params)
    problem.solve(1.0)
