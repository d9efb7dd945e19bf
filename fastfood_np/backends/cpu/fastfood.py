"""Fastfood in one pass over each row: c S H G Pi H B x, and its gradients.

Every row runs through all six factors while it stays in the first-level cache. Backward recomputes
h_G and h_S instead of keeping them. The gradients of S, G and B are summed over fixed chunks of
rows, and the chunks in order, so that their bits do not depend on the number of threads.
"""

from __future__ import annotations

import numba
import numpy as np

from fastfood_np.backends.cpu.hadamard import fwht_row
from fastfood_np.backends.cpu.jit import Twins, jit
from fastfood_np.validation import Array

CHUNK_ROWS = 16


@jit
def _to_h_G(x_row, B_block, perm_block, keep_row, keep_scale, h_G, scratch):  # type: ignore[no-untyped-def]
    """Fill h_G (d_pad,) with Pi H B x, masked; `scratch` (2, d_pad) is overwritten."""
    h = scratch[0]
    d_in = x_row.size
    for i in range(d_in):
        h[i] = B_block[i] * x_row[i]
    h[d_in:] = 0
    fwht_row(h, scratch[1])
    for i in range(h_G.size):
        h_G[i] = h[perm_block[i]]
    if keep_row is not None:
        for i in range(h_G.size):
            h_G[i] = keep_scale * h_G[i] if keep_row[i] else h_G.dtype.type(0)


@jit
def _keep_row(keep, row, block):  # type: ignore[no-untyped-def]
    return None if keep is None else keep[row, block]


def _forward_driver(x, S, G, B, perm, scale, keep, keep_scale, y):  # type: ignore[no-untyped-def]
    blocks, d_pad = S.shape
    n_out = y.shape[1]
    for row in numba.prange(x.shape[0]):
        h_G = np.empty(d_pad, x.dtype)
        scratch = np.empty((2, d_pad), x.dtype)
        for block in range(blocks):
            _to_h_G(
                x[row], B[block], perm[block], _keep_row(keep, row, block), keep_scale, h_G, scratch
            )
            for i in range(d_pad):
                h_G[i] *= G[block, i]
            fwht_row(h_G, scratch[0])
            y_block = y[row, block * d_pad : min(n_out, (block + 1) * d_pad)]
            for i in range(y_block.size):
                y_block[i] = scale * (S[block, i] * h_G[i])


@jit
def _backward_row(  # type: ignore[no-untyped-def]
    x_row, dy_block, S, G, B, perm, scale, keep_row, keep_scale, dx_row, dS, dG, dB, h_G, h, scratch
):
    """Add one row's part to dS, dG, dB (d_pad,) and, unless it is None, to dx_row, of one block."""
    d_pad, n_block = S.size, dy_block.size
    _to_h_G(x_row, B, perm, keep_row, keep_scale, h_G, scratch)
    for i in range(d_pad):
        h[i] = G[i] * h_G[i]
    fwht_row(h, scratch[0])  # h = h_S
    for i in range(n_block):
        dh = scale * dy_block[i]
        dS[i] += dh * h[i]
        h[i] = S[i] * dh
    h[n_block:] = 0
    fwht_row(h, scratch[0])  # h = dE/dh_H1
    for i in range(d_pad):
        dG[i] += h[i] * h_G[i]
        h[i] *= G[i]
    if keep_row is not None:
        for i in range(d_pad):
            h[i] = keep_scale * h[i] if keep_row[i] else h.dtype.type(0)
    dh_Pi = scratch[0]
    for i in range(d_pad):
        dh_Pi[perm[i]] = h[i]
    fwht_row(dh_Pi, scratch[1])  # dh_Pi = dE/dh_H2
    for i in range(x_row.size):
        dB[i] += dh_Pi[i] * x_row[i]
    if dx_row is not None:
        for i in range(x_row.size):
            dx_row[i] += B[i] * dh_Pi[i]


@jit
def _dx_row(dx, row):  # type: ignore[no-untyped-def]
    if dx is None:
        return None
    dx[row] = 0
    return dx[row]


def _backward_driver(  # type: ignore[no-untyped-def]
    x, dy, S, G, B, perm, scale, keep, keep_scale, dx, partial
):
    m, n_out = dy.shape
    blocks, d_pad = S.shape
    for chunk in numba.prange(partial.shape[0]):
        scratch = np.empty((4, d_pad), x.dtype)
        sums = partial[chunk]
        sums[:] = 0
        for row in range(chunk * CHUNK_ROWS, min(m, (chunk + 1) * CHUNK_ROWS)):
            dx_row = _dx_row(dx, row)
            for block in range(blocks):
                _backward_row(
                    x[row],
                    dy[row, block * d_pad : min(n_out, (block + 1) * d_pad)],
                    S[block],
                    G[block],
                    B[block],
                    perm[block],
                    scale,
                    _keep_row(keep, row, block),
                    keep_scale,
                    dx_row,
                    sums[0, block],
                    sums[1, block],
                    sums[2, block],
                    scratch[0],
                    scratch[1],
                    scratch[2:],
                )


_forward = Twins(_forward_driver)
_backward = Twins(_backward_driver)


def fastfood_forward(
    x: Array,
    S: Array,
    G: Array,
    B: Array,
    perm: Array,
    scale: float,
    keep: Array | None,
    keep_scale: float,
    y: Array,
) -> None:
    """Fill y (m, n_out) with c S H G Pi H B x; see `backends.reference`."""
    run = _forward.for_work(len(x) * S.size)
    run(x, S, G, B, perm, S.dtype.type(scale), keep, S.dtype.type(keep_scale), y)


def fastfood_backward(
    x: Array,
    dy: Array,
    S: Array,
    G: Array,
    B: Array,
    perm: Array,
    scale: float,
    keep: Array | None,
    keep_scale: float,
    dx: Array | None,
    dS: Array,
    dG: Array,
    dB: Array,
) -> None:
    """Fill dx (unless None), dS, dG and dB from dy; see `backends.reference`."""
    partial = np.empty((-(-len(x) // CHUNK_ROWS), 3, *S.shape), S.dtype)
    run = _backward.for_work(len(x) * S.size)
    run(x, dy, S, G, B, perm, S.dtype.type(scale), keep, S.dtype.type(keep_scale), dx, partial)
    for grad, sums in zip((dS, dG, dB), partial.transpose(1, 0, 2, 3), strict=True):
        grad[...] = 0
        for chunk in sums:
            grad += chunk
