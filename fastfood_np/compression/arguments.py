"""Checks of the arguments that packing, coding and quantising share."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.validation import Array, check_int

MAX_BITS = 16


def check_bits(bits: Any) -> int:
    """Return a number of bits from 0 to 16."""
    return check_int(bits, "bits", minimum=0, maximum=MAX_BITS)


def check_codes(codes: Any, size: int, name: str = "codes") -> Array:
    """Return `codes` if it is an integer array with values in 0..size-1, of any shape."""
    if not isinstance(codes, np.ndarray) or codes.dtype.kind not in "iu":
        kind = codes.dtype if isinstance(codes, np.ndarray) else type(codes).__name__
        raise TypeError(f"{name} must be an integer array, got {kind}")
    if codes.size and not (codes.min() >= 0 and codes.max() < size):
        raise ValueError(f"{name} must lie in 0..{size - 1}, got {codes.min()} to {codes.max()}")
    return codes


def check_data(data: Any) -> Array:
    """Return bytes, a bytearray or a memoryview as an array of uint8."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data must be bytes, got {type(data).__name__}")
    return np.frombuffer(bytes(data), np.uint8)


def code_dtype(bits: int) -> np.dtype[Any]:
    """Return the dtype of codes of so many bits: uint8 up to 8 of them, else uint16."""
    return np.dtype(np.uint8 if bits <= 8 else np.uint16)
