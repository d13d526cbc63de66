"""What kernels of a layer of one's own read and write with: rows of a region as an array (n, d), and products."""

from fastbp.compiler.jit import call, inline
from fastbp.compiler.lazy import arrayobj, cgutils, errors, intrinsic, types
from fastbp.compiler.pointers import at, null


@intrinsic
def rows(typingctx, array, offset, first, end, columns):
    """A view of rows `first` to before `end` of the matrix (..., columns) that begins at entry `offset` of an array.

    Parameters
    ----------
    array : (size,) array
        A kernel's `work`, `params`, `grads` or `shared`, or ``step.buffers`` by `array_at`.
    offset, first, end, columns : int

    Returns
    -------
    (end - first, columns) array
        Nothing is copied, nothing checked.
    """

    def codegen(context, builder, signature, args):
        kind = signature.return_type
        flat, offset, first, end, columns = args
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, flat).data
        start = builder.add(offset, builder.mul(first, columns))
        out = arrayobj.make_array(kind)(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
        shape, strides = [builder.sub(end, first), columns], [builder.mul(columns, size), size]
        arrayobj.populate_array(
            out, data=builder.gep(data, [start]), shape=shape, strides=strides, itemsize=size, meminfo=None
        )
        return out._getvalue()

    matrix = types.Array(array.dtype, 2, "C")
    return matrix(array, types.int64, types.int64, types.int64, types.int64), codegen


@inline
def matmul(product, out, a, b, accumulate):
    """out (n, k) = a (n, d) @ b (d, k), or out += a @ b: on the register tiles of the dense layer.

    Parameters
    ----------
    product : int
        `product_address`, from a field of the layer's record.
    out, b : arrays (n, k), (d, k)
        Contiguous, from `rows`. For a transposed `b` let ``prepare`` keep a transposed copy in `shared`.
    a : array (n, d)
        Any part of a matrix, transposed too: ``x[:, first:end].T``.
    accumulate : bool
    """
    start = contiguous_start(out)
    (n, d), k, size = a.shape, out.shape[1], a.itemsize
    init = start if accumulate else null(out)
    a_row, a_column = a.strides[0] // size, a.strides[1] // size
    call(product, (start, k, init, k, at(a, 0), a_row, a_column, contiguous_start(b), k, n, k, d))


@intrinsic
def contiguous_start(typingctx, matrix):
    """Return a pointer to the first entry of a contiguous matrix."""
    if not isinstance(matrix, types.Array) or matrix.layout != "C":
        raise errors.TypingError(
            f"matmul takes out and b as `rows` returns them, contiguous, not {matrix}: only a may be .T."
        )

    def codegen(context, builder, signature, args):
        return cgutils.create_struct_proxy(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(matrix.dtype)(matrix), codegen
