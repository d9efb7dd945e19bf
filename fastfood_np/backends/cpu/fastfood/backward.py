"""Fastfood backward, tile by tile: dx, dS, dG and dB from x and dy alone.

h_G and h_S are computed again, in two tiles; then the gradient goes back through the same two:

    h_S, dy --S, c--> dh_S --H--> dh_H1, h_Pi --G, Pi^T--> dh_Pi --H--> dh_H2, x --B--> dx
             dS                            dG                                dB

Sums over rows go row after row, and from chunk to chunk of rows in order, whoever computes them.
"""

from __future__ import annotations

from fastfood_np.backends.cpu.fastfood.forward import to_h_Pi, to_h_S
from fastfood_np.backends.cpu.fastfood.tiles import (
    BUFFER_STRIDE,
    PANEL,
    directly,
    divided,
    empty_buffer,
    enter_mask,
    fill_buffer,
    panel_stages,
    rows_of_tile,
    tile_stages,
)
from fastfood_np.backends.cpu.jit import inlined, part
from fastfood_np.backends.cpu.kernel import Kernel
from fastfood_np.backends.cpu.simd import (
    U,
    add_all,
    add_each,
    butterflies,
    flat,
    gather_all,
    load,
    load_all,
    multiply_all,
    scatter_all,
    spread,
    spread_all,
    start_at,
    store,
    store_all,
    transpose,
)


@part
def _turn(lanes, tile, line, columns, dy, start, stride, scale, S, at, dS):
    """Add dy h_S to dS, and replace the lines of h_S by S c dy, stages 1 to lanes / 2 taken."""
    height, step = rows_of_tile(tile), U(len(lanes))
    c_factor = spread(lanes, scale)
    for c in range(U(0), columns, step):
        factor, total = load(lanes, S, at + c), load(lanes, dS, at + c)
        for r in range(U(0), height, step):
            lines = (line + c) * height + r
            h_S = transpose(load_all(lanes, lanes, tile, lines, height))
            dh = load_all(lanes, lanes, dy, start + r * stride + c, stride)
            dh = multiply_all(dh, c_factor)
            total = add_all(total, multiply_all(dh, h_S))
            dh_S = butterflies(transpose(multiply_all(dh, factor)))
            store_all(tile, lines, height, dh_S)
        store(dS, at + c, total)


@part
def _scatter(lanes, dh_H1, line, columns, tile, perm, G, at, mask, masked, dG):
    """Add dh_H1 h_G to dG, and put G dh_H1 where the tile held h_G: dh_Pi = Pi^T G dh_H1."""
    height, step = rows_of_tile(tile), U(len(lanes))
    for c in range(U(0), columns, step):
        factors, total = spread_all(lanes, lanes, G, at + c), load(lanes, dG, at + c)
        for r in range(U(0), height, step):
            dh = load_all(lanes, lanes, dh_H1, (line + c) * height + r, height)
            h_G = gather_all(lanes, lanes, tile, perm, at + c, height, r)
            if masked:
                kept = load_all(lanes, lanes, mask, c * height + r, height)
                h_G = multiply_all(h_G, kept)
                total = add_all(total, transpose(multiply_all(dh, h_G)))
                dh = multiply_all(multiply_all(dh, factors), kept)
            else:
                total = add_all(total, transpose(multiply_all(dh, h_G)))
                dh = multiply_all(dh, factors)
            scatter_all(tile, perm, at + c, height, r, dh)
        store(dG, at + c, total)


@part
def _leave(
    lanes, tile, line, columns, x, start, stride, B, at, dB, dx, to, dx_stride, wanted, added
):
    """Add dh_H2 x to dB; if wanted, set dx to B dh_H2, or add that to it."""
    height, step = rows_of_tile(tile), U(len(lanes))
    for c in range(U(0), columns, step):
        factor, total = load(lanes, B, at + c), load(lanes, dB, at + c)
        for r in range(U(0), height, step):
            dh = transpose(load_all(lanes, lanes, tile, (line + c) * height + r, height))
            rows = load_all(lanes, lanes, x, start + r * stride + c, stride)
            total = add_all(total, multiply_all(dh, rows))
            if wanted:
                dh, place = multiply_all(dh, factor), to + r * dx_stride + c
                if added:
                    dh = add_each(load_all(lanes, lanes, dx, place, dx_stride), dh)
                store_all(dx, place, dx_stride, dh)
        store(dB, at + c, total)


