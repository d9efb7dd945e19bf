"""What instructions compute, on whole arrays: types of PTX, and one function a stem."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from ptx_machine.program import Fault


@cache
def dtype_of(kind: str) -> np.dtype[Any]:
    """Return NumPy's name of a type of PTX; of bits an unsigned integer."""
    if kind == "pred":
        return np.dtype(bool)
    return np.dtype(f"{kind[0].replace('b', 'u').replace('s', 'i')}{int(kind[1:]) // 8}")


def bits_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the unsigned integer of the same size; truths stay what they are."""
    return dtype if dtype.kind == "b" else np.dtype(f"u{dtype.itemsize}")


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """Return a + b as rounded, and the rounding error, both exact (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """Return a b of float64 as rounded, and the rounding error (Dekker, Veltkamp)."""

    def split(x: Any) -> tuple[Any, Any]:
        carried = x * (2.0**27 + 1)
        upper = carried - (carried - x)
        return upper, x - upper

    product, (a_high, a_low), (b_high, b_low) = a * b, split(a), split(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def odd_sum(a: Any, b: Any) -> Any:
    """Return a + b of float64 rounded to odd: of inexact sums the neighbour with an odd last bit.

    Rounded once more, to two bits less at least, it gives what one rounding of the sum gives.
    """
    total, error = two_sum(a, b)
    bits = np.array(total, np.float64).view(np.int64)
    even = (error != 0) & np.isfinite(error) & (bits & 1 == 0)
    return (bits + even * np.where((error > 0) == (total > 0), 1, -1)).view(np.float64)


def fma(a: Any, b: Any, c: Any) -> Any:
    """Return a b + c, rounded once (Boldo and Melquiond 2008).

    The product of two float32 is exact in float64. A sum there, rounded to float32, would have been
    rounded twice, which goes wrong where the first rounding makes a tie; so it is rounded to odd.
    """
    if a.dtype == np.float32:
        return odd_sum(a.astype(np.float64) * b, c.astype(np.float64)).astype(np.float32)
    product, error = two_product(a, b)
    high, low = two_sum(c, error)
    high, middle = two_sum(product, high)
    exact = high + odd_sum(low, middle)
    return np.where(np.isfinite(exact), exact, a * b + c)  # (the errors of infinite ones are NaN)


def divided(a: Any, b: Any) -> Any:
    """Return the quotient of integers, rounded towards zero."""
    if not np.all(b):
        raise Fault("a division by zero")
    quotient = a // b
    return quotient + ((quotient < 0) & (quotient * b != a)).astype(a.dtype)


def shifted(a: Any, by: Any, shift: Callable[[Any, Any], Any]) -> Any:
    """Shift; by as many bits as there are, or more, one after the other."""
    last = a.dtype.type(8 * a.dtype.itemsize - 1)
    once = shift(a, np.minimum(by, last).astype(a.dtype))
    return np.where(by > last, shift(once, a.dtype.type(1)), once)


def inserted(a: Any, b: Any, place: Any, length: Any) -> Any:
    """Put the lowest `length` bits of a into b."""
    one = a.dtype.type(1)
    mask = (shifted(one, length, np.left_shift) - one) << place.astype(a.dtype)
    return (b & ~mask) | ((a << place.astype(a.dtype)) & mask)


def converted(a: Any, target: np.dtype[Any], rounded: Callable[[Any], Any] | None) -> Any:
    """Convert a number; one that is too large for an integer becomes the largest."""
    a = a if rounded is None else rounded(a)
    if a.dtype.kind != "f" or target.kind == "f":
        return a.astype(target)
    if np.isnan(a).any():
        raise Fault("no number made an integer")
    least, most = np.iinfo(target).min, np.iinfo(target).max
    below = np.where(a < float(most), np.maximum(a, float(least)), 0)  # as floats, most + 1
    return np.where(a < float(most), below.astype(target), target.type(most))


def wide_product(a: Any, b: Any) -> Any:
    """Return the product of two integers in twice as many bits."""
    twice = np.dtype(f"{a.dtype.kind}{2 * a.dtype.itemsize}")
    return a.astype(twice) * b.astype(twice)


def unordered(comparison: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Make a comparison one that is true where a number is NaN, too."""
    return lambda a, b: comparison(a, b) | (a != a) | (b != b)


# Stems: the type of the result and those of the operands, and what is computed. Of the types, t is
# the first one of the instruction, u the second, and w has twice the width of t.
OPERATIONS: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "abs": ("t", "t", np.abs),
    "add": ("t", "t t", np.add),
    "and": ("t", "t t", np.bitwise_and),
    "bfi": ("t", "t t u32 u32", inserted),
    "cvta.to.global": ("t", "t", np.positive),
    "div": ("t", "t t", divided),
    "fma.rn": ("t", "t t t", fma),
    "mad.lo": ("t", "t t t", lambda a, b, c: a * b + c),
    "max": ("t", "t t", np.fmax),
    "min": ("t", "t t", np.fmin),
    "mov": ("t", "t", lambda a: a),
    "mul": ("t", "t t", np.multiply),
    "mul.lo": ("t", "t t", np.multiply),
    "mul.rn": ("t", "t t", np.multiply),
    "mul.wide": ("w", "t t", wide_product),
    "neg": ("t", "t", np.negative),
    "not": ("t", "t", np.invert),
    "or": ("t", "t t", np.bitwise_or),
    "rem": ("t", "t t", lambda a, b: a - divided(a, b) * b),
    "selp": ("t", "t t pred", lambda a, b, first: np.where(first, a, b)),
    "setp.nan": ("pred", "t t", lambda a, b: (a != a) | (b != b)),
    "shl": ("t", "t u32", partial(shifted, shift=np.left_shift)),
    "shr": ("t", "t u32", partial(shifted, shift=np.right_shift)),
    "sub": ("t", "t t", np.subtract),
    "xor": ("t", "t t", np.bitwise_xor),
}
COMPARISONS = {
    "eq": np.equal, "ne": lambda a, b: (a < b) | (a > b), "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
for _name, _comparison in COMPARISONS.items():
    OPERATIONS[f"setp.{_name}"] = "pred", "t t", _comparison
    OPERATIONS[f"setp.{_name}u"] = "pred", "t t", unordered(_comparison)
ROUNDINGS = {
    "cvt": None, "cvt.rn": None, "cvt.rmi": np.floor, "cvt.rni": np.rint, "cvt.rzi": np.trunc
}  # fmt: skip


@cache
def operation(stem: str, types: tuple[str, ...]) -> tuple[str, list[str], Callable[..., Any]]:
    """Return the types of the result and of the operands, and the function."""
    if stem in ROUNDINGS and len(types) == 2:
        target, source = types
        convert = partial(converted, target=dtype_of(target), rounded=ROUNDINGS[stem])
        return target, [source], convert
    if stem not in OPERATIONS or len(types) != 1:
        raise Fault("an instruction that this machine does not have")
    result, operands, function = OPERATIONS[stem]
    (kind,) = types
    names = {"t": kind, "w": "" if kind == "pred" else f"{kind[0]}{2 * int(kind[1:])}"}
    return names.get(result, result), [names.get(x, x) for x in operands.split()], function
