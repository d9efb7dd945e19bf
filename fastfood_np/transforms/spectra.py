"""Products with circulant matrices by way of spectra: raw arrays, of which nothing is checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np import backends
from fastfood_np.validation import Array

# Fewer numbers than these are transformed faster by one thread.
FFT_WORKERS_MIN_ELEMENTS = 1 << 18


def fft_threads(elements: int) -> int:
    """Return how many threads transform this many numbers fastest."""
    return backends.select().teams(elements) if elements >= FFT_WORKERS_MIN_ELEMENTS else 1


def spectra(x: Array, signs: Array | None, threads: int = 1) -> Array:
    """Return FFT(D x) for x (m, d), of shape (m, blocks, d // 2 + 1); one block without signs."""
    return rfft(x[:, None] if signs is None else x[:, None] * signs, threads)


def output_spectra(dy: Array, shape: tuple[int, int], threads: int = 1) -> Array:
    """Return the FFT of the blocks (m, *shape) of dy (m, n_out), which zeros fill up."""
    m, n_out = dy.shape
    size = shape[0] * shape[1]
    if n_out < size:
        dy = np.concatenate([dy, np.zeros((m, size - n_out), dy.dtype)], axis=1)
    return rfft(dy.reshape(m, *shape), threads)


def project(x_spectra: Array, r: Array, threads: int = 1) -> Array:
    """Return R D x, of shape (m, blocks, d), from FFT(D x)."""
    return irfft(x_spectra * rfft(r), r.shape[1], threads)


def project_adjoint(dy_spectra: Array, r: Array, signs: Array | None, threads: int = 1) -> Array:
    """Return the sum of D R^T dy over the blocks, of shape (m, d); `dy_spectra` is overwritten.

    dL/dx = D IFFT(FFT(dy) o conj FFT(r)).
    """
    dy_spectra *= rfft(r).conj()
    if signs is None:  # the sum over blocks first: then there is one transform to go back by
        return irfft(dy_spectra.sum(axis=1), r.shape[1], threads)
    dx = irfft(dy_spectra, r.shape[1], threads)
    dx *= signs
    return dx[:, 0] if len(r) == 1 else dx.sum(axis=1)


def gradient_of_r(dy_spectra: Array, x_spectra: Array, d: int) -> Array:
    """Return dL/dr, of shape (blocks, d), summed over the batch.

    dL/dr = IFFT(FFT(dy) o conj FFT(D x)); the sum is taken before the one transform back.
    """
    return irfft(np.einsum("mbf,mbf->bf", dy_spectra, x_spectra.conj()), d, 1)


def rfft(x: Array, threads: int = 1) -> Array:
    """Return scipy.fft's rfft along the last axis, also of no rows."""
    from scipy import fft  # here, because its import takes a while

    return fft.rfft(x, workers=threads) if x.size else np.empty(_half(x.shape), _complex(x.dtype))


def irfft(spectrum: Array, d: int, threads: int = 1) -> Array:
    """Return scipy.fft's irfft along the last axis, d numbers; `spectrum` is overwritten."""
    from scipy import fft

    if not spectrum.size:
        return np.empty((*spectrum.shape[:-1], d), spectrum.real.dtype)
    return fft.irfft(spectrum, d, overwrite_x=True, workers=threads)


def _half(shape: tuple[int, ...]) -> tuple[int, ...]:
    return *shape[:-1], shape[-1] // 2 + 1


def _complex(dtype: np.dtype[Any]) -> type[np.complexfloating[Any, Any]]:
    return np.complex64 if dtype == np.float32 else np.complex128
