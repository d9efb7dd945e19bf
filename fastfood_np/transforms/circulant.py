"""Circulant projections R D x, R circulant and D a diagonal of signs, by the FFT of any length.

Cheng et al., ICCV 2015. R = circ(r) has r as its first column and each further column turned down
by one: R_ij = r_((i - j) mod d). So R v is the circular convolution of r and v, a product of
spectra: R D x = IFFT(FFT(r) o FFT(D x)), in O(d log d) time and O(d) memory. FFTs are those of
scipy.fft, of real numbers, which are fast where d has small prime factors and O(d log d) for all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastfood_np import backends
from fastfood_np.transforms.arguments import check_out, check_workers, result_dtype
from fastfood_np.transforms.circulant_fft import circulant_backward, circulant_forward, fft_threads
from fastfood_np.validation import Array, check_int, check_rng


def draw_circulant(d_in: int, n_out: int, rng: Any = None) -> tuple[Array, Array]:
    """Draw r and the signs D of ceil(n_out / d_in) independent circulant blocks.

    r ~ N(0, 1 / d_in), so that the rows of R D have length 1 in the mean (our choice: the paper's
    is not known), and D_ii uniform in {-1, +1}. Each block is drawn in the order D, r, one after
    the other: the first blocks of a larger projection equal those of a smaller one.

    Parameters
    ----------
    d_in, n_out : int
        Length of one input and of one output.
    rng : None, int, SeedSequence or Generator

    Returns
    -------
    r, signs : ndarrays of shape (blocks, d_in); float64

    Examples
    --------
    >>> r, signs = draw_circulant(800, 1024, rng=0)
    >>> r.shape, signs.shape
    ((2, 800), (2, 800))
    """
    d_in, n_out = check_int(d_in, "d_in", minimum=1), check_int(n_out, "n_out", minimum=1)
    generator = check_rng(rng)
    shape = (-(-n_out // d_in), d_in)
    drawn_r, drawn_signs = np.empty(shape), np.empty(shape)
    for r, signs in zip(drawn_r, drawn_signs, strict=True):
        signs[:] = 2 * generator.integers(0, 2, d_in) - 1
        r[:] = generator.standard_normal(d_in) / np.sqrt(d_in)
    return drawn_r, drawn_signs


def circulant_transform(
    x: npt.ArrayLike,
    r: npt.ArrayLike,
    signs: npt.ArrayLike | None = None,
    *,
    n_out: int | None = None,
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Circulant projection R D x along the last axis, for several R and D one after the other.

    Parameters
    ----------
    x : array_like of shape (..., d)
        float32 and float64 are kept, bool and integers become float64, float16 becomes float32.
        NaN and infinity spoil their own row only. Never written.
    r : array_like of shape (d,) or (blocks, d)
        First column of each R, any d >= 1; rounded to the dtype of the result.
    signs : array_like of r's shape, optional
        The diagonal of each D (any real numbers will do); by default all ones.
    n_out : int, optional
        How many entries of the stacked outputs are wanted, at most blocks * d, which is the
        default. Fewer than d cost as much as d.
    out : ndarray, optional
        Where to put the result: an array of its shape and dtype, laid out in any way.
    workers : int, optional
        At most so many threads; a negative number counts down from the number of CPUs, -1 being
        all of them. By default as many as Numba has where that pays, from 2^18 numbers on.

    Returns
    -------
    ndarray of shape (..., n_out)

    Raises
    ------
    TypeError
        An argument is complex, long double, or no numbers.
    ValueError
        Shapes do not fit, or an argument has an impossible value.

    See Also
    --------
    circulant_adjoint, circulant_matrix, draw_circulant
    fastfood_np.layers.Circulant : the same with a backward pass.

    Notes
    -----
    O(m blocks d log d) time for m inputs, and some MiB of memory beside x and the result. Lengths
    with a prime factor above 100 are taken as linear convolutions of about twice the length: two
    times faster than an FFT of theirs, but still slower than their neighbours.

    Examples
    --------
    >>> circulant_transform([1.0, 0.0, 10.0], [1.0, 2.0, 3.0])
    array([21., 32., 13.])
    >>> circulant_matrix([1.0, 2.0, 3.0])
    array([[1., 3., 2.],
           [2., 1., 3.],
           [3., 2., 1.]])
    """
    source, r, signs = _check_operands(x, "x", r, signs)
    blocks, d = r.shape
    if source.ndim == 0 or source.shape[-1] != d:
        raise ValueError(f"x must have shape (..., {d}) as r has, got {source.shape}")
    n_out = check_int(r.size if n_out is None else n_out, "n_out", minimum=1, maximum=r.size)
    threads = _threads(source.size * blocks, workers)
    shape = (*source.shape[:-1], n_out)
    if out is not None:
        check_out(out, shape, source.dtype)
    ready = out is not None and out.flags.carray and not np.may_share_memory(out, source)
    y = out if out is not None and ready else np.empty(shape, source.dtype)
    circulant_forward(source.reshape(-1, d), r, signs, y.reshape(-1, n_out), threads=threads)
    if out is None or ready:
        return y
    out[...] = y
    return out


