"""Random Fourier features: independent frequencies, the dense baseline."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.features.base import RandomFeatures
from fastfood_np.features.spectra import NAMES, Spectrum
from fastfood_np.validation import Array


class RandomFourierFeatures(RandomFeatures):
    """Features with independent frequencies and a dense product: "random kitchen sinks".

    Rahimi & Recht, "Random Features for Large-Scale Kernel Machines" (NIPS 2007): what Fastfood is
    measured against, and the only map for the Laplacian kernel, whose frequencies have no random
    direction. O(n d) memory, and time for a row.

    Parameters
    ----------
    n_components : int, default=1024
        Number of features.
    kernel : {"gaussian", "matern", "ball-sum", "arc-cosine", "laplacian"}, default="gaussian"
        "laplacian" is exp(-|x - y|_1 / sigma), with gamma = 1 / sigma as in scikit-learn's
        laplacian_kernel, and gamma="scale" 1 / (d * X.std()).
    gamma : float, "scale" or "median", default="scale"
    sigma : float, optional
    length_scales : array-like of shape (d,), optional
    nu : {0.5, 1.5, 2.5}, default=1.5
    order : {0, 1, 2}, default=1
    degree : int, default=2
    random_phase : bool, default=False
    random_state : int, Generator, RandomState or None, default=None
        These are as in `FastfoodFeatures`.

    Attributes
    ----------
    sigma_ : float
        The bandwidth used.
    frequencies_ : ndarray of shape (frequencies, d)
        The rows w of cos <w, x>.
    phase_ : ndarray of shape (n_components,) or None
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    See Also
    --------
    FastfoodFeatures, OrthogonalFeatures
    sklearn.kernel_approximation.RBFSampler : the Gaussian kernel with random phases.

    Examples
    --------
    >>> import numpy as np
    >>> from fastfood_np.features import RandomFourierFeatures
    >>> X = np.random.default_rng(0).random((100, 16))
    >>> maps = RandomFourierFeatures(4096, kernel="laplacian", random_state=0).fit(X)
    >>> Z = maps.transform(X)
    >>> bool(np.abs(Z @ Z.T - maps.exact_kernel(X)).max() < 0.08)
    True
    """

    _kernels = NAMES

    def _draw(
        self, d: int, count: int, kernel: Spectrum, scales: Array, rng: Any, dtype: Any
    ) -> None:
        W = kernel.frequencies(rng, count, d)
        self.frequencies_ = (W / (scales * self.sigma_)).astype(dtype)

    def _project(self, x: Array, v: Array) -> None:
        W = self.frequencies_.astype(x.dtype, copy=False)
        np.matmul(x, W.T, out=v)
