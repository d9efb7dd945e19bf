"""Gradients of products with a matrix made of pieces out of codebooks: the transpose of a look-up.

An output's gradient is added to the entry, in each run's table, that the output was looked up in;
then the table is as good as all outputs. Rows go through together, as the lanes of a vector.
"""

from __future__ import annotations

import numpy as np

from fastfood_np.backends.cpu.jit import part, teams
from fastfood_np.backends.cpu.kernel import Kernel, usual
from fastfood_np.backends.cpu.quantized import MOST_LANES, PACKED
from fastfood_np.backends.cpu.simd import (
    FOUR,
    ONE,
    U,
    add,
    flat,
    load,
    multiply,
    spread,
    start_at,
    store,
)
from fastfood_np.backends.cpu.widths import lanes as lanes_of
from fastfood_np.validation import Array

SHARES = 64  # of the runs: where all have one codebook, shares are summed alone, then in order


@part
def _collect(lanes, packed, codes, n_out, dy, sums):
    """Add the gradient of each output to the entry of its code, output by output."""
    L, two = U(len(lanes)), U(2)
    for o in range(U(0), n_out):
        code = (U(codes[o // two]) >> (o % two * U(4))) & U(15) if packed else U(codes[o])
        store(sums, code * L, add(load(lanes, sums, code * L), load(lanes, dy, o * L)))


@part
def _add_products(vector, sums, L, x, stride, rows, n_centroids, length, j, grads):
    """Add sums times x, row by row, to the gradients of some neighbouring columns of a codebook."""
    for c in range(U(0), n_centroids):
        total = load(vector, grads, c * length + j)
        for r in range(U(0), rows):
            factor = spread(vector, sums[c * L + r])
            total = add(total, multiply(factor, load(vector, x, r * stride + j)))
        store(grads, c * length + j, total)


@part
def _fill_columns(lanes, sums, book, n_centroids, length, columns):
    """Sums times the centroids, centroid by centroid: the rows' dx, transposed."""
    L = U(len(lanes))
    columns[:] = 0
    for c in range(U(0), n_centroids):
        weights = load(lanes, sums, c * L)
        for j in range(U(0), length):
            product = multiply(weights, spread(lanes, book[c * length + j]))
            store(columns, j * L, add(load(lanes, columns, j * L), product))


def _run_by_run(lanes, packed, x, dy, codebooks, codes, dx, parts, team, first, last):
    """A unit is a share of the runs: their dx, and the sum of their gradients of a codebook.

    dy (tiles, n_out, lanes) holds as many rows as there are lanes side by side.
    """
    L, (m, d_in), (runs, width) = len(lanes), x.shape, codes.shape
    (books, n_centroids, length), (tiles, n_out, _) = codebooks.shape, dy.shape
    shares = parts.shape[0]
    sums = np.empty(max(n_centroids, PACKED) * L, x.dtype)
    columns = np.empty(length * L, x.dtype)
    fours = U(length // 4 * 4)
    for share in range(first, last):
        parts[share] = 0
        grads = start_at(flat(parts), U(share * n_centroids * length))
        for run in range(runs * share // shares, runs * (share + 1) // shares):
            of_run = start_at(flat(codes), U(run * width))
            book = start_at(flat(codebooks), U(run % books * n_centroids * length))
            for tile in range(tiles):
                rows = min(L, m - tile * L)
                sums[:] = 0
                of_tile = start_at(flat(dy), U(tile * n_out * L))
                _collect(lanes, packed, of_run, U(n_out), of_tile, sums)
                piece = start_at(flat(x), U(tile * L * d_in + run * length))
                sizes = U(d_in), U(rows), U(n_centroids), U(length)
                for j in range(U(0), fours, U(4)):
                    _add_products(FOUR, sums, U(L), piece, *sizes, j, grads)
                for j in range(fours, U(length)):
                    _add_products(ONE, sums, U(L), piece, *sizes, j, grads)
                if dx is not None:
                    _fill_columns(lanes, sums, book, U(n_centroids), U(length), columns)
                    for r in range(rows):
                        for j in range(length):
                            dx[tile * L + r, run * length + j] = columns[j * L + r]


_by_runs = Kernel(_run_by_run)


def quantized_backward(
    x: Array, dy: Array, codebooks: Array, codes: Array, dx: Array | None, dcodebooks: Array
) -> None:
    """Fill dcodebooks and dx (unless it is None) from dy (m, n_out).

    dy is added up over the outputs that have the same code, in their order. Gradients of codebooks
    are summed row by row; of one codebook for all runs, run by run within a share, then the shares.
    """
    lanes = lanes_of(x.dtype, MOST_LANES) if len(x) > 1 else ONE
    shares = len(codes)
    parts = dcodebooks
    if len(codebooks) == 1:
        shares = min(shares, SHARES)
        parts = np.empty((shares, *codebooks.shape[1:]), x.dtype)
    given = (usual(x), _side_by_side(dy, len(lanes)), usual(codebooks), usual(codes))
    packed = codebooks.shape[1] <= PACKED
    _by_runs(teams(dy.size * len(codes)), shares, lanes, packed, *given, dx, parts)
    if parts is not dcodebooks:
        np.add.reduce(parts, axis=0, out=dcodebooks[0])


def _side_by_side(rows: Array, count: int) -> Array:
    """Return rows (m, n) as (ceil(m / count), n, count), the last ones followed by zeros."""
    m, n = rows.shape
    result = np.zeros((-(-m // count), n, count), rows.dtype)
    whole = m // count
    result[:whole] = rows[: whole * count].reshape(whole, count, n).swapaxes(1, 2)
    result[whole:, :, : m % count] = rows[whole * count :].T
    return result
