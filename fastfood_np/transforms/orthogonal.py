"""Linear maps with orthogonal rows: Haar blocks (ORF) and H D1 H D2 H D3 (SORF), Yu et al. 2016."""

from __future__ import annotations

import numpy as np

from fastfood_np import backends
from fastfood_np.transforms.factors import padded_size
from fastfood_np.validation import Array, check_int, check_rng

CHUNK_ELEMENTS = 1 << 16  # what three transforms in a row find in the second cache


def draw_haar(d_in: int, n_out: int, rng: object = None) -> Array:
    """Draw ceil(n_out / d_in) independent blocks of orthogonal rows, n_out rows in all.

    Returns
    -------
    ndarray of shape (n_out, d_in); float64
        Each block is uniform among matrices with orthonormal rows. Cost O(n_out d_in min(n_out,
        d_in)).
    """
    d_in, n_out = check_int(d_in, "d_in", minimum=1), check_int(n_out, "n_out", minimum=1)
    generator = check_rng(rng)
    rows = np.empty((n_out, d_in))
    for first in range(0, n_out, d_in):
        block = rows[first : first + d_in]
        Q, R = np.linalg.qr(generator.standard_normal(block.shape).T)
        # Without the signs of R the QR decomposition would not be unique, nor Q uniform (Mezzadri).
        block[...] = (Q * np.sign(np.diagonal(R))).T
    return rows


def draw_sorf(d_in: int, n_out: int, rng: object = None) -> Array:
    """Draw the signs D1, D2, D3 of ceil(n_out / d_pad) stacked blocks.

    Returns
    -------
    ndarray of shape (blocks, 3, d_pad); float64
        d_pad is the smallest power of two that is at least `d_in`.
    """
    d_pad = padded_size(check_int(d_in, "d_in", minimum=1))
    blocks = -(-check_int(n_out, "n_out", minimum=1) // d_pad)
    return 2.0 * check_rng(rng).integers(0, 2, (blocks, 3, d_pad)) - 1


def sorf(x: Array, signs: Array, lengths: Array, out: Array) -> None:
    """Fill `out` (m, n_out) with diag(lengths) Q x for x (m, d_in), Q = H D1 H D2 H D3 by blocks.

    H is orthonormal here, so Q is, too, within a block; x is padded with zeros, and the outputs of
    all blocks are cut to n_out. Arrays are of one dtype and not checked: `lengths` is (n_out,),
    `signs` of `draw_sorf`. O(m blocks d_pad log d_pad).
    """
    (m, d_in), (_, _, d_pad), n_out = x.shape, signs.shape, out.shape[1]
    lengths = lengths * x.dtype.type(d_pad**-1.5)
    fwht = backends.select().fwht
    step = max(1, CHUNK_ELEMENTS // d_pad)
    scratch = np.empty((min(m, step), d_pad), x.dtype)
    for start in range(0, m, step):
        rows = x[start : start + step]
        h = scratch[: len(rows)]
        for first, (D1, D2, D3) in zip(range(0, n_out, d_pad), signs, strict=True):
            h[:, d_in:] = 0
            np.multiply(rows, D3[:d_in], out=h[:, :d_in])
            fwht(h, h)
            h *= D2
            fwht(h, h)
            h *= D1
            fwht(h, h)
            last = min(n_out, first + d_pad)
            part = out[start : start + step, first:last]
            np.multiply(h[:, : last - first], lengths[first:last], out=part)
