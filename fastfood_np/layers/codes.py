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


def check_codes(codes: Any, name: str, shape: tuple[int, int], n_centroids: int) -> Array:
    """Return `codes` if it is an array of bytes (n_out, n_subspaces) of codes below n_centroids."""
    if not isinstance(codes, np.ndarray) or codes.dtype != np.uint8:
        kind = codes.dtype if isinstance(codes, np.ndarray) else type(codes).__name__
        raise TypeError(f"{name} must be an array of uint8, got {kind}")
    if codes.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {codes.shape}")
    if codes.size and codes.max() >= n_centroids:
        raise ValueError(f"{name} must lie in 0..{n_centroids - 1}, got {codes.max()}")
    return codes


def check_kept_codes(kept: Any, name: str, n_out: int, n_subspaces: int, n_centroids: int) -> Array:
    """Return `kept` if it is what `pack_codes` gives: from a file, before kernels index by it.

    Raises
    ------
    TypeError
        It is no array of uint8.
    ValueError
        Its shape is another, or a code in it is n_centroids or more, or the four bits after the
        last of an odd number of outputs are not zero.
    """
    width = n_out if n_centroids > PACKED else -(-n_out // 2)
    check_codes(kept, name, (n_subspaces, width), 256)
    outputs = n_out if n_centroids > PACKED else 2 * width
    codes = unpack_codes(kept, n_centroids, outputs)
    check_codes(codes, name, (outputs, n_subspaces), n_centroids)
    if codes[n_out:].any():
        raise ValueError(f"{name} must hold zeros after the last output, got {codes[n_out:].max()}")
    return np.asarray(kept)
