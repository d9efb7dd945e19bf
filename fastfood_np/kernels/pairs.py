"""What the exact kernels share: the check of a pair of point sets, and blocks of bounded size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy.typing as npt

from fastfood_np.validation import Array, check_points

BLOCK_BYTES = 64 << 20


def check_pair(X: npt.ArrayLike, Y: npt.ArrayLike | None) -> tuple[Array, Array]:
    """Return X (m, d) and Y (p, d) as finite float arrays of one dtype; Y None stands for X."""
    X = check_points(X, "X")
    if Y is None:
        return X, X
    Y = check_points(Y, "Y")
    if Y.dtype != X.dtype:
        raise TypeError(
            f"Y must have X's dtype {X.dtype}, got {Y.dtype}; convert one of them with astype"
        )
    if Y.shape[1] != X.shape[1]:
        raise ValueError(f"Y must have X's d = {X.shape[1]} columns, got shape {Y.shape}")
    return X, Y


def row_blocks(m: int, bytes_per_row: int) -> Iterator[slice]:
    """Cut m rows into slices whose scratch stays within `BLOCK_BYTES`, one row at the least."""
    rows = max(1, BLOCK_BYTES // bytes_per_row)
    for start in range(0, m, rows):
        yield slice(start, min(start + rows, m))


def distances(X: Array, Y: Array, metric: str = "euclidean") -> Array:
    """Return the distance of each row of X to each row of Y, float64 (m, p)."""
    from scipy.spatial.distance import cdist  # here, because its import takes half a second

    result: Array = cdist(X, Y, metric)
    return result
