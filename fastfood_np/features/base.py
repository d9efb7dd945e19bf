"""What all feature maps share: parameters, bandwidth, drawing, closing, dense and sparse input."""

from __future__ import annotations

import copy
import math
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from fastfood_np import backends
from fastfood_np.features.bandwidth import bandwidth
from fastfood_np.features.random_state import generator
from fastfood_np.features.spectra import Spectrum, spectrum
from fastfood_np.kernels.pairs import row_blocks
from fastfood_np.validation import Array, check_bool, check_int

RADIAL = ("gaussian", "matern", "ball-sum", "arc-cosine")
DTYPES = (np.float64, np.float32)  # what other numbers become stands first


class RandomFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of the feature maps: a random linear map, and cos and sin, or a step or ReLU, of it.

    A subclass draws the linear map (`_draw`) and applies it, alone (`_project`) or with all that
    follows (`_fill`).
    """

    _kernels: tuple[str, ...] = RADIAL

    def __init__(
        self,
        n_components: int = 1024,
        *,
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
        self.n_components = n_components
        self.kernel = kernel
        self.gamma = gamma
        self.sigma = sigma
        self.length_scales = length_scales
        self.nu = nu
        self.order = order
        self.degree = degree
        self.random_phase = random_phase
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Draw the map for points like those of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, d)
            Only their number of columns matters, and to the bandwidth their values.
        y : Ignored

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            X is no finite matrix, or a parameter is none of what is allowed. The object is left as
            it was then.
        """
        fitted = copy.copy(self)
        fitted._fit(X)
        self.__dict__ = fitted.__dict__
        return self

    def _fit(self, X: Any) -> None:
        for name in ("factors_", "frequencies_", "signs_", "lengths_"):  # of an earlier fit
            self.__dict__.pop(name, None)
        X = validate_data(self, X, accept_sparse="csr", dtype=DTYPES)
        d, n = X.shape[1], check_int(self.n_components, "n_components", minimum=1)
        kernel = spectrum(self.get_params(deep=False), self._kernels)
        random_phase = check_bool(self.random_phase, "random_phase")
        scales = _checked_scales(self.length_scales, d)
        self._dimension = self._frequencies_dimension(d)
        self.sigma_ = 1.0
        if kernel.has_bandwidth:
            self.sigma_ = bandwidth(self.gamma, self.sigma, _divided(X, scales), kernel)
            smallest = 1 / float(np.finfo(X.dtype).max)
            if self.sigma_ < smallest:
                raise ValueError(f"sigma must be at least {smallest:.2g}, got {self.sigma_:.2g}")
        rng = generator(self.random_state)

        trigonometric = kernel.nonlinearity == "cos_sin"
        pairs = trigonometric and not random_phase
        self._nonlinearity = "cos" if trigonometric and random_phase else kernel.nonlinearity
        self._kernel, self._scales, self._n_features_out = kernel, scales, n
        self._count = n // 2 if pairs else n  # of frequencies
        self._draw(d, max(1, self._count), kernel, scales, rng, X.dtype)
        self.phase_ = None
        if self._nonlinearity == "cos":
            self.phase_ = rng.uniform(0, 2 * np.pi, n).astype(X.dtype)
        self._closing = None
        if pairs and n % 2:
            w = kernel.frequencies(rng, 1, self._dimension)[0, :d] / (scales * self.sigma_)
            self._closing = w, rng.uniform(0, 2 * np.pi)

    def transform(self, X: Any) -> Any:
        """Return the features of each row of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, d)
            float32 and float64 are kept, other numbers become float64. Sparse rows are made dense
            some at a time.

        Returns
        -------
        ndarray of shape (m, n_components)
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=DTYPES, reset=False)
        y = np.empty((X.shape[0], self._n_features_out), X.dtype)
        if sparse.issparse(X):
            for rows in row_blocks(X.shape[0], 8 * X.shape[1]):
                self._transform(X[rows].toarray(), y[rows])
        else:
            self._transform(np.require(X, requirements=("C", "A")), y)
        return y

    def exact_kernel(self, X: Any, Y: Any = None) -> Array:
        """Return the kernel that inner products of features stand for.

        Parameters
        ----------
        X : array-like of shape (m, d)
        Y : array-like of shape (p, d), optional
            X by default.

        Returns
        -------
        ndarray of shape (m, p)
            With the bandwidth and the length scales of `fit`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=DTYPES, reset=False)
        if Y is not None:
            Y = _divided(validate_data(self, Y, dtype=X.dtype, reset=False), self._scales)
        return self._kernel.exact(_divided(X, self._scales), Y, self.sigma_, self._dimension)

    def _transform(self, x: Array, y: Array) -> None:
        amplitude = math.sqrt(2 / y.shape[1])
        if self._count:
            phase = None if self.phase_ is None else self.phase_.astype(x.dtype, copy=False)
            self._fill(x, phase, amplitude, y)
        if self._closing is not None:
            w, b = self._closing
            angles = x @ w.astype(x.dtype) + x.dtype.type(b)
            np.multiply(np.cos(angles), x.dtype.type(amplitude), out=y[:, -1])

    def _frequencies_dimension(self, d: int) -> int:
        """Return in how many dimensions frequencies are drawn, of which x has the first d."""
        return d

    def _draw(
        self, d: int, count: int, kernel: Spectrum, scales: Array, rng: Any, dtype: Any
    ) -> None:
        """Draw `count` frequencies and keep them, divided by sigma and by `scales` (d,)."""
        raise NotImplementedError

    def _project(self, x: Array, v: Array) -> None:
        """Fill v (m, count) with the inner products of the rows of x and the frequencies."""
        raise NotImplementedError

    def _fill(self, x: Array, phase: Array | None, amplitude: float, y: Array) -> None:
        """Fill y, but for a last column that closes an odd number, with the features of x."""
        self._project(x, y[:, : self._count])
        backends.select().apply_nonlinearity(self._nonlinearity, phase, amplitude, y)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _checked_scales(scales: Any, d: int) -> Array:
    if scales is None:
        return np.ones(d)
    try:
        checked = np.asarray(scales)
    except ValueError:  # rows of several lengths
        checked = np.empty(0, object)
    if checked.dtype.kind not in "biuf":
        raise TypeError(f"length_scales must hold real numbers, got {scales!r}")
    checked = checked.astype(np.float64)
    if checked.shape != (d,):
        raise ValueError(f"length_scales must have shape ({d},), got {checked.shape}")
    if not (np.isfinite(checked).all() and (checked > 0).all()):
        raise ValueError(f"length_scales must be finite and greater than 0, got {scales!r}")
    return checked


def _divided(X: Any, scales: Array) -> Any:
    """Return X with its columns divided, in its dtype."""
    if (scales == 1).all():
        return X
    factors = (1 / scales).astype(X.dtype)
    return X.multiply(factors).tocsr() if sparse.issparse(X) else X * factors
