"""A large matrix made of a small vector by hash functions, in plain NumPy."""

from __future__ import annotations

import numpy as np

from fastfood_np.validation import Array


def hashed_matrix(w: Array, seed: int, W: Array) -> None:
    """Fill W (n_out, d_in) with s(i, j) w[h(i, j)]; all indices and signs follow from the seed."""
    indices, signs = _hashes(W.shape, seed, len(w))
    W[...] = np.where(signs, w[indices], -w[indices])


def hashed_matrix_backward(dW: Array, seed: int, dw: Array) -> None:
    """Fill dw with the sum of s(i, j) dW_ij over the entries that share a weight, row by row."""
    indices, signs = _hashes(dW.shape, seed, len(dw))
    dw[...] = 0
    np.add.at(dw, indices, np.where(signs, dW, -dW))


def _hashes(shape: tuple[int, int], seed: int, n_hashed: int) -> tuple[Array, Array]:
    """Return h(i, j) and whether s(i, j) is +1: 31 bits and the last one of a mixed 32.

    The mix is the last step of MurmurHash3 (public domain), applied to the entry's number times
    2^32 over the golden ratio, plus the seed.
    """
    h: Array = np.arange(shape[0] * shape[1], dtype=np.uint32).reshape(shape)
    h *= np.uint32(0x9E3779B1)
    h += np.uint32(seed)
    for bits, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        h ^= h >> np.uint32(bits)
        h *= np.uint32(factor)
    indices = (h >> np.uint32(1)).astype(np.uint64) * np.uint64(n_hashed) >> np.uint64(31)
    return indices.astype(np.int64), (h & np.uint32(1)).astype(bool)
