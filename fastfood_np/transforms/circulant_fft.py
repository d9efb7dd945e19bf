"""Products with circulant matrices by way of spectra: raw arrays, of which nothing is checked."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache
from typing import Any

import numpy as np

from fastfood_np import backends
from fastfood_np.validation import Array

# Fewer numbers than these are transformed faster by one thread.
THREADS_MIN_ELEMENTS = 1 << 18

# Rows are taken so many bytes at a time, so that what one step writes the next finds in the cache.
CHUNK_BYTES = 1 << 19
LEAST_ROWS = 16  # the FFT takes several rows at once

# Lengths with a larger prime factor take an FFT of four times their length; a linear convolution,
# which needs twice the length and may have a convenient one, is then two times faster.
LARGEST_FACTOR = 100


def fft_threads(elements: int) -> int:
    """Return how many threads multiply this many numbers fastest."""
    return backends.select().teams(elements) if elements >= THREADS_MIN_ELEMENTS else 1


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
    r_spectra = rfft(_columns(r, length))

    def fill(rows: slice) -> None:
        X = rfft(x[rows, None] if signs is None else x[rows, None] * signs, length)
        if x_spectra is not None:
            x_spectra[rows] = X
        products = irfft(X * r_spectra, length)[:, :, :d]
        y[rows] = products.reshape(len(X), r.size)[:, : y.shape[1]]

    in_chunks(fill, len(x), r, threads)


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
    if dr is None and dx is None:
        return
    d, length = r.shape[1], fft_length(r.shape[1])
    r_conjugates = rfft(_columns(r, length)).conj()
    sums = np.zeros(r_conjugates.shape, np.complex128)  # of chunks, of which there may be many

    def fill(rows: slice) -> Any:
        G, part = rfft(_filled_up(dy[rows], r), length), 0
        if dr is not None and x_spectra is not None:
            part = np.einsum("mbf,mbf->bf", G, x_spectra[rows].conj())
        if dx is None:
            return part
        G *= r_conjugates
        if signs is None:  # the sum over blocks first: then there is one transform to go back by
            dx[rows] = irfft(G.sum(axis=1), length)[:, :d]
        else:
            back = irfft(G, length)[:, :, :d]
            back *= signs
            np.sum(back, axis=1, out=dx[rows])
        return part

    for part in in_chunks(fill, len(dy), r, threads):
        sums += part
    if dr is not None:
        turned = irfft(sums, length)
        dr[...] = turned[:, :d]
        if length > d:
            dr[:, 1:] += turned[:, 1 - d :]


def in_chunks(work: Callable[[slice], Any], m: int, r: Array, threads: int) -> list[Any]:
    """Return ``work(rows)`` of every chunk of rows, in order, done by so many threads.

    How many rows a chunk has does not depend on the threads. (An FFT lets go of the GIL.)
    """
    step = max(LEAST_ROWS, CHUNK_BYTES // r.nbytes)
    chunks = [slice(first, first + step) for first in range(0, m, step)]
    if min(threads, len(chunks)) <= 1:
        return [work(rows) for rows in chunks]
    contexts = [copy_context() for _ in chunks]  # np.errstate is part of it
    with ThreadPoolExecutor(min(threads, len(chunks))) as pool:
        return list(pool.map(lambda context, rows: context.run(work, rows), contexts, chunks))


def rfft(x: Array, length: int | None = None) -> Array:
    """Return scipy.fft's rfft along the last axis, also of no rows."""
    from scipy import fft  # here, because its import takes a while

    if not x.size:
        half = (x.shape[-1] if length is None else length) // 2 + 1
        return np.empty((*x.shape[:-1], half), complex_dtype(x.dtype))
    return fft.rfft(x, length)


def irfft(spectrum: Array, d: int) -> Array:
    """Return scipy.fft's irfft along the last axis, d numbers; `spectrum` is overwritten."""
    from scipy import fft

    if not spectrum.size:
        return np.empty((*spectrum.shape[:-1], d), spectrum.real.dtype)
    return fft.irfft(spectrum, d, overwrite_x=True)


def complex_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return complex64 for float32, else complex128."""
    return np.dtype(np.complex64 if dtype == np.float32 else np.complex128)


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
