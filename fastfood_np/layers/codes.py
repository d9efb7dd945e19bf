"""Codes of a product-quantised matrix: how they are kept, two a byte where sixteen are enough."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.validation import Array

PACKED = 16  # up to so many centroids, four bits hold a code


def pack_codes(codes: Array, n_centroids: int) -> Array:
    """Return codes (n_out, n_subspaces) as layers keep them, subspace by subspace.

    With at most 16 centroids (n_subspaces, ceil(n_out / 2)): byte j of a subspace holds the code of
    output 2j in its low four bits and that of 2j + 1, or zero, in its high ones. With more
    (n_subspaces, n_out).
    """
    kept = np.ascontiguousarray(codes.T, np.uint8)
    if n_centroids > PACKED:
        return kept
    even, odd = kept[:, ::2], kept[:, 1::2]
    packed = even.copy()
    packed[:, : odd.shape[1]] |= odd << 4
    return packed


def unpack_codes(kept: Array, n_centroids: int, n_out: int) -> Array:
    """Return codes (n_out, n_subspaces) from how layers keep them: `pack_codes` undone."""
    if n_centroids > PACKED:
        return np.ascontiguousarray(kept.T)
    pairs = np.stack([kept & 15, kept >> 4], axis=2).reshape(len(kept), -1)
    return np.ascontiguousarray(pairs[:, :n_out].T)


def check_codes(codes: Any, name: str, shape: tuple[int, ...] | None, n_centroids: int) -> Array:
    """Return `codes` if it is an array of bytes below n_centroids, and of that shape if given."""
    if not isinstance(codes, np.ndarray) or codes.dtype != np.uint8:
        kind = codes.dtype if isinstance(codes, np.ndarray) else type(codes).__name__
        raise TypeError(f"{name} must be an array of uint8, got {kind}")
    if shape is not None and codes.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {codes.shape}")
    if codes.size and codes.max() >= n_centroids:
        raise ValueError(f"{name} must lie in 0..{n_centroids - 1}, got {codes.max()}")
    return codes


def check_packed_codes(kept: Any, name: str, n_centroids: int) -> None:
    """Raise unless `kept` holds codes below n_centroids: from a file, before kernels index by it.

    (The four bits after the last of an odd number of outputs are nobody's, but are held to it too.)

    Raises
    ------
    TypeError
        It is no array of uint8.
    ValueError
        A code in it is n_centroids or more.
    """
    check_codes(kept, name, None, 256)  # the dtype
    codes = kept if n_centroids > PACKED else np.stack([kept & 15, kept >> 4])
    check_codes(codes, name, None, n_centroids)
