"""Products with circulant matrices by way of spectra: raw arrays, of which nothing is checked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from fastfood_np import backends
from fastfood_np.validation import Array

# Fewer numbers than these are transformed faster by one thread.
FFT_WORKERS_MIN_ELEMENTS = 1 << 18

# Rows are taken so many bytes at a time, so that what one step writes the next finds in the cache.
CHUNK_BYTES = 1 << 20
LEAST_ROWS = 16  # the FFT takes several rows at once

# Lengths with a larger prime factor take an FFT of four times their length; a linear convolution,
# which needs twice the length and may have a convenient one, is then two times faster.
LARGEST_FACTOR = 100


def fft_threads(elements: int) -> int:
    """Return how many threads transform this many numbers fastest."""
    return backends.select().teams(elements) if elements >= FFT_WORKERS_MIN_ELEMENTS else 1


@lru_cache(maxsize=1024)
def fft_length(d: int) -> int:
    """Return the length of the FFTs by which circulant matrices of size d are multiplied.

    >>> fft_length(800), fft_length(1009)
    (800, 2025)
    """
    rest, factor = d, 2
    while factor * factor <= rest:
        if rest % factor == 0:
            rest //= factor
        else:
            factor += 1
    if rest <= LARGEST_FACTOR:
        return d
    from scipy.fft import next_fast_len

    return int(next_fast_len(2 * d - 1, real=True))


def spectra_shape(m: int, r: Array, signs: Array | None) -> tuple[int, int, int]:
    """Return the shape of FFT(D x) of m inputs; without signs it is the same for all blocks."""
    blocks, d = r.shape
    return m, 1 if signs is None else blocks, fft_length(d) // 2 + 1


def circulant_forward(
    x: Array,
    r: Array,
    signs: Array | None,
    y: Array,
    x_spectra: Array | None = None,
    threads: int = 1,
) -> None:
    """Fill y (m, n_out) with R D x for x (m, d), and x_spectra, unless it is None, with FFT(D x).

    r, and signs unless they are None, have shape (blocks, d); y takes the first n_out numbers of
    the blocks' results. R D x = IFFT(FFT(r) o FFT(D x)).
    """
    d, length = r.shape[1], fft_length(r.shape[1])
    R = rfft(_columns(r, length))
    for rows in _chunks(len(x), r):
        part = x[rows, None] if signs is None else x[rows, None] * signs
        X = rfft(part, length, threads)
        if x_spectra is not None:
            x_spectra[rows] = X
        products = irfft(X * R, length, threads)[:, :, :d]
        y[rows] = products.reshape(len(X), r.size)[:, : y.shape[1]]


def circulant_backward(
    dy: Array,
    x_spectra: Array | None,
    r: Array,
    signs: Array | None,
    dr: Array | None,
    dx: Array | None,
    threads: int = 1,
) -> None:
    """Fill dr (blocks, d) and dx (m, d), unless they are None, from dy (m, n_out).

    dL/dr = IFFT(FFT(dy) o conj FFT(D x)), summed over the batch before the transform back; and
    dL/dx = D IFFT(FFT(dy) o conj FFT(r)), summed over the blocks, which is the adjoint D R^T dy.
    """
    d, length = r.shape[1], fft_length(r.shape[1])
    conj_R = rfft(_columns(r, length)).conj()
    sums = np.zeros_like(conj_R)
    for rows in _chunks(len(dy), r):
        G = rfft(_filled_up(dy[rows], r), length, threads)
        if dr is not None and x_spectra is not None:
            sums += np.einsum("mbf,mbf->bf", G, x_spectra[rows].conj())
        if dx is None:
            continue
        G *= conj_R
        if signs is None:  # the sum over blocks first: then there is one transform to go back by
            dx[rows] = irfft(G.sum(axis=1), length, threads)[:, :d]
        else:
            back = irfft(G, length, threads)[:, :, :d]
            back *= signs
            np.sum(back, axis=1, out=dx[rows])
    if dr is not None:
        turned = irfft(sums, length)
        dr[...] = turned[:, :d]
        if length > d:
            dr[:, 1:] += turned[:, 1 - d :]


def rfft(x: Array, length: int | None = None, threads: int = 1) -> Array:
    """Return scipy.fft's rfft along the last axis, also of no rows."""
    from scipy import fft  # here, because its import takes a while

    if not x.size:
        half = (x.shape[-1] if length is None else length) // 2 + 1
        return np.empty((*x.shape[:-1], half), complex_dtype(x.dtype))
    return fft.rfft(x, length, workers=threads)


def irfft(spectrum: Array, d: int, threads: int = 1) -> Array:
    """Return scipy.fft's irfft along the last axis, d numbers; `spectrum` is overwritten."""
    from scipy import fft

    if not spectrum.size:
        return np.empty((*spectrum.shape[:-1], d), spectrum.real.dtype)
    return fft.irfft(spectrum, d, overwrite_x=True, workers=threads)


def complex_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return complex64 for float32, else complex128."""
    return np.dtype(np.complex64 if dtype == np.float32 else np.complex128)


def _chunks(m: int, r: Array) -> Iterator[slice]:
    """Yield the rows to take at a time; how many does not depend on the number of threads."""
    step = max(LEAST_ROWS, CHUNK_BYTES // r.nbytes)
    yield from (slice(first, first + step) for first in range(0, m, step))


def _columns(r: Array, length: int) -> Array:
    """Return the first columns of circulant matrices of this size that hold R in their corner."""
    blocks, d = r.shape
    if length == d:
        return r
    columns = np.zeros((blocks, length), r.dtype)
    columns[:, :d] = r
    columns[:, length - d + 1 :] = r[:, 1:]
    return columns


def _filled_up(dy: Array, r: Array) -> Array:
    """Return dy (m, n_out) as blocks (m, *r.shape), zeros behind it."""
    m, n_out = dy.shape
    if n_out < r.size:
        dy = np.concatenate([dy, np.zeros((m, r.size - n_out), dy.dtype)], axis=1)
    return dy.reshape(m, *r.shape)
