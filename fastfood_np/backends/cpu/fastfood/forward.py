"""Fastfood forward, tile by tile: y = c S H G Pi H B x."""

from __future__ import annotations

from fastfood_np.backends.cpu.fastfood.tiles import (
    BUFFER_STRIDE,
    PANEL,
    directly,
    divided,
    empty_buffer,
    enter,
    enter_again,
    enter_mask,
    enter_plain,
    fill_buffer,
    panel_stages,
    permute,
    rows_of_tile,
    tile_stages,
)
from fastfood_np.backends.cpu.jit import inlined, part
from fastfood_np.backends.cpu.kernel import Kernel
from fastfood_np.backends.cpu.nonlinearities import (
    NONE,
    NUMBER,
    finish_row,
    n_outputs,
    scratch_for,
)
from fastfood_np.backends.cpu.simd import (
    U,
    flat,
    load,
    load_all,
    multiply_all,
    spread,
    start_at,
    store_all,
    transpose,
)
from fastfood_np.backends.cpu.trigonometry import TILE


@inlined
def to_h_Pi(lanes, x, d_in, row, rows, B, at, buffer, plain, again, tile, d_pad):
    """Fill the tile with h_Pi = H B x of these rows; B[at] is the first of the block.

    With `again` the rows are taken from the tile `plain`, which `_to_plain` has filled.
    """
    width = min(d_pad, U(PANEL))
    for c in range(U(0), d_pad, width):
        if again:
            enter_again(lanes, plain, B, at + c, tile, c, width)
        elif c + width <= d_in and directly(x, rows, d_in):
            enter(lanes, x, row * d_in + c, d_in, B, at + c, tile, c, width)
        else:
            fill_buffer(lanes, buffer, x, row, rows, d_in, c, min(d_in, c + width))
            enter(lanes, buffer, U(0), U(BUFFER_STRIDE), B, at + c, tile, c, width)
        panel_stages(lanes, tile, c, width, U(len(lanes)))
    tile_stages(lanes, tile, d_pad)


@part
def _to_plain(lanes, x, d_in, row, rows, buffer, plain, d_pad):
    """Fill the tile `plain` with these rows, from which several blocks are to start."""
    width = min(d_pad, U(PANEL))
    for c in range(U(0), d_pad, width):
        fill_buffer(lanes, buffer, x, row, rows, d_in, c, min(d_in, c + width))
        enter_plain(lanes, buffer, U(0), U(BUFFER_STRIDE), plain, c, width)


@inlined
def to_h_S(
    lanes, tile, perm, G, at, masked, kept, kept_stride, rows, keep_scale, buffer, mask, h_S, d_pad
):
    """Fill h_S with H G Pi of the tile h_Pi, where `masked` with the mask `kept` on h_G."""
    width = min(d_pad, U(PANEL))
    for c in range(U(0), d_pad, width):
        if masked:
            enter_mask(lanes, kept, c, kept_stride, rows, keep_scale, buffer, mask, width)
        permute(lanes, tile, perm, G, at + c, mask, masked, h_S, c, width)
        panel_stages(lanes, h_S, c, width, U(len(lanes)))
    tile_stages(lanes, h_S, d_pad)


@part
def _leave(lanes, tile, line, columns, S, at, scale, rows, start, stride):
    """Fill rows (flat, from `start` on) with c S times the tile's lines, transposed back."""
    height, step = rows_of_tile(tile), U(len(lanes))
    c_factor = spread(lanes, scale)
    for group in range(U(0), columns, height):
        for r in range(U(0), height, step):
            for c in range(group, min(group + height, columns), step):
                vectors = load_all(lanes, lanes, tile, (line + c) * height + r, height)
                vectors = multiply_all(transpose(vectors), load(lanes, S, at + c))
                vectors = multiply_all(vectors, c_factor)
                store_all(rows, start + r * stride + c, stride, vectors)


@inlined
def _to_y(lanes, h_S, S, at, scale, buffer, y, length, row, rows, n_out, d_pad):
    """Write the block's part of y, whose rows have that length, cut to n_out."""
    width = min(d_pad, U(PANEL))
    for c in range(U(0), d_pad, width):
        first, last = at + c, min(n_out, at + c + width)
        if last == first + width and directly(y, rows, length):
            _leave(lanes, h_S, c, width, S, first, scale, y, row * length + first, length)
        elif first < last:
            _leave(lanes, h_S, c, width, S, first, scale, buffer, U(0), U(BUFFER_STRIDE))
            empty_buffer(lanes, buffer, y, row, rows, length, first, last)


# The kernels of the nonlinearities differ in this.
NONLINEARITY = NONE


def _tiles(
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
    """Fill the rows of y that the tiles from `first` to `last` hold."""
    m, d_in, blocks, d_pad = U(x.shape[0]), U(x.shape[1]), U(S.shape[0]), U(S.shape[1])
    n_out, length = U(n_outputs(NONLINEARITY, y)), U(y.shape[1])
    masked = keep.size > 0
    x, S, G, B, perm, keep = flat(x), flat(S), flat(G), flat(B), flat(perm), flat(keep)
    height = rows_of_tile(x)
    tile, h_S, mask, buffer, _, plain = divided(flat(scratch[team]), d_pad)
    work = scratch_for(NONLINEARITY, y)
    # Features have many blocks and gain a tenth; layers would compile for a second longer.
    again = blocks > 1 and len(NONLINEARITY) > len(NONE)
    for t in range(U(first), U(last)):
        row = t * height
        rows, finished = min(height, m - row), U(0)
        if again:
            _to_plain(lanes, x, d_in, row, rows, buffer, plain, d_pad)
        for block in range(blocks):
            at = block * d_pad
            kept = start_at(keep, (row * blocks + block) * d_pad) if masked else keep
            to_h_Pi(lanes, x, d_in, row, rows, B, at, buffer, plain, again, tile, d_pad)
            to_h_S(
                lanes, tile, perm, G, at, masked, kept, blocks * d_pad, rows, keep_scale, buffer,
                mask, h_S, d_pad
            )  # fmt: skip
            _to_y(lanes, h_S, S, at, scale, buffer, flat(y), length, row, rows, n_out, d_pad)
            # Short blocks are finished together: a call for each would take longer than its work.
            written = min(n_out, at + d_pad)
            if written - finished >= U(TILE) or block + 1 == blocks:
                for r in range(row, row + rows):
                    v = start_at(flat(y), r * length + finished)
                    angles = start_at(flat(phase), finished)
                    finish_row(
                        NONLINEARITY, written - finished, flat(work), v, start_at(v, n_out),
                        angles, amplitude
                    )  # fmt: skip
                finished = written


by_tiles = {name: Kernel(_tiles, NONLINEARITY=number) for name, number in NUMBER.items()}
