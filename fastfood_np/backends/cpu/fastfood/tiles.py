"""The steps of Fastfood on a tile: 16 rows of float32 or 8 of float64, transposed.

In a tile each index i = 0 ... d_pad - 1 has a line of one element of every row: 64 bytes, one line
of the cache. So every butterfly of H is an operation on whole vectors, and Pi moves whole lines.
On the way into a tile and out of it rows pass in panels of a few hundred columns, which stay in the
first cache until all their stages below the panel's width have been taken:

    rows of x --B, transpose--> tile --H, Pi, G--> second tile --H, transpose, S, c--> rows of y

Rows and columns that a panel lacks (batches that are no multiple of a tile, d_in < d_pad) are zeros
in a buffer that takes the panel's place.
"""

from __future__ import annotations

from fastfood_np.backends.cpu.jit import inlined, part
from fastfood_np.backends.cpu.passes import strided_passes
from fastfood_np.backends.cpu.simd import (
    ONE,
    U,
    butterflies,
    element_bytes,
    gather_all,
    load,
    load_all,
    multiply_all,
    prefetch,
    spread_all,
    start_at,
    store,
    store_all,
    transpose,
)

LINE = 64  # bytes
PANEL = 256  # columns
# Rows a multiple of this many bytes apart fall into one set of the first cache, a buffer's do not.
WAY = 4096
BUFFER_STRIDE = PANEL + 16


@inlined
def rows_of_tile(array):
    """How many rows a tile has."""
    return U(LINE) // element_bytes(array)


def scratch_size(d_pad: int, itemsize: int, tiles: int = 2) -> int:
    """Return how many elements of scratch memory a thread needs: see `divided`."""
    return LINE // itemsize * (tiles * d_pad + PANEL + 2 * BUFFER_STRIDE)


@inlined
def divided(scratch, d_pad):
    """Two tiles, a mask of a panel's size, two buffers and, if there is room for it, a third tile.

    All start at a line of the cache.
    """
    height = rows_of_tile(scratch)
    second = start_at(scratch, height * d_pad)
    mask = start_at(second, height * d_pad)
    buffer = start_at(mask, height * U(PANEL))
    spare = start_at(buffer, height * U(BUFFER_STRIDE))
    return scratch, second, mask, buffer, spare, start_at(spare, height * U(BUFFER_STRIDE))


@inlined
def directly(array, rows, row_length):
    """Whether a tile's panel of these rows is better read or written where it lies.

    Not where rows are missing, nor where all rows fall into one set of the cache.
    """
    apart = row_length * element_bytes(array) % U(WAY) > U(0)
    return rows == rows_of_tile(array) and apart


@inlined
def _next_panel(rows, row_length, first):
    """How far behind a panel that starts at column `first` the one starts that is taken next."""
    if first + U(2 * PANEL) <= row_length:
        return U(PANEL)
    return rows * row_length - min(first, row_length)


@part
def fill_buffer(lanes, buffer, array, row, rows, row_length, first, last):
    """Copy columns first to last of `rows` rows of a flat array; the rest of the panel is zeros.

    The panel that will be next is fetched meanwhile: no processor guesses where it lies.
    """
    line = rows_of_tile(buffer)
    columns, ahead = max(first, last) - first, _next_panel(rows, row_length, first)
    for r in range(line):
        at, source = r * U(BUFFER_STRIDE), (row + r) * row_length + first
        present = columns if r < rows else U(0)
        whole = present - present % line
        for c in range(U(0), whole, line):
            prefetch(lanes, ONE, array, source + c + ahead)
            for k in range(c, c + line, U(len(lanes))):
                store(buffer, at + k, load(lanes, array, source + k))
        for c in range(whole, present):
            buffer[at + c] = array[source + c]
        for c in range(present, U(PANEL)):
            buffer[at + c] = 0


