"""The bandwidth of a kernel: from gamma or sigma, as numbers or by a rule from the data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import sparse

from fastfood_np.features.spectra import Spectrum
from fastfood_np.validation import Array, check_real

RULES = ("scale", "median")
MEDIAN_ROWS = 1000


def bandwidth(gamma: Any, sigma: Any, X: Any, spectrum: Spectrum) -> float:
    """Return sigma for the points X, dense or sparse (m, d).

    "scale" is scikit-learn's rule, gamma = 1 / (d var), for the variance of all entries of X; of
    the Laplacian, whose distances are sums and not roots of sums, 1 / (d sqrt(var)). "median" is
    the median distance of at most `MEDIAN_ROWS` random rows, which depend on m alone. Where all
    entries (rows) are the same, gamma is 1.

    Raises
    ------
    TypeError, ValueError
        gamma or sigma is none of what is allowed, or both are given, or the rule gives no finite
        number.
    """
    if sigma is not None:
        if not (isinstance(gamma, str) and gamma == "scale"):
            raise ValueError(f"only one of gamma and sigma may be given, got {gamma!r}, {sigma!r}")
        return check_real(sigma, "sigma", above=0.0)
    if not isinstance(gamma, str):
        if gamma is None:
            raise TypeError("gamma must be 'scale', 'median' or a number, got None")
        return spectrum.sigma_of(check_real(gamma, "gamma", above=0.0))
    if gamma not in RULES:
        raise ValueError(f"gamma must be 'scale', 'median' or a number, got {gamma!r}")
    with np.errstate(over="ignore", invalid="ignore"):
        spread = _median_distance(X, spectrum.metric) if gamma == "median" else _variance(X)
    if not math.isfinite(spread):
        raise ValueError(f"gamma must be a number, got {gamma!r} where X is too large to square")
    if not spread:
        return spectrum.sigma_of(1.0)
    if gamma == "median":
        return spread
    if spectrum.metric == "cityblock":
        spread = math.sqrt(spread)
    return spectrum.sigma_of(1 / spread / X.shape[1])


def _variance(X: Any) -> float:
    """Return the variance of all entries; exactly 0 where they are the same."""
    if X.max() == X.min():
        return 0.0
    if not sparse.issparse(X):
        return float(np.var(X, dtype=np.float64))
    X = X.astype(np.float64)
    X.sum_duplicates()
    missing = X.shape[0] * X.shape[1] - X.nnz
    mean = X.mean()
    squares = ((X.data - mean) ** 2).sum() + missing * mean**2
    return float(squares / (X.nnz + missing))


def _median_distance(X: Any, metric: str) -> float:
    """Return the median of the distances that are not zero; 0.0 if there are none."""
    from scipy.spatial.distance import pdist  # here, because its import takes half a second

    m = X.shape[0]
    some = np.random.default_rng(0).permutation(m)[:MEDIAN_ROWS]
    rows = X[np.sort(some)] if m > MEDIAN_ROWS else X
    distances: Array = pdist(rows.toarray() if sparse.issparse(rows) else rows, metric)
    positive = distances[distances > 0]
    return float(np.median(positive)) if positive.size else 0.0
