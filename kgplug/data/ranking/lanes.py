"""Operations on 32 scores (float32) at a time, for compiled loops (numba): LLVM's vectors, as wide as a processor's."""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 32
SIZE = 4  # bytes of a score
RAISED_BY = 8 * LANES  # scores that `raise_peaks` takes: one store for them all
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


# (address of 32 scores, bound) → which of them are greater than the bound, or NaN: uint32, the first is the lowest bit.
above: Any = intrinsic(_above)

# (address of 32 peaks, address of 256 scores): raises each peak to the greatest of every 32nd score; passes over NaN.
raise_peaks: Any = intrinsic(_raise_peaks)

# (uint32) → how many of its bits are set: uint32.
ones: Any = intrinsic(_ones)

# (uint32, not 0) → the place of its lowest bit that is set: uint32.
first_one: Any = intrinsic(_first_one)