@part
def empty_buffer(lanes, buffer, array, row, rows, row_length, first, last):
    """Copy the buffer to columns first to last of `rows` rows of a flat array."""
    line = rows_of_tile(buffer)
    columns, ahead = last - first, _next_panel(rows, row_length, first)
    whole = columns - columns % line
    for r in range(rows):
        at, target = r * U(BUFFER_STRIDE), (row + r) * row_length + first
        for c in range(U(0), whole, line):
            prefetch(lanes, ONE, array, target + c + ahead)
            for k in range(c, c + line, U(len(lanes))):
                store(array, target + k, load(lanes, buffer, at + k))
        for c in range(whole, columns):
            array[target + c] = buffer[at + c]


@part
def enter(lanes, rows, start, stride, factors, f, tile, line, columns):
    """Fill tile lines from `line` on: rows times factors[f:], transposed, stages 1 to lanes / 2."""
    height, step = rows_of_tile(tile), U(len(lanes))
    for group in range(U(0), columns, height):
        for r in range(U(0), height, step):
            for c in range(group, min(group + height, columns), step):
                vectors = load_all(lanes, lanes, rows, start + r * stride + c, stride)
                vectors = multiply_all(vectors, load(lanes, factors, f + c))
                store_all(tile, (line + c) * height + r, height, butterflies(transpose(vectors)))


@part
def enter_plain(lanes, rows, start, stride, tile, line, columns):
    """Fill tile lines from `line` on with the transposed rows, and no stage taken."""
    height, step = rows_of_tile(tile), U(len(lanes))
    for group in range(U(0), columns, height):
        for r in range(U(0), height, step):
            for c in range(group, min(group + height, columns), step):
                vectors = load_all(lanes, lanes, rows, start + r * stride + c, stride)
                store_all(tile, (line + c) * height + r, height, transpose(vectors))


@part
def enter_again(lanes, plain, factors, f, tile, line, columns):
    """As `enter`, from the tile that `enter_plain` filled."""
    height, step = rows_of_tile(tile), U(len(lanes))
    for c in range(U(0), columns, step):
        several = spread_all(lanes, lanes, factors, f + c)
        for r in range(U(0), height, step):
            at = (line + c) * height + r
            vectors = multiply_all(load_all(lanes, lanes, plain, at, height), several)
            store_all(tile, at, height, butterflies(vectors))


@part
def enter_mask(lanes, keep, at, row_length, rows, keep_scale, buffer, mask, columns):
    """Fill the lines of `mask` with keep_scale where the rows of `keep` are true, else with 0."""
    height, step = rows_of_tile(mask), U(len(lanes))
    for r in range(rows):
        for c in range(columns):
            kept = keep[at + r * row_length + c]
            buffer[r * U(BUFFER_STRIDE) + c] = keep_scale if kept else 0 * keep_scale
    for c in range(U(0), columns, step):
        for r in range(U(0), height, step):
            start = r * U(BUFFER_STRIDE) + c
            vectors = load_all(lanes, lanes, buffer, start, U(BUFFER_STRIDE))
            store_all(mask, c * height + r, height, transpose(vectors))


@part
def permute(lanes, tile, perm, G, at, mask, masked, target, line, columns):
    """Fill target lines from `line` on with G Pi of the tile, stages 1 to lanes / 2 taken.

    perm[at] and G[at] belong to the first of these lines.
    """
    height, step = rows_of_tile(tile), U(len(lanes))
    for c in range(U(0), columns, step):
        factors = spread_all(lanes, lanes, G, at + c)
        for r in range(U(0), height, step):
            vectors = gather_all(lanes, lanes, tile, perm, at + c, height, r)
            if masked:
                vectors = multiply_all(
                    vectors, load_all(lanes, lanes, mask, c * height + r, height)
                )
            vectors = butterflies(multiply_all(vectors, factors))
            store_all(target, (line + c) * height + r, height, vectors)


@inlined
def panel_stages(lanes, tile, line, columns, low):
    """Take the stages from `low` to columns / 2 of these lines."""
    height = rows_of_tile(tile)
    start, stop = line * height, (line + columns) * height
    strided_passes(lanes, lanes, tile, start, stop, low * height, columns * height)


@inlined
def tile_stages(lanes, tile, d_pad):
    """Take the stages that panels cannot."""
    height = rows_of_tile(tile)
    panel = min(d_pad, U(PANEL))
    strided_passes(lanes, lanes, tile, U(0), d_pad * height, panel * height, d_pad * height)
