"""A large matrix made of a small vector by hash functions, in plain NumPy."""

from __future__ import annotations

import numpy as np

from fastfood_np.validation import Array


def hashed_matrix(w: Array, seed: int, W: Array) -> None:
    """Fill W (n_out, d_in) with s(i, j) w[h(i, j)]; all indices and signs follow from the seed."""
    W[...] = np.stack([-w, w], axis=1).ravel()[_places(W.shape, seed, len(w))]


def hashed_matrix_backward(dW: Array, seed: int, dw: Array) -> None:
    """Fill dw with the sum of s(i, j) dW_ij over the entries that share a weight.

    Entries that share a sign as well are added first, row by row.
    """
    sums = np.zeros(2 * len(dw), dW.dtype)
    np.add.at(sums, _places(dW.shape, seed, len(dw)), dW)
    dw[...] = sums[1::2] - sums[::2]


def _places(shape: tuple[int, ...], seed: int, n_hashed: int) -> Array:
    """Return 2 h(i, j) + [s(i, j) = 1]: of a mixed 32 bits, h are the upper 31 and s the last.

    The mix is the last step of MurmurHash3 (public domain), applied to the entry's number times
    2^32 over the golden ratio, plus the seed.
    """
    bits: Array = np.arange(shape[0] * shape[1], dtype=np.uint32).reshape(shape)
    bits *= np.uint32(0x9E3779B1)
    bits += np.uint32(seed)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        bits ^= bits >> np.uint32(shift)
        bits *= np.uint32(factor)
    h = (bits >> np.uint32(1)).astype(np.uint64) * np.uint64(n_hashed) >> np.uint64(31)
    return 2 * h.astype(np.int64) + (bits & np.uint32(1))
