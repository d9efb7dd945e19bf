"""Orthogonal random features: the frequencies of a block are at right angles to each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.features.base import RandomFeatures
from fastfood_np.features.spectra import Spectrum
from fastfood_np.transforms.factors import padded_size
from fastfood_np.transforms.orthogonal import draw_haar, draw_sorf, sorf
from fastfood_np.validation import Array, check_choice

METHODS = ("orf", "sorf")


class OrthogonalFeatures(RandomFeatures):
    """Features with orthogonal frequencies, dense (ORF) or structured (SORF).

    Yu et al., "Orthogonal Random Features" (NIPS 2016). W = S Q / sigma, block by block: Q is a
    random orthogonal matrix, S holds the lengths that the kernel's frequencies have. The estimate
    of the kernel varies less than with independent frequencies.

    Parameters
    ----------
    n_components : int, default=1024
        Number of features.
    method : {"orf", "sorf"}, default="orf"
        "orf": Q is uniform among orthogonal matrices of size d (equation 4 there); unbiased; a
        dense product. "sorf": Q = H D1 H D2 H D3 of size d_pad, the next power of two, with random
        signs D (equation 5); O(n log d) for a row. It is biased, badly where d is below some ten:
        directions are not quite uniform, and for the Gaussian and arc-cosine kernels all lengths
        are the same, sqrt(d_pad), or (d_pad (d_pad + 2))^(1/4) for order 2. (At d = 10, bench/
        bench_kernel_approximation.py has the error of the others fall past SORF's.)
    kernel : {"gaussian", "matern", "ball-sum", "arc-cosine"}, default="gaussian"
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
        With "orf": the rows of W.
    signs_, lengths_ : ndarrays of shape (blocks, 3, d_pad) and (frequencies,)
        With "sorf": D1, D2 and D3 (divided by the length scales), and S / sigma.
    phase_ : ndarray of shape (n_components,) or None
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    See Also
    --------
    FastfoodFeatures, RandomFourierFeatures

    Examples
    --------
    >>> import numpy as np
    >>> from fastfood_np.features import OrthogonalFeatures
    >>> X = np.random.default_rng(0).random((100, 16))
    >>> maps = OrthogonalFeatures(4096, random_state=0).fit(X)
    >>> Z = maps.transform(X)
    >>> bool(np.abs(Z @ Z.T - maps.exact_kernel(X)).max() < 0.06)
    True
    """

    def __init__(
        self,
        n_components: int = 1024,
        *,
        method: str = "orf",
        kernel: str = "gaussian",
        gamma: float | str = "scale",
        sigma: float | None = None,
        length_scales: Any = None,
        nu: float = 1.5,
        order: int = 1,
        degree: int = 2,
        random_phase: bool = False,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            n_components,
            kernel=kernel,
            gamma=gamma,
            sigma=sigma,
            length_scales=length_scales,
            nu=nu,
            order=order,
            degree=degree,
            random_phase=random_phase,
            random_state=random_state,
        )
        self.method = method

    def _frequencies_dimension(self, d: int) -> int:
        return d if check_choice(self.method, "method", METHODS) == "orf" else padded_size(d)

    def _draw(
        self, d: int, count: int, kernel: Spectrum, scales: Array, rng: Any, dtype: Any
    ) -> None:
        self._structured = self.method == "sorf"
        if self._structured:
            signs = draw_sorf(d, count, rng)
            lengths = kernel.sorf_radii(rng, count, self._dimension) / self.sigma_
            signs[:, 2, :d] /= scales  # D3 is what x meets first
            self.signs_, self.lengths_ = signs.astype(dtype), lengths.astype(dtype)
        else:
            Q = draw_haar(d, count, rng)
            lengths = kernel.radii(rng, count, d) / self.sigma_
            self.frequencies_ = (lengths[:, None] * Q / scales).astype(dtype)

    def _project(self, x: Array, v: Array) -> None:
        if self._structured:
            signs, lengths = (a.astype(x.dtype, copy=False) for a in (self.signs_, self.lengths_))
            sorf(x, signs, lengths, v)
        else:
            W = self.frequencies_.astype(x.dtype, copy=False)
            np.matmul(x, W.T, out=v)
