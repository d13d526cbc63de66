"""One floating-point mode in compiled code, and the caller's own outside: whatever the call does, in every thread."""

import importlib
import pkgutil
import platform
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic

import fastbp
from fastbp.activations import ACTIVATIONS
from fastbp.compiler import fpmode as _fpmode
from fastbp.compiler.entrycode import EntryCompiler
from fastbp.compiler.jit import Inline, Kernel, kernel, unkept_kernel
from fastbp.engine.output_activation import apply_activation
from fastbp.engine.weighted_rows import WeightedRows
from fastbp.estimators import MLPClassifier, MLPRegressor
from fastbp.kernels.rng import shuffle

on_x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads a register of x86")
pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64", "aarch64", "arm64"), reason="the mode is not set on this CPU"
)
TINY = np.float32(1e-40)
# MXCSR as a process starts with it; with denormals flushed; rounding downwards.
USUAL, FLUSHING, DOWNWARDS = 0x1F80, 0x9FC0, 0x3F80
# Flags of what has happened since they were last cleared: nobody's mode.
STICKY = 0x3F


def _move(name):
    """Return an intrinsic f(value): MXCSR is stored to, or loaded from, the place of `value`, which is returned."""

    @intrinsic
    def move(typingctx, value):
        def codegen(context, builder, signature, args):
            byte_pointer = ir.IntType(8).as_pointer()
            kind = ir.FunctionType(ir.VoidType(), [byte_pointer])
            place = cgutils.alloca_once_value(builder, args[0])
            function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}mxcsr")
            builder.call(function, [builder.bitcast(place, byte_pointer)])
            return builder.load(place)

        return types.uint32(types.uint32), codegen

    return move


_store, _load = _move("st"), _move("ld")


@numba.njit
def read_register():
    """Return MXCSR.  (No kernel: those have a mode of their own.)"""
    return _store(np.uint32(0))


@numba.njit
def write_register(value):
    _load(np.uint32(value))


def mode():
    return read_register() & ~STICKY


@kernel
def halve(x, out):
    """Multiply by one half."""
    for i in range(x.size):
        out[i] = x[i] * x.dtype.type(0.5)


@kernel
def half(x):
    """Return half a number: a function that LLVM could compute on either side of what it calls no change."""
    return x * 0.5


@kernel
def fail(x):
    """Raise."""
    if x[0] >= 0:
        raise ValueError("from compiled code")


