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
from fastfood_np.backends.cpu.simd import U, flat, start_at

# All parts of a row are flat memory, see `simd.flat`.


@part
def _width(at, d_pad, n_out):
    """How many outputs the block has that starts at output `at`."""
    return min(at + d_pad, n_out) - min(at, n_out)


@part
def _to_h_G(lanes, x_row, d_in, B, perm, masked, kept, keep_scale, h_G, h, d_pad):
    """Fill h_G (d_pad,) with Pi H B x, where `masked` with `kept`; h (d_pad,) is overwritten."""
    for i in range(d_in):
        h[i] = B[i] * x_row[i]
    for i in range(d_in, d_pad):
        h[i] = 0
    fwht_row(lanes, h, d_pad)
    for i in range(d_pad):
        h_G[i] = h[perm[i]]
    if masked:
        _drop(kept, keep_scale, h_G, d_pad)


@part
def _drop(kept, keep_scale, h, d_pad):
    for i in range(d_pad):
        h[i] *= keep_scale if kept[i] else 0 * keep_scale  # a factor, so that NaN stays NaN


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
    d_in, blocks, d_pad = U(x.shape[1]), U(S.shape[0]), U(S.shape[1])
    n_out, length = U(n_outputs(NONLINEARITY, y)), U(y.shape[1])
    masked, work = keep.size > 0, scratch_for(NONLINEARITY, y)
    x, S, G, B, perm, keep, y = flat(x), flat(S), flat(G), flat(B), flat(perm), flat(keep), flat(y)
    h_G = flat(scratch[team])
    h = start_at(h_G, d_pad)
    for row in range(U(first), U(last)):
        x_row, v = start_at(x, row * d_in), start_at(y, row * length)
        for block in range(blocks):
            at = block * d_pad
            kept = start_at(keep, row * blocks * d_pad + at) if masked else keep
            _to_h_G(
                lanes, x_row, d_in, start_at(B, at), start_at(perm, at), masked, kept, keep_scale,
                h_G, h, d_pad
            )  # fmt: skip
            for i in range(d_pad):
                h_G[i] *= G[at + i]
            fwht_row(lanes, h_G, d_pad)
            for i in range(_width(at, d_pad, n_out)):
                v[at + i] = scale * (S[at + i] * h_G[i])
        finish_row(NONLINEARITY, n_out, flat(work), v, start_at(v, n_out), flat(phase), amplitude)


@part
def _backward_row(
    lanes, x_row, d_in, dy_block, n_block, S, G, B, perm, scale, masked, kept, keep_scale,
    dx_row, n_dx, dS, dG, dB, h_G, h, d_pad
):  # fmt: skip
    """Add one row's part to dS, dG, dB (d_pad,) and dx_row (n_dx,), of one block."""
    _to_h_G(lanes, x_row, d_in, B, perm, masked, kept, keep_scale, h_G, h, d_pad)
    for i in range(d_pad):
        h[i] = G[i] * h_G[i]
    fwht_row(lanes, h, d_pad)  # h = h_S
    for i in range(n_block):
        dh = scale * dy_block[i]
        dS[i] += dh * h[i]
        h[i] = S[i] * dh
    for i in range(n_block, d_pad):
        h[i] = 0
    fwht_row(lanes, h, d_pad)  # h = dE/dh_H1
    for i in range(d_pad):
        dG[i] += h[i] * h_G[i]
        h[i] *= G[i]
    if masked:
        _drop(kept, keep_scale, h, d_pad)
    for i in range(d_pad):
        h_G[perm[i]] = h[i]
    fwht_row(lanes, h_G, d_pad)  # h_G = dE/dh_H2
    for i in range(d_in):
        dB[i] += h_G[i] * x_row[i]
    for i in range(n_dx):
        dx_row[i] += B[i] * h_G[i]


def _backward(
    lanes, x, dy, S, G, B, perm, scale, keep, keep_scale, dx, sums, chunk_rows, scratch, team,
    first, last
):  # fmt: skip
    """Fill dx of the chunks from `first` to `last`, and sums[chunk] with their dS, dG and dB."""
    m, d_in, n_out = U(x.shape[0]), U(x.shape[1]), U(dy.shape[1])
    blocks, d_pad, chunk_rows = U(S.shape[0]), U(S.shape[1]), U(chunk_rows)
    masked, n_dx, length = keep.size > 0, U(dx.shape[1]), blocks * d_pad
    sums[first:last] = 0
    x, dy, dx, keep, sums = flat(x), flat(dy), flat(dx), flat(keep), flat(sums)
    S, G, B, perm = flat(S), flat(G), flat(B), flat(perm)
    h_G = flat(scratch[team])
    h = start_at(h_G, d_pad)
    for row in range(U(first) * chunk_rows, min(m, U(last) * chunk_rows)):
        chunk = row // chunk_rows
        dx_row = start_at(dx, row * n_dx)
        for i in range(n_dx):
            dx_row[i] = 0
        for block in range(blocks):
            at = block * d_pad
            dS = start_at(sums, U(3) * chunk * length + at)
            dG = start_at(dS, length)
            _backward_row(
                lanes,
                start_at(x, row * d_in),
                d_in,
                start_at(dy, row * n_out + at),
                _width(at, d_pad, n_out),
                start_at(S, at),
                start_at(G, at),
                start_at(B, at),
                start_at(perm, at),
                scale,
                masked,
                start_at(keep, row * length + at) if masked else keep,
                keep_scale,
                dx_row,
                n_dx,
                dS,
                dG,
                start_at(dG, length),
                h_G,
                h,
                d_pad,
            )


forward = {name: Kernel(_forward, NONLINEARITY=number) for name, number in NUMBER.items()}
backward = Kernel(_backward)
