"""k-means by scikit-learn, with results that depend on the points and the seed alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from fastfood_np.validation import Array

# k-means ends when the centroids move by less than this part of the variance (their moves squared
# and added). At scikit-learn's own 1e-4, further steps would still lower the error.
TOLERANCE = 1e-8


def find_centroids(
    groups: Iterable[Array], n_centroids: int, restarts: int, seeds: Iterable[int]
) -> Array:
    """Return centroids (number of groups, n_centroids, length) of groups of points (m, length).

    In the dtype of the points, which are finite. The best of so many `restarts` for each group and
    its seed. Where there are no more different points than centroids, each of them is a centroid,
    and the last one is repeated.

    Raises
    ------
    ImportError
        scikit-learn, the extra "sklearn", is missing.
    """
    try:
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning
    except ImportError as error:
        raise ImportError(
            "ProductQuantizer.fit needs scikit-learn: pip install 'fastfood_np[sklearn]'"
        ) from error
    found = []
    # Threads would add up their sums in no fixed order.
    with threadpool_limits(1), warnings.catch_warnings():
        # Points that differ by less than a rounding of their distances may share a centroid.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for points, seed in zip(groups, seeds, strict=True):
            options = {"n_init": restarts, "tol": TOLERANCE, "random_state": int(seed)}
            found.append(_centroids(points, KMeans(n_centroids, **options)))
    return np.stack(found)


def exponent(values: Array) -> int:
    """Return e such that all values lie below 2^e."""
    return int(np.frexp(np.abs(values).max())[1])


def scaled(values: Array, exponent: int) -> Array:
    """Return values / 2^exponent in float64, exactly: squares neither overflow nor vanish."""
    return np.ldexp(np.float64(values), -exponent)


def _centroids(points: Array, k_means: Any) -> Array:
    different = np.unique(points, axis=0)
    if len(different) <= k_means.n_clusters:
        return different[np.minimum(np.arange(k_means.n_clusters), len(different) - 1)]
    common = exponent(points)
    numbers = scaled(points, common)
    centroids = k_means.fit(numbers).cluster_centers_
    # A mean of rounded numbers may lie beyond all of them.
    centroids = centroids.clip(numbers.min(axis=0), numbers.max(axis=0))
    return np.ldexp(centroids, common).astype(points.dtype)
