"""Vectors in LLVM IR: how many lanes the CPU has, loads and stores that may be masked, sums of products."""

from fastbp.compiler.lazy import cgutils, ir

# The number of tile heights for each width.
HEIGHTS = 3


class Shape:
    """Lanes of a vector, and heights of tiles by their width, for the compiler's CPU and one float type.

    Accumulators, one row of b and one broadcast must fit the registers (16 with AVX2, 32 with AVX-512 and
    NEON), and there must be 8 accumulators or more, where the width allows, to hide the latency of an addition.
    Few heights, because each is a function to compile (20 ms): rows that the tallest leaves go to the others.
    """

    def __init__(self, context, dtype):
        features = context.codegen().magic_tuple()[2].split(",")
        self.fma = "+fma" in features or "+neon" in features
        bits = 512 if "+avx512f" in features else 256 if "+avx" in features else 128
        self.lanes, self.registers = bits // dtype.bitwidth, 32 if bits == 512 or "+neon" in features else 16
        # Heights of tiles of 1, 2 ... vectors.
        self.heights = ((16, 4, 1), (8, 4, 1)) if bits == 512 else ((8, 4, 1), (4, 2, 1), (4, 2, 1))
        self.vectors = len(self.heights)
        self.columns = self.lanes * self.vectors


def multiply_add(builder, shape, x, y, z):
    """x * y + z, fused where the CPU can (elsewhere llvm.fma would call libm for each lane)."""
    if not shape.fma:
        return builder.fadd(builder.fmul(x, y), z)
    name = f"llvm.fma.{_suffix(x.type)}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(x.type, [x.type] * 3), name)
    return builder.call(function, [x, y, z])


def load_vector(builder, pointer, vector, mask=None):
    """Load a vector from an unaligned pointer to its element type; masked lanes are zero."""
    place = builder.bitcast(pointer, vector.as_pointer())
    bytes_ = 4 if isinstance(vector.element, ir.FloatType) else 8
    if mask is None:
        return builder.load(place, align=bytes_)
    name = f"llvm.masked.load.{_suffix(vector)}.p0"
    types_ = [place.type, ir.IntType(32), _flags_of(vector), vector]
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, types_), name)
    flags = _mask_flags(builder, mask)
    return builder.call(function, [place, ir.Constant(ir.IntType(32), bytes_), flags, ir.Constant(vector, None)])


def store_vector(builder, value, pointer, mask=None):
    """Store a vector to an unaligned pointer; masked lanes are left alone."""
    place = builder.bitcast(pointer, value.type.as_pointer())
    bytes_ = 4 if isinstance(value.type.element, ir.FloatType) else 8
    if mask is None:
        builder.store(value, place, align=bytes_)
        return
    name = f"llvm.masked.store.{_suffix(value.type)}.p0"
    types_ = [value.type, place.type, ir.IntType(32), _flags_of(value.type)]
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), types_), name)
    builder.call(function, [value, place, ir.Constant(ir.IntType(32), bytes_), _mask_flags(builder, mask)])


def _suffix(vector):
    """The name of a vector type in LLVM's overloaded intrinsics."""
    return f"v{vector.count}f{32 if isinstance(vector.element, ir.FloatType) else 64}"


def splat(builder, scalar, lanes):
    """Repeat a scalar in every lane."""
    vector = ir.VectorType(scalar.type, lanes)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
    return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)


def edge_mask(builder, edge, vector):
    """Return the mask of the first `edge` lanes of a vector type: whole numbers, negative there."""
    size = ir.IntType(32 if isinstance(vector.element, ir.FloatType) else 64)
    numbers = ir.Constant(ir.VectorType(size, vector.count), [ir.Constant(size, i) for i in range(vector.count)])
    edge = builder.trunc(edge, size) if size.width < edge.type.width else edge
    return builder.sub(numbers, splat(builder, edge, vector.count))


def _mask_flags(builder, mask):
    """Return the mask as LLVM's flags.

    The flags are made anew at each use.  Flags that a loop keeps are packed and unpacked in each turn (4 instructions),
    because the masks of AVX2 are whole numbers.
    """
    return builder.icmp_signed("<", mask, ir.Constant(mask.type, None))


def _flags_of(vector):
    return ir.VectorType(ir.IntType(1), vector.count)


def emitted_once(module, name, args, emit, returns=None):
    """Return the function of that name in `module`, for arguments as `args`; `emit(function)` writes its body.

    `returns` is the LLVM type of what it returns, None for nothing.
    """
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(returns or ir.VoidType(), [arg.type for arg in args]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    # As for tiles: unrolling takes longer to compile and brings nothing.
    function.attributes.add("optsize")
    emit(function)
    return function
