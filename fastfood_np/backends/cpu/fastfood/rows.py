"""Fastfood row by row: c S H G Pi H B x, and its gradients.

Each row runs through all six factors while it stays in the first cache. This is the portable form,
and the one for batches of a few rows, which would leave a tile (see `tiles`) mostly empty.
Backward recomputes h_G and h_S instead of keeping them.
"""

from __future__ import annotations

from fastfood_np.backends.cpu.hadamard import fwht_row
from fastfood_np.backends.cpu.jit import part
from fastfood_np.backends.cpu.kernel import Kernel
from fastfood_np.backends.cpu.nonlinearities import NONE, NUMBER, finish_row, n_outputs, scratch_for
from fastfood_np.backends.cpu.passes import U
from fastfood_np.backends.cpu.simd import flat, start_at


@part
def _to_h_G(lanes, x_row, B, perm, keep, keep_scale, h_G, h):
    """Fill h_G (d_pad,) with Pi H B x, masked; h (d_pad,) is overwritten."""
    d_in = x_row.size
    for i in range(d_in):
        h[i] = B[i] * x_row[i]
    h[d_in:] = 0
    fwht_row(lanes, h)
    for i in range(h_G.size):
        h_G[i] = h[perm[i]]
    for i in range(keep.size):
        h_G[i] *= keep_scale if keep[i] else h_G.dtype.type(0)


# The kernels of the nonlinearities differ in this.
NONLINEARITY = NONE


def _forward(
    lanes,
    x,
    S,
    G,
    B,
    perm,
    scale,
    keep,
    keep_scale,
    phase,
    amplitude,
    y,
    scratch,
    team,
    first,
    last,
):
    """Fill the rows of y from `first` to `last`."""
    blocks, d_pad = S.shape
    n_out = n_outputs(NONLINEARITY, y)
    h_G, h = scratch[team, :d_pad], scratch[team, d_pad : 2 * d_pad]
    work = scratch_for(NONLINEARITY, y)
    for row in range(first, last):
        for block in range(blocks):
            mask = keep[row, block] if keep.size else keep[0, 0, :0]
            _to_h_G(lanes, x[row], B[block], perm[block], mask, keep_scale, h_G, h)
            for i in range(d_pad):
                h_G[i] *= G[block, i]
            fwht_row(lanes, h_G)
            start, stop = block * d_pad, min(n_out, (block + 1) * d_pad)
            y_block = y[row, start:stop]
            for i in range(y_block.size):
                y_block[i] = scale * (S[block, i] * h_G[i])
        v = start_at(flat(y), U(row) * U(y.shape[1]))
        sines = start_at(v, U(n_out))
        finish_row(NONLINEARITY, U(n_out), flat(work), v, sines, flat(phase), amplitude)


@part
def _backward_row(
    lanes, x_row, dy_block, S, G, B, perm, scale, keep, keep_scale, dx_row, dS, dG, dB, h_G, h
):
    """Add one row's part to dS, dG, dB (d_pad,) and dx_row (d_in,) or (0,), of one block."""
    d_pad, n_block = S.size, dy_block.size
    _to_h_G(lanes, x_row, B, perm, keep, keep_scale, h_G, h)
    for i in range(d_pad):
        h[i] = G[i] * h_G[i]
    fwht_row(lanes, h)  # h = h_S
    for i in range(n_block):
        dh = scale * dy_block[i]
        dS[i] += dh * h[i]
        h[i] = S[i] * dh
    h[n_block:] = 0
    fwht_row(lanes, h)  # h = dE/dh_H1
    for i in range(d_pad):
        dG[i] += h[i] * h_G[i]
        h[i] *= G[i]
    for i in range(keep.size):
        h[i] *= keep_scale if keep[i] else h.dtype.type(0)
    for i in range(d_pad):
        h_G[perm[i]] = h[i]
    fwht_row(lanes, h_G)  # h_G = dE/dh_H2
    for i in range(x_row.size):
        dB[i] += h_G[i] * x_row[i]
    for i in range(dx_row.size):
        dx_row[i] += B[i] * h_G[i]


def _backward(
    lanes, x, dy, S, G, B, perm, scale, keep, keep_scale, dx, sums, chunk_rows, scratch, team,
    first, last
):  # fmt: skip
    """Fill dx of the chunks from `first` to `last`, and sums[chunk] with their dS, dG and dB."""
    (m, n_out), (blocks, d_pad) = dy.shape, S.shape
    h_G, h = scratch[team, :d_pad], scratch[team, d_pad : 2 * d_pad]
    sums[first:last] = 0
    for row in range(first * chunk_rows, min(m, last * chunk_rows)):
        chunk = row // chunk_rows
        dx_row = dx[row] if dx.size else dx[0, :0]
        dx_row[:] = 0
        for block in range(blocks):
            mask = keep[row, block] if keep.size else keep[0, 0, :0]
            _backward_row(
                lanes,
                x[row],
                dy[row, block * d_pad : min(n_out, (block + 1) * d_pad)],
                S[block],
                G[block],
                B[block],
                perm[block],
                scale,
                mask,
                keep_scale,
                dx_row,
                sums[chunk, 0, block],
                sums[chunk, 1, block],
                sums[chunk, 2, block],
                h_G,
                h,
            )


forward = {name: Kernel(_forward, NONLINEARITY=number) for name, number in NUMBER.items()}
backward = Kernel(_backward)