def circulant_adjoint(
    y: npt.ArrayLike,
    r: npt.ArrayLike,
    signs: npt.ArrayLike | None = None,
    *,
    workers: int | None = None,
) -> Array:
    """Adjoint of the circulant projection, D R^T y, summed over the blocks: dL/dx of dL/dy.

    Parameters
    ----------
    y : array_like of shape (..., n_out)
        n_out <= blocks * d; taken as if zeros followed.
    r, signs, workers
        As in `circulant_transform`.

    Returns
    -------
    ndarray of shape (..., d)

    Examples
    --------
    >>> circulant_adjoint([1.0, 0.0, 10.0], [1.0, 2.0, 3.0])
    array([31., 23., 12.])
    """
    source, r, signs = _check_operands(y, "y", r, signs)
    if source.ndim == 0 or not 1 <= source.shape[-1] <= r.size:
        raise ValueError(
            f"y must have shape (..., n_out) with 1 <= n_out <= {r.size}, got {source.shape}"
        )
    threads = _threads(source.size // source.shape[-1] * r.size, workers)
    d = r.shape[1]
    x = np.empty((*source.shape[:-1], d), source.dtype)
    rows = source.reshape(-1, source.shape[-1])
    circulant_backward(rows, None, r, signs, None, x.reshape(-1, d), threads)
    return x


def circulant_matrix(
    r: npt.ArrayLike, signs: npt.ArrayLike | None = None, n_out: int | None = None
) -> Array:
    """Return the dense matrix of the stacked R D, cut to `n_out` rows: for checking and teaching.

    Returns
    -------
    ndarray of shape (n_out, d); float32 if r is, else float64
    """
    r, signs = _check_blocks(r, signs, None)
    n_out = check_int(r.size if n_out is None else n_out, "n_out", minimum=1, maximum=r.size)
    d = r.shape[1]
    turned = (np.arange(d)[:, None] - np.arange(d)) % d
    dense = r[:, turned] if signs is None else r[:, turned] * signs[:, None]
    return dense.reshape(r.size, d)[:n_out]


def _threads(elements: int, workers: Any) -> int:
    return fft_threads(elements) if workers is None else check_workers(workers)


def _check_operands(x: Any, name: str, r: Any, signs: Any) -> tuple[Array, Array, Array | None]:
    """Return all three in the dtype of the result, r and signs of shape (blocks, d)."""
    source = _real(x, name)
    dtype = result_dtype(source.dtype, name)
    return (np.require(source, dtype, ("C", "A")), *_check_blocks(r, signs, dtype))


def _check_blocks(r: Any, signs: Any, dtype: np.dtype[Any] | None) -> tuple[Array, Array | None]:
    r = _real(r, "r")
    if r.ndim not in (1, 2) or not r.size:
        raise ValueError(f"r must have shape (d,) or (blocks, d) with d >= 1, got {r.shape}")
    own_dtype = result_dtype(r.dtype, "r")
    dtype = dtype or own_dtype
    if signs is not None:
        signs = _real(signs, "signs")
        result_dtype(signs.dtype, "signs")
        if signs.shape != r.shape:
            raise ValueError(f"signs must have r's shape {r.shape}, got {signs.shape}")
        signs = np.atleast_2d(signs).astype(dtype)
    return np.atleast_2d(r).astype(dtype), signs


def _real(x: Any, name: str) -> Array:
    if backends.on_device(x):
        raise TypeError(f"{name} must be in host memory, got an array in device memory")
    try:
        return np.asarray(x)
    except ValueError as error:  # nested lists of different lengths
        raise ValueError(f"{name} must be an array: {error}") from error