@inlined
def _to_dh_H1(lanes, h_S, dy, n_out, row, rows, scale, S, at, dS, buffer, d_pad):
    """Replace h_S by dh_H1 = H S c dy; dS[at:] grows."""
    width = min(d_pad, U(PANEL))
    for c in range(U(0), d_pad, width):
        first = at + c
        if first + width <= n_out and directly(dy, rows, n_out):
            _turn(lanes, h_S, c, width, dy, row * n_out + first, n_out, scale, S, first, dS)
        else:
            fill_buffer(lanes, buffer, dy, row, rows, n_out, first, min(n_out, first + width))
            _turn(lanes, h_S, c, width, buffer, U(0), U(BUFFER_STRIDE), scale, S, first, dS)
        panel_stages(lanes, h_S, c, width, U(len(lanes)))
    tile_stages(lanes, h_S, d_pad)


@inlined
def _to_dh_H2(
    lanes, dh_H1, tile, perm, G, at, masked, kept, kept_stride, rows, keep_scale, buffer, mask,
    dG, d_pad
):  # fmt: skip
    """Replace the tile h_Pi by dh_H2 = H Pi^T G dh_H1; dG[at:] grows."""
    width = min(d_pad, U(PANEL))
    for c in range(U(0), d_pad, width):
        if masked:
            enter_mask(lanes, kept, c, kept_stride, rows, keep_scale, buffer, mask, width)
        _scatter(lanes, dh_H1, c, width, tile, perm, G, at + c, mask, masked, dG)
    for c in range(U(0), d_pad, width):
        panel_stages(lanes, tile, c, width, U(1))
    tile_stages(lanes, tile, d_pad)


@inlined
def _to_dx(lanes, dh_H2, x, d_in, row, rows, B, at, dB, dx, wanted, buffer, spare, d_pad):
    """Set dx to B dh_H2 in the first block, and add that in the others; dB[at:] grows."""
    width, stride = min(d_pad, U(PANEL)), U(BUFFER_STRIDE)
    added = at > U(0)
    for c in range(U(0), d_in, width):
        last = min(d_in, c + width)
        if c + width <= d_in and directly(x, rows, d_in):
            start = row * d_in + c
            _leave(
                lanes, dh_H2, c, width, x, start, d_in, B, at + c, dB, dx, start, d_in, wanted,
                added
            )  # fmt: skip
        else:
            fill_buffer(lanes, buffer, x, row, rows, d_in, c, last)
            if wanted and added:
                fill_buffer(lanes, spare, dx, row, rows, d_in, c, last)
            _leave(
                lanes, dh_H2, c, width, buffer, U(0), stride, B, at + c, dB, spare, U(0), stride,
                wanted, added
            )  # fmt: skip
            if wanted:
                empty_buffer(lanes, spare, dx, row, rows, d_in, c, last)


def _chunks(
    lanes, x, dy, S, G, B, perm, scale, keep, keep_scale, dx, sums, chunk_rows, scratch, team,
    first, last
):  # fmt: skip
    """Fill dx of the chunks from `first` to `last`, and sums[chunk] with their dS, dG and dB."""
    m, d_in, n_out = U(x.shape[0]), U(x.shape[1]), U(dy.shape[1])
    blocks, d_pad, chunk_rows = U(S.shape[0]), U(S.shape[1]), U(chunk_rows)
    masked, wanted = keep.size > 0, dx.size > 0
    sums[first:last] = 0
    x, dy, dx, keep, sums = flat(x), flat(dy), flat(dx), flat(keep), flat(sums)
    S, G, B, perm = flat(S), flat(G), flat(B), flat(perm)
    height, length = rows_of_tile(x), blocks * d_pad
    tile, second, mask, buffer, spare, _ = divided(flat(scratch[team]), d_pad)
    for chunk in range(U(first), U(last)):
        dS = start_at(sums, U(3) * chunk * length)
        dG = start_at(dS, length)
        dB = start_at(dG, length)
        for row in range(chunk * chunk_rows, min(m, (chunk + U(1)) * chunk_rows), height):
            rows = min(height, m - row)
            for block in range(blocks):
                at = block * d_pad
                kept = start_at(keep, row * length + at) if masked else keep
                to_h_Pi(lanes, x, d_in, row, rows, B, at, buffer, tile, False, tile, d_pad)
                to_h_S(
                    lanes, tile, perm, G, at, masked, kept, length, rows, keep_scale, buffer,
                    mask, second, d_pad
                )  # fmt: skip
                _to_dh_H1(lanes, second, dy, n_out, row, rows, scale, S, at, dS, buffer, d_pad)
                _to_dh_H2(
                    lanes, second, tile, perm, G, at, masked, kept, length, rows, keep_scale,
                    buffer, mask, dG, d_pad
                )  # fmt: skip
                _to_dx(lanes, tile, x, d_in, row, rows, B, at, dB, dx, wanted, buffer, spare, d_pad)


by_tiles = Kernel(_chunks)
