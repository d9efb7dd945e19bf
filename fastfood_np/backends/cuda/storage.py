"""Numbers of 16 bits: stored so, computed with in single precision.

NumPy has no bfloat16. Arrays of it, as PyTorch's, say that they hold two bytes of nothing in
particular ("<V2"), and kernels are given their bits as whole numbers.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from fastfood_np.backends.cuda.numba_cuda import device_function

BFLOAT16 = np.dtype("V2")


def compute_type(dtype: Any) -> Any:
    """Return the type, float32 or float64, in which numbers of this dtype are computed with."""
    return np.float64 if dtype == np.float64 else np.float32


def bits(x: Any) -> Any:
    """Return the array that kernels are given: x, or of bfloat16 its bits."""
    return x.view(np.uint16).bind(x.stream) if x.dtype == BFLOAT16 else x


@cache
def make_widen(dtype: np.dtype[Any]) -> Any:
    """Return a device function: a stored number as one to compute with."""
    compute, sixteen = compute_type(dtype), np.uint32(16)

    def convert(stored):
        return compute(stored)

    def from_bits(stored):
        return np.uint32(np.uint32(stored) << sixteen).view(np.float32)

    return device_function(from_bits if dtype == BFLOAT16 else convert)


@cache
def make_narrow(dtype: np.dtype[Any]) -> Any:
    """Return a device function: a number as it is stored, the nearest and of two the even one."""
    storage = dtype.type
    sixteen, one, half = np.uint32(16), np.uint32(1), np.uint32(0x7FFF)
    nan = np.uint16(0x7FC0)

    def convert(value):
        return storage(value)

    def to_bits(value):
        if value != value:
            return nan
        whole = np.float32(value).view(np.uint32)
        return np.uint16((whole + half + ((whole >> sixteen) & one)) >> sixteen)

    return device_function(to_bits if dtype == BFLOAT16 else convert)