def in_thread(function):
    """Return function() of a thread that ends with it."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def assert_denormals_live():
    """Check that NumPy, in this thread, computes with denormals."""
    assert (np.full(100, TINY) * np.float32(0.5)).tolist() == [float(np.float32(0.5e-40))] * 100
    assert (np.full(100, 1e-310) * 0.5).tolist() == [0.5e-310] * 100


def problem(n=40, columns=3):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, columns)).astype(np.float32)
    return x, x.sum(1)


def build(*layers, loss="mean_squared_error", **settings):
    model = fastbp.Sequential(
        list(layers) or [fastbp.Dense(4, activation="relu"), fastbp.Dense(1)], input_shape=(3,), seed=0
    )
    model.compile("adam", loss, **settings)
    return model


def fit(**settings):
    model = build()
    model.fit(*problem(), epochs=2, batch_size=8, verbose=0, **settings)
    return model


def _levenberg():
    MLPRegressor(hidden_layer_sizes=(3,), activation="tanh", solver="lm", max_iter=3, random_state=0).fit(*problem())


def _probabilities():
    x, y = problem()
    MLPClassifier(hidden_layer_sizes=(4,), max_iter=2, random_state=0, early_stopping=True).fit(x, y > 0).predict_proba(
        x
    )


def _of_model(method):
    return lambda: getattr(build(), method)(*problem())


# Everything of the library that calls compiled code.
CALLS = {
    "fit": lambda: fit(validation_split=0.2),
    "predict": lambda: build().predict(problem()[0]),
    "predict one row": lambda: build().predict(problem()[0][:1]),
    "evaluate": _of_model("evaluate"),
    "train_on_batch": _of_model("train_on_batch"),
    "value_and_grad": _of_model("value_and_grad"),
    "vjp": lambda: build().vjp(problem()[0], np.ones((40, 1), np.float32)),
    "check_gradients": lambda: fastbp.check_gradients(build(), *problem(4)),
    "levenberg-marquardt": _levenberg,
    "estimator": _probabilities,
    "shuffle": lambda: shuffle(np.empty(5, np.int64), 0, 0),
    "activation": lambda: apply_activation(ACTIVATIONS.get("tanh"), np.ones((2, 3), np.float32)),
    "kernel": lambda: halve(np.ones(3), np.ones(3)),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("call", CALLS)
def test_numpy_after_a_call(call):
    CALLS[call]()
    assert_denormals_live()


@on_x86
@pytest.mark.parametrize("before", [USUAL, FLUSHING, DOWNWARDS], ids=["usual", "flushing", "downwards"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("call", CALLS)
def test_the_register_comes_back(call, before):
    """Also where the caller had flushing set already, and in a thread, whose register is its own."""

    def work():
        write_register(before)
        CALLS[call]()
        return mode()

    assert in_thread(work) == before
    assert mode() == USUAL


@on_x86
@pytest.mark.parametrize("before", [USUAL, FLUSHING])
def test_after_an_exception_from_compiled_code(before):
    def work():
        write_register(before)
        with pytest.raises(ValueError, match="from compiled code"):
            fail(np.ones(1))
        return mode()

    assert in_thread(work) == before


@numba.njit
def raising(y_true, y_pred, dout):
    if y_true[0] > 0:
        raise ValueError("a loss that raises")
    dout[0] = y_pred[0] - y_true[0]
    return 0.5 * dout[0] * dout[0]


def test_after_a_loss_that_raises(small_work, n_threads):
    """In one thread and in two: the helper's register is its own, and the next share finds it as it was."""
    model = build(fastbp.Dense(1), loss=fastbp.CustomLoss(raising))
    with pytest.raises(ValueError, match="a loss that raises"):
        model.fit(*problem(200), epochs=2, batch_size=200, verbose=0)
    assert_denormals_live()
    found = []
    fastbp.engine.threads.run_together(lambda thread, n: found.append(float(np.full(1, TINY)[0] * np.float32(0.5))), 2)
    assert set(found) == {float(np.float32(0.5e-40))}


def test_after_an_interrupt():
    """A real SIGINT, in the middle of a fit."""

    class Interrupt(fastbp.Callback):
        def on_epoch_end(self, *arguments):
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        model = build()
        model.fit(*problem(), epochs=50, verbose=0, callbacks=[Interrupt()])
    finally:
        signal.signal(signal.SIGINT, before)
    assert model.engine.epoch == 1
    assert_denormals_live()


@pytest.mark.parametrize(("dtype", "tiny"), [("float32", 1e-40), ("float64", 1e-310)])
def test_compiled_code_flushes(dtype, tiny):
    """Operands and results: what is denormal counts as zero, and what would become denormal is zero."""
    smallest = np.finfo(dtype).smallest_normal
    x, out = np.array([tiny, -tiny, smallest, 3.0], dtype), np.ones(4, dtype)
    halve(x, out)
    assert out.tolist() == [0.0, 0.0, 0.0, 1.5]
    assert half(1e-310) == 0.0
    assert half(2.0) == 1.0


def test_every_thread_flushes(small_work, run_threads):
    """Each of many slices multiplies denormals by its weights, whoever takes it."""
    x, outputs = np.full((500, 3), TINY), []
    for n in (1, 2, 3):
        run_threads(n)
        model = build(fastbp.Dense(70, use_bias=False), fastbp.Dense(1, use_bias=False))
        outputs.append(model.predict(x))
        assert not run_threads.used or set(run_threads.used) == {n}
        model.params[:] *= np.float32(1e38)
        outputs.append(model.predict(x))
    assert not np.any(outputs)


def test_moments_do_not_become_denormal():
    """Adam's first moment of a parameter without a gradient shrinks for 830 steps, and then stays a normal number."""
    model = build(fastbp.Dense(1, use_bias=False))
    x, y = problem()
    model.fit(x, y, epochs=1, batch_size=40, verbose=0)
    moment = model.engine.state[:3]
    assert np.all(abs(moment) > 1e-3)
    model.fit(0 * x, 0 * y, epochs=900, batch_size=40, verbose=0)
    smallest = np.finfo(np.float32).smallest_normal
    # 0.9 ** 900 would leave 1e-43.  A tenth of less than ten times the smallest number is nothing.
    assert np.all((abs(moment) >= smallest) & (abs(moment) <= 11 * smallest))


