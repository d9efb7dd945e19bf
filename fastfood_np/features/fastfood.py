"""Fastfood features: S H G Pi H B in place of a dense random matrix."""

from __future__ import annotations

import math
from typing import Any

from fastfood_np import backends
from fastfood_np.features.base import RandomFeatures
from fastfood_np.features.spectra import Spectrum
from fastfood_np.transforms.factors import FastfoodFactors, draw_fastfood, padded_size
from fastfood_np.validation import Array


class FastfoodFeatures(RandomFeatures):
    """Fastfood features of a kernel, O(n log d) time and O(n) memory for n of them.

    Le, Sarlos & Smola, "Fastfood" (arXiv 1408.3060). Inner products of features are unbiased
    estimates of the kernel. With V = S H G Pi H B / (sigma sqrt(d_pad)), stacked to as many rows as
    are needed, the n features of x are

    - sqrt(2/n) (cos Vx, sin Vx) for the kernels of x - y; where n is odd, a last feature is
      sqrt(2/n) cos(<w, x> + b) with w drawn from the same distribution and b from [0, 2 pi);
    - sqrt(2/n) cos(Vx + b) for the same kernels with `random_phase`: twice as many rows of V and
      a larger variance, as in scikit-learn's RBFSampler;
    - sqrt(2/n) step(Vx), sqrt(2/n) max(0, Vx) or its square's sqrt(2/n) max(0, Vx)^2 for the
      arc-cosine kernels of order 0, 1, 2.

    Parameters
    ----------
    n_components : int, default=1024
        Number of features: exactly so many, whatever d is.
    kernel : {"gaussian", "matern", "ball-sum", "arc-cosine"}, default="gaussian"
        The functions of these names in `fastfood_np.kernels`; scikit-learn's "rbf" is "gaussian",
        with the same gamma. Data for "arc-cosine" is best scaled first: it has no bandwidth.
        "ball-sum" is that of dimension
        d_pad, the smallest power of two that is at least d.
    gamma : float, "scale" or "median", default="scale"
        1 / (2 sigma^2). "scale" is 1 / (d * X.var()) as elsewhere in scikit-learn, "median" makes
        sigma the median distance between rows of X (1,000 of them where there are more). Arc-cosine
        kernels have no bandwidth and ignore it.
    sigma : float, optional
        The bandwidth itself, instead of gamma.
    length_scales : array-like of shape (d,), optional
        What each column of X is divided by first ("automatic relevance determination"); sigma and
        gamma refer to the quotients. They become part of B, and cost nothing.
    nu : {0.5, 1.5, 2.5}, default=1.5
        Smoothness of "matern"; ignored by all others.
    order : {0, 1, 2}, default=1
        Order of "arc-cosine"; ignored by all others.
    degree : int, default=2
        Number of balls of "ball-sum"; ignored by all others.
    random_phase : bool, default=False
        One cosine with a random phase for each row of V, not cosine and sine; ignored by
        "arc-cosine".
    random_state : int, Generator, RandomState or None, default=None
        What the factors are drawn with. With an int, they are those that `draw_fastfood` draws
        (for the Gaussian kernel). None uses NumPy's global state, as scikit-learn does.

    Attributes
    ----------
    sigma_ : float
        The bandwidth used.
    factors_ : FastfoodFactors
        S, G, B (divided by the length scales) and perm, each of shape (blocks, d_pad).
    phase_ : ndarray of shape (n_components,) or None
        The random phases.
    n_features_in_ : int
        d, the number of columns seen by `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen by `fit`, where they have some.

    See Also
    --------
    RandomFourierFeatures, OrthogonalFeatures
    fastfood_np.layers.Fastfood : the same map with S, G, B trained by backpropagation.

    Notes
    -----
    float32 input gives float32 features; numbers other than float32 and float64 become float64.
    Sparse rows are made dense, some at a time: the transform has no use for zeros. Kernels run on
    Numba's threads when called from the main thread, and on one thread in joblib's and Dask's.
    The features of some rows do not depend (but for rounding) on which others are transformed with
    them, so large sets can be taken in batches.

    Examples
    --------
    >>> import numpy as np
    >>> from fastfood_np.features import FastfoodFeatures
    >>> X = np.random.default_rng(0).random((100, 16))
    >>> maps = FastfoodFeatures(4096, random_state=0).fit(X)
    >>> Z = maps.transform(X)
    >>> bool(np.abs(Z @ Z.T - maps.exact_kernel(X)).max() < 0.1)
    True

    >>> from sklearn.linear_model import RidgeClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> labels = (X**2).sum(axis=1) > 16 / 3
    >>> model = make_pipeline(FastfoodFeatures(256, random_state=0), RidgeClassifier(1e-3))
    >>> bool(model.fit(X, labels).score(X, labels) > 0.95)
    True
    """

    def _frequencies_dimension(self, d: int) -> int:
        return padded_size(d)

    def _draw(
        self, d: int, count: int, kernel: Spectrum, scales: Array, rng: Any, dtype: Any
    ) -> None:
        S, G, B, perm = draw_fastfood(d, count, rng, radii=kernel.radii)
        B[:, :d] /= scales
        self.factors_ = FastfoodFactors(S.astype(dtype), G.astype(dtype), B.astype(dtype), perm)

    def _fill(self, x: Array, phase: Array | None, amplitude: float, y: Array) -> None:
        S, G, B, perm = self.factors_
        backends.select().fastfood_forward(
            x,
            *(D.astype(x.dtype, copy=False) for D in (S, G, B)),
            perm,
            1 / (self.sigma_ * math.sqrt(self._dimension)),
            None,
            1.0,
            self._nonlinearity,
            phase,
            amplitude,
            y,
        )
