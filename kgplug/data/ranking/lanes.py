"""Operations on 32 scores (float32) at a time for numba loops. LLVM maps them to the processor's vector width."""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 32
SIZE = 4  # bytes of a score
RAISED_BY = 8 * LANES  # number of scores that one call of `raise_peaks` reads
_INT32 = ir.IntType(32)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)


def _above(_typing: Any, _address: Any, _bound: Any) -> tuple:
    def code(_context: Any, builder: Any, _signature: Any, arguments: tuple) -> Any:
        address, bound = arguments
        nothing, everywhere = ir.Constant(_VECTOR, ir.Undefined), ir.Constant(ir.VectorType(_INT32, LANES), None)
        first = builder.insert_element(nothing, bound, ir.Constant(_INT32, 0))
        bounds = builder.shuffle_vector(first, nothing, everywhere)
        return builder.bitcast(builder.fcmp_unordered(">", _loaded(builder, address), bounds), _INT32)

    return types.uint32(types.uintp, types.float32), code


def _raise_peaks(_typing: Any, _peaks: Any, _address: Any) -> tuple:
    def code(_context: Any, builder: Any, _signature: Any, arguments: tuple) -> Any:
        peaks, address = arguments
        starts = [ir.Constant(address.type, SIZE * start) for start in range(0, RAISED_BY, LANES)]
        vectors = [_loaded(builder, peaks), *(_loaded(builder, builder.add(address, start)) for start in starts)]
        greatest = functools.reduce(lambda a, b: builder.select(builder.fcmp_ordered(">", b, a), b, a), vectors)
        builder.store(greatest, builder.inttoptr(peaks, _VECTOR.as_pointer()), align=SIZE)
        return ir.Constant(_INT32, 0)

    return types.int32(types.uintp, types.uintp), code


def _ones(_typing: Any, _bits: Any) -> tuple:
    def code(_context: Any, builder: Any, _signature: Any, arguments: tuple) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint32(types.uint32), code


def _first_one(_typing: Any, _bits: Any) -> tuple:
    def code(_context: Any, builder: Any, _signature: Any, arguments: tuple) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint32(types.uint32), code


def _loaded(builder: Any, address: Any) -> Any:
    return builder.load(builder.inttoptr(address, _VECTOR.as_pointer()), align=SIZE)


# (address of 32 scores, bound) → uint32: bit i is set if score i is greater than the bound, or NaN.
above: Any = intrinsic(_above)

# (addresses of 32 peaks and 256 scores): raises peak i to the maximum of itself and scores i, i + 32, …; ignores NaN.
raise_peaks: Any = intrinsic(_raise_peaks)

# (uint32) → uint32: number of bits that are set.
ones: Any = intrinsic(_ones)

# (uint32, not 0) → uint32: position of the lowest bit that is set.
first_one: Any = intrinsic(_first_one)
