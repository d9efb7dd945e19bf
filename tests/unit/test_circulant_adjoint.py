"""<R D x, y> = <x, D R^T y> = <r, dL/dr> for every length from 1 to 5000: each kind of FFT.

All three are one number, a sum of d^2 products. The gap is measured in units of eps |x| |y| |r|,
|r| being the length of each row of R: no more than one rounding of each of the three vectors,
however long. (With these numbers: below 0.9 in both dtypes, primes included.)
"""

import math

import numpy as np
import pytest

from fastfood_np.transforms import circulant_adjoint, circulant_transform, draw_circulant
from fastfood_np.transforms.circulant_fft import (
    circulant_backward,
    circulant_forward,
    complex_dtype,
    spectra_shape,
)

LONGEST = 5000
LIMIT = 4.0
# Primes, twice primes and their squares, powers of two, many small factors; none of them 1 or 2,
# where circulant matrices are symmetric.
KINDS = (3, 4, 5, 25, 60, 64, 719, 1018, 1024, 2520, 4096, 4489, 4933, 4954, 4987, 4999, 5000)


def both_ways(x, y, r, signs, conjugate=False):
    """R D x, D R^T y and dL/dr for dL/d(R D x) = y, as `Circulant` has them computed."""
    x, y, r, signs = x[None], y[None], r[None], signs[None]
    x_spectra = np.empty(spectra_shape(1, r, signs), complex_dtype(x.dtype))
    forward, dx, dr = np.empty_like(y), np.empty_like(x), np.empty_like(r)
    circulant_forward(x, r, signs, forward, x_spectra)
    x_spectra = x_spectra.conj() if conjugate else x_spectra
    circulant_backward(y, x_spectra, r, signs, dr, dx)
    return forward[0], dx[0], dr[0]


class Numbers:
    """x, y, r and D of any length up to the longest, in one dtype."""

    def __init__(self, dtype):
        rng = np.random.default_rng(0)
        self.drawn = rng.standard_normal((3, LONGEST)).astype(dtype)
        self.signs = rng.choice(np.array([-1, 1], dtype), LONGEST)
        self.eps = np.finfo(dtype).eps

    def gaps(self, d, adjoint=None, gradient=None):
        """How far <x, D R^T y> and <r, dL/dr> are from <R D x, y>; other functions may be given."""
        (x, y, r), signs = self.drawn[:, :d], self.signs[:d]
        forward, dx, dr = both_ways(x, y, r, signs)
        dx = adjoint(y, r, signs) if adjoint else dx
        dr = gradient(x, y, r, signs) if gradient else dr
        unit = self.eps * math.prod(np.linalg.norm(np.float64(v)) for v in (x, y, r))
        return [abs(inner(forward, y) - found) / unit for found in (inner(x, dx), inner(r, dr))]


def inner(a, b):
    return np.dot(np.float64(a), np.float64(b))


def assert_lengths(dtype, lengths):
    numbers = Numbers(dtype)
    failed = {d: gaps for d in lengths if max(gaps := numbers.gaps(d)) > LIMIT}
    assert not failed


def test_every_length():
    assert_lengths(np.float64, range(1, LONGEST + 1))


def test_the_public_functions_are_the_same():
    for dtype in (np.float32, np.float64):
        numbers = Numbers(dtype)
        for d in (*range(1, 200), *KINDS):
            (x, y, r), signs = numbers.drawn[:, :d], numbers.signs[:d]
            forward, dx, _ = both_ways(x, y, r, signs)
            np.testing.assert_array_equal(circulant_transform(x, r, signs), forward)
            np.testing.assert_array_equal(circulant_adjoint(y, r, signs), dx)


def test_short_lengths_and_each_kind_in_float32():
    assert_lengths(np.float32, (*range(1, 601), *KINDS))


@pytest.mark.slow
def test_every_length_in_float32():
    assert_lengths(np.float32, range(1, LONGEST + 1))


# ------------------------------------------------------------------ controls: must be noticed


def without_the_transpose(y, r, signs):
    return signs * circulant_transform(y, r)


def without_the_signs(y, r, signs):
    return circulant_adjoint(y, r)


def signs_on_the_wrong_side(y, r, signs):
    return circulant_adjoint(signs * y, r)


def gradient_without_the_signs(x, y, r, signs):
    return both_ways(x, y, r, np.ones_like(signs))[2]


def gradient_without_the_conjugate(x, y, r, signs):
    return both_ways(x, y, r, signs, conjugate=True)[2]


@pytest.mark.parametrize(
    "mutant", [without_the_transpose, without_the_signs, signs_on_the_wrong_side]
)
def test_wrong_adjoints_are_noticed(mutant):
    for dtype in (np.float32, np.float64):
        numbers = Numbers(dtype)
        for d in KINDS:
            assert numbers.gaps(d, adjoint=mutant)[0] > 100 * LIMIT, (mutant, d)


@pytest.mark.parametrize("mutant", [gradient_without_the_signs, gradient_without_the_conjugate])
def test_wrong_gradients_are_noticed(mutant):
    for dtype in (np.float32, np.float64):
        numbers = Numbers(dtype)
        for d in KINDS:
            assert numbers.gaps(d, gradient=mutant)[1] > 100 * LIMIT, (mutant, d)


# ---------------------------------------------------------------------------- several blocks


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 2, 7, 64, 211, 1000])
@pytest.mark.parametrize("blocks", [2, 5])
def test_several_blocks_cut(blocks, d, dtype):
    rng = np.random.default_rng(d)
    r, signs = (drawn.astype(dtype) for drawn in draw_circulant(d, blocks * d, rng))
    for n_out in (blocks * d, blocks * d - d // 2, (blocks - 1) * d + 1):
        x, y = (rng.standard_normal(size).astype(dtype) for size in (d, n_out))
        forward = inner(circulant_transform(x, r, signs, n_out=n_out), y)
        gap = abs(forward - inner(x, circulant_adjoint(y, r, signs)))
        unit = np.finfo(dtype).eps * math.prod(np.linalg.norm(np.float64(v)) for v in (x, y, r))
        assert gap <= LIMIT * unit