@on_x86
def test_the_bits_do_not_depend_on_the_callers_mode(small_work, run_threads):
    """Rounding downwards in the caller's thread, not in the helper's: the library's mode holds in both."""
    run_threads(2)
    results, (x, y) = [], problem(300)
    for register in (USUAL, FLUSHING, DOWNWARDS):
        model = build(fastbp.Dense(50, activation="tanh"), fastbp.Dense(1))
        write_register(register)
        try:
            model.engine.gradient(WeightedRows(x, y[:, None], None, y), training=True)
            results.append((model.engine.grads.tobytes(), model.predict(x).tobytes()))
        finally:
            write_register(USUAL)
    assert results[0] == results[1] == results[2]


def compiled_functions():
    """Yield (name, kernel or inline function) of everything compiled that a module or class of the library names."""
    for info in pkgutil.walk_packages(fastbp.__path__, "fastbp."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        spaces = [vars(module), *(vars(cls) for cls in vars(module).values() if isinstance(cls, type))]
        for name, value in (pair for space in spaces for pair in space.items()):
            value = getattr(value, "__func__", value)
            if isinstance(value, Kernel | Inline):
                yield f"{info.name}.{name}", value
            # `reraise` computes nothing.
            assert not isinstance(value, Dispatcher) or name == "reraise", (
                f"{info.name}.{name} is Numba's: Python could call it"
            )


def test_no_entry_is_forgotten():
    """What Python can call flushes; what does not, Python cannot call."""
    entries = dict(compiled_functions())
    kernels = {name for name, value in entries.items() if isinstance(value, Kernel)}
    assert len(kernels) > 80
    for name in ("engine.driver.run_steps", "solvers.leastsquares.add_rows", "kernels.rng.shuffle"):
        assert f"fastbp.{name}" in kernels
    for name, value in entries.items():
        flushing = value.dispatcher._compiler.pipeline_class is EntryCompiler
        assert flushing == (name in kernels), name
        assert value.targetoptions.get("no_cpython_wrapper", False) != flushing
    with pytest.raises(TypeError, match="is an inline function: compiled functions call it"):
        next(value for value in entries.values() if isinstance(value, Inline))(1.0)
    with pytest.raises(TypeError, match="is not kept and has no entry: compiled functions call it alone"):
        unkept_kernel(lambda x: x)(1.0)


def assembly(triple, emit, *argument_types, features=""):
    """Return the optimised assembly, for another machine, of a function whose body is emit(builder, *arguments)."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(triple)
    except RuntimeError as error:
        pytest.skip(str(error))
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), argument_types), "entry")
    builder = ir.IRBuilder(function.append_basic_block())
    emit(builder, *function.args)
    builder.ret_void()
    machine = target.create_target_machine(features=features, opt=3)
    parsed = llvm.parse_assembly(str(module))
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    return machine.emit_assembly(parsed)


def _call_work(triple):
    def emit(builder):
        work = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), []), "work")
        _fpmode.call_flushed(builder, triple, lambda: builder.call(work, []))

    return emit


@pytest.mark.parametrize(
    ("triple", "instructions", "value"),
    [
        ("x86_64-unknown-linux-gnu", ["stmxcsr", "ldmxcsr", "callq", "ldmxcsr"], "40896"),
        ("aarch64-unknown-linux-gnu", ["mrs", "msr", "bl", "msr"], "16777216"),
        ("arm64-apple-darwin", ["mrs", "msr", "blr", "msr"], "16777216"),
        ("riscv64-unknown-linux-gnu", ["jr"], "work"),
    ],
)
def test_machine_code(triple, instructions, value):
    """The register is read and set, the work is called, the register is put back."""
    code = assembly(triple, _call_work(triple))
    found = re.findall(r"^\s*(stmxcsr|ldmxcsr|mrs|msr|callq|blr?|jr)\s", code, re.M)
    assert found == instructions
    assert value in code


def test_unknown_cpus_are_left_alone():
    builder = SimpleNamespace()
    assert _fpmode.call_flushed(builder, "s390x-unknown-linux-gnu", lambda: 7) == 7
