"""Entropy coding of small integers: frequent codes take fewer bits.

A binary range coder that learns as it goes (after Witten, Neal and Cleary, "Arithmetic Coding for
Data Compression", 1987, and Martin, "Range encoding", 1979). A code is written bit by bit from the
top one; the probability of each bit, given those above it, is estimated from the codes before it,
so no table is stored. The estimator, the flag and the end of the data are our choice.
"""

from __future__ import annotations

import numpy as np

from fastfood_np import backends
from fastfood_np.compression.arguments import check_bits, check_codes, check_data, code_dtype
from fastfood_np.validation import Array, check_int

# The coder gives no bit a probability above 4095 / 4096, so each takes 1 / 2838 of a bit or more.
MOST_BITS_PER_BYTE = 8 * 4096


def encode(codes: Array, bits: int) -> bytes:
    """Write unsigned integers of a few bits each in about as many bits as their entropy.

    The distribution is learnt from the codes so far, recent ones counting more, so codes that are
    distributed alike should stand together. If that takes more bytes than plain bits, plain bits
    are written.

    Parameters
    ----------
    codes : integer ndarray of any shape, taken in C order
        Values in 0..2^bits - 1.
    bits : int
        0 to 16. Codes of 0 bits are all 0 and take no bytes at all.

    Returns
    -------
    bytes
        At most one more than `pack` writes. No result is the beginning of another for as many
        codes, so data that were cut or that go on are always found out.

    Raises
    ------
    TypeError
        `codes` is not an integer array, or `bits` not an integer.
    ValueError
        A code or `bits` is out of its range.

    Notes
    -----
    To the empirical entropy comes what is paid for learning, about half the logarithm of the number
    of codes for each of at most 2^bits - 1 probabilities, less where the distribution drifts.
    O(codes.size * bits) time on one thread.

    Examples
    --------
    >>> import numpy as np
    >>> from fastfood_np.compression import pack
    >>> codes = np.zeros(1000, np.uint8)
    >>> codes[::100] = 3
    >>> len(encode(codes, 4)), len(pack(codes, 4))
    (14, 500)
    """
    bits = check_bits(bits)
    flat = check_codes(codes, 1 << bits).ravel().astype(np.uint16)
    return _encode(flat, bits).tobytes()


def decode(data: bytes, bits: int, count: int) -> Array:
    """Read what `encode` has written.

    Safe with any data: what does not raise is exactly what `encode` writes for the codes returned,
    which is checked by encoding them again.

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
        `data` are not what `encode` writes for any `count` codes of so many bits (too short, too
        long, or changed), or `bits` or `count` is out of its range.

    Notes
    -----
    O(count * bits) time and O(count + 2^bits) memory, whatever the data are; a `count` for which
    they are too short by far is refused before any of it is taken.

    Examples
    --------
    >>> import numpy as np
    >>> decode(encode(np.arange(5), 3), 3, 5)
    array([0, 1, 2, 3, 4], dtype=uint8)
    """
    bits, count = check_bits(bits), check_int(count, "count", minimum=0)
    coded = check_data(data)
    least, most = -(-count * bits // MOST_BITS_PER_BYTE), _most_bytes(count * bits)
    if not least <= len(coded) <= most:
        raise ValueError(
            f"data must be {least} to {most} bytes for {count} codes of {bits} bits, got "
            f"{len(coded)}"
        )
    codes = np.zeros(count, np.uint16)
    if codes.size and bits:
        backends.select().range_decode(coded, bits, codes)
    if not np.array_equal(_encode(codes, bits), coded):
        raise ValueError(
            f"data must be the whole of what was encoded as {count} codes of {bits} bits, got "
            f"{len(coded)} bytes that are not"
        )
    return codes.astype(code_dtype(bits))


def _encode(codes: Array, bits: int) -> Array:
    """Return the bytes of codes (n,) of uint16: learnt probabilities, or halves if those are worse.

    One bit says which, so halves take at most a byte more than the bits themselves.
    """
    if not (codes.size and bits):
        return np.empty(0, np.uint8)
    range_encode = backends.select().range_encode
    out = np.empty(_most_bytes(codes.size * bits), np.uint8)
    length = range_encode(codes, bits, True, out[:-1])
    if length < 0:
        length = range_encode(codes, bits, False, out)
    return out[:length]


def _most_bytes(n_bits: int) -> int:
    return (n_bits + 7) // 8 + (n_bits > 0)
