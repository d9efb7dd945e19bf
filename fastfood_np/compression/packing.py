"""Codes of a few bits each, one after the other without gaps."""

from __future__ import annotations

import numpy as np

from fastfood_np.compression.arguments import check_bits, check_codes, check_data, code_dtype
from fastfood_np.validation import Array, check_int


def bits_for(k: int) -> int:
    """Return how many bits a code needs that takes k values: ceil(log2 k).

    Parameters
    ----------
    k : int
        At least 1. With one value only there is nothing to write down: 0 bits.

    Examples
    --------
    >>> [bits_for(k) for k in (1, 2, 3, 16, 17)]
    [0, 1, 2, 4, 5]
    """
    return (check_int(k, "k", minimum=1) - 1).bit_length()


def pack(codes: Array, bits: int) -> bytes:
    """Write unsigned integers of a few bits each, lowest bit first.

    Bit b of code i is bit (i * bits + b) of the result, where bit 0 of a byte is its lowest.

    Parameters
    ----------
    codes : integer ndarray of any shape, taken in C order
        Values in 0..2^bits - 1.
    bits : int
        0 to 16. Codes of 0 bits are all 0 and take no bytes at all.

    Returns
    -------
    bytes
        ceil(codes.size * bits / 8) of them; the bits behind the last code are 0.

    Raises
    ------
    TypeError
        `codes` is not an integer array, or `bits` not an integer.
    ValueError
        A code or `bits` is out of its range.

    Notes
    -----
    O(codes.size) time, and about 20 bytes of memory for each code.

    Examples
    --------
    >>> import numpy as np
    >>> pack(np.array([1, 2, 3]), 2).hex()
    '39'
    """
    bits = check_bits(bits)
    flat = check_codes(codes, 1 << bits).ravel().astype("<u2")
    each = np.unpackbits(flat.view(np.uint8), bitorder="little").reshape(-1, 16)
    return np.packbits(each[:, :bits], bitorder="little").tobytes()


def unpack(data: bytes, bits: int, count: int) -> Array:
    """Read what `pack` has written.

    Parameters
    ----------
    data : bytes, bytearray or memoryview
    bits : int
        0 to 16.
    count : int
        How many codes; at least 0. Only where `bits` is 0 do the data not vouch for it.

    Returns
    -------
    ndarray of shape (count,)
        uint8 where `bits` is at most 8, else uint16.

    Raises
    ------
    TypeError
        `data` are no bytes, `bits` or `count` no integers.
    ValueError
        `data` are not ceil(count * bits / 8) bytes, bits behind the last code are not 0, or `bits`
        or `count` is out of its range. Nothing is allocated before the length is known to fit.

    Examples
    --------
    >>> unpack(bytes.fromhex("39"), 2, 3)
    array([1, 2, 3], dtype=uint8)
    """
    bits, count = check_bits(bits), check_int(count, "count", minimum=0)
    packed = check_data(data)
    expected = (count * bits + 7) // 8
    if len(packed) != expected:
        raise ValueError(
            f"data must be {expected} bytes for {count} codes of {bits} bits, got {len(packed)}"
        )
    each = np.unpackbits(packed, bitorder="little")
    if each[count * bits :].any():
        raise ValueError("data must end with zero bits behind the last code, got others")
    dtype = code_dtype(bits)
    whole = np.zeros((count, 8 * dtype.itemsize), np.uint8)
    whole[:, :bits] = each[: count * bits].reshape(count, bits)
    codes = np.packbits(whole, axis=1, bitorder="little")
    return codes.view(dtype.newbyteorder("<")).ravel().astype(dtype)
