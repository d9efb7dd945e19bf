"""Products with a matrix made of pieces out of codebooks: by tables, never by the matrix.

For each run of columns there is a table of what its centroids give with this part of x; an output
is the sum of one entry of each table. Rows of x go through together, as the lanes of a vector, so
that one code fetches its entry for all of them. Where few rows are left, it is many outputs of one
row (codes of four bits, see `look_up_all`) or single numbers. Every form multiplies and adds in the
order of the reference, so all give the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastfood_np.backends.cpu.jit import part, teams
from fastfood_np.backends.cpu.kernel import Kernel, usual
from fastfood_np.backends.cpu.simd import (
    EIGHT,
    FOUR,
    ONE,
    U,
    add,
    add_all,
    add_each,
    flat,
    load,
    load_all,
    look_up_all,
    multiply,
    multiply_all,
    spread,
    spread_all,
    start_at,
    store,
    store_all,
    transpose,
    zeros,
)
from fastfood_np.backends.cpu.widths import Lanes
from fastfood_np.backends.cpu.widths import lanes as lanes_of
from fastfood_np.validation import Array

PACKED = 16  # up to so many centroids, two codes share a byte, and each table has so many entries
FEW_ROWS = 3  # of packed codes, one by one, take as long as a vector of rows
MOST_ENTRIES = 1 << 21  # of the tables at a time; those of one vector of rows, if they are more
MOST_LANES = 16
LINE = 64  # bytes of a line of the cache
OUTPUTS = 64  # that one thread does at least; an even number, as two codes may share a byte
TOGETHER = 8  # runs whose entries are added while the sums are in registers


@part
def _reach(row, units, size, n_out, first, last):
    """The outputs of a row (or some), `units` units of `size` outputs, that are in first..last."""
    start = max(first - row * units, 0) * size
    return U(start), U(min(min(last - row * units, units) * size, n_out))


# ----------------------------------------------------------------------------------------- tables


@part
def _fill_table(x, book, n_centroids, length, table):
    """The products of one row's part x with the centroids, mostly four times four at a time."""
    columns, rows = length // U(4) * U(4), n_centroids // U(4) * U(4)
    for c in range(U(0), rows, U(4)):
        total = zeros(FOUR, table)
        for j in range(U(0), columns, U(4)):
            entries = transpose(load_all(FOUR, FOUR, book, c * length + j, length))
            total = add_all(total, multiply_all(entries, spread_all(FOUR, FOUR, x, j)))
        store(table, c, total)
    for c in range(rows, n_centroids):
        table[c] = 0
        for j in range(columns):
            table[c] += x[j] * book[c * length + j]
    for c in range(n_centroids):
        for j in range(columns, length):
            table[c] += x[j] * book[c * length + j]


def _fill_tables(lanes, x, codebooks, runs, tables, team, first, last):
    """Tables of single rows; a unit is a run of one row."""
    books, n_centroids, length = codebooks.shape
    for unit in range(first, last):
        run = unit % runs
        book = start_at(flat(codebooks), U(run % books * n_centroids * length))
        piece = start_at(flat(x), U(unit * length))
        table = start_at(flat(tables), U(unit * tables.shape[2]))
        _fill_table(piece, book, U(n_centroids), U(length), table)


def _fill_wide_tables(lanes, x, codebooks, runs, tables, team, first, last):
    """Tables of as many rows as there are lanes; a unit is a run of them."""
    books, n_centroids, length = codebooks.shape
    L, m = len(lanes), x.shape[0]
    columns = np.zeros(length * L, x.dtype)
    for unit in range(first, last):
        tile, run = unit // runs, unit % runs
        for r in range(min(L, m - tile * L)):
            for j in range(length):
                columns[j * L + r] = x[tile * L + r, run * length + j]
        table = start_at(flat(tables), U(unit * tables.shape[2] * L))
        for c in range(n_centroids):
            total = zeros(lanes, tables)
            for j in range(length):
                factor = spread(lanes, codebooks[run % books, c, j])
                total = add(total, multiply(load(lanes, columns, U(j * L)), factor))
            store(table, U(c * L), total)


# ---------------------------------------------------------------------------------------- look-ups


@part
def _add_by_bytes(lanes, runs, table, size, codes, width, first, last, sums):
    """Add the entries of some runs for the outputs first..last, a byte a code."""
    L = U(len(lanes))
    for o in range(first, last):
        total = load(lanes, sums, (o - first) * L)
        for s in range(len(runs)):
            code = U(codes[U(s) * width + o])
            total = add(total, load(lanes, table, (U(s) * size + code) * L))
        store(sums, (o - first) * L, total)


@part
def _add_by_pairs(lanes, runs, table, size, codes, width, first, last, sums):
    """Add the entries of some runs for the outputs first..last, two codes a byte; first is even."""
    L, two, low_bits = U(len(lanes)), U(2), U(15)
    for pair in range(first // two, last // two):
        place = (two * pair - first) * L
        even, odd = load(lanes, sums, place), load(lanes, sums, place + L)
        for s in range(len(runs)):
            both, start = U(codes[U(s) * width + pair]), U(s) * size
            even = add(even, load(lanes, table, (start + (both & low_bits)) * L))
            odd = add(odd, load(lanes, table, (start + (both >> U(4))) * L))
        store(sums, place, even)
        store(sums, place + L, odd)
    if last % two:
        place = (last - U(1) - first) * L
        even = load(lanes, sums, place)
        for s in range(len(runs)):
            code = U(codes[U(s) * width + last // two]) & low_bits
            even = add(even, load(lanes, table, (U(s) * size + code) * L))
        store(sums, place, even)


@part
def _add_some(lanes, runs, packed, table, size, codes, width, first, last, sums):
    if packed:
        _add_by_pairs(lanes, runs, table, size, codes, width, first, last, sums)
    else:
        _add_by_bytes(lanes, runs, table, size, codes, width, first, last, sums)


def _look_up(lanes, packed, tables, codes, y, team, first, last):
    """Rows as lanes; a unit is `OUTPUTS` outputs of as many rows as there are lanes."""
    L, (m, n_out), (runs, width) = len(lanes), y.shape, codes.shape
    size = tables.shape[2]
    units = -(-n_out // OUTPUTS)
    fours = runs // 4 * 4
    for tile in range(first // units, -(-last // units)):
        start, stop = _reach(tile, units, OUTPUTS, n_out, first, last)
        sums = np.zeros(int(stop - start) * L, y.dtype)
        for s in range(0, fours, 4):  # with more runs at a time the loops are not unrolled
            table = start_at(flat(tables), U((tile * runs + s) * size * L))
            place = start_at(flat(codes), U(s * width))
            _add_some(lanes, FOUR, packed, table, U(size), place, U(width), start, stop, sums)
        for s in range(fours, runs):
            table = start_at(flat(tables), U((tile * runs + s) * size * L))
            place = start_at(flat(codes), U(s * width))
            _add_some(lanes, ONE, packed, table, U(size), place, U(width), start, stop, sums)
        for r in range(min(L, m - tile * L)):
            for o in range(start, stop):
                y[tile * L + r, o] = sums[(o - start) * U(L) + U(r)]


@part
def _add_in_registers(lanes, runs, table, codes, width, first, blocks, sums):
    """Add the entries of some runs for blocks of 8 outputs a lane, in the order of the word."""
    L, half = U(len(lanes)), U(4 * len(lanes))
    for block in range(U(0), blocks):
        place, pairs = U(2) * block * half, first // U(2) + block * half
        total = load_all(lanes, EIGHT, sums, place, L)
        for s in range(U(0), runs):
            found = look_up_all(lanes, EIGHT, table, s * U(PACKED), codes, s * width + pairs)
            total = add_each(total, found)
        store_all(sums, place, L, total)


def _look_up_in_registers(lanes, tables, codes, y, team, first, last):
    """Single rows, two codes a byte; a unit is eight outputs a lane of one row."""
    L, n_out, (runs, width) = len(lanes), y.shape[1], codes.shape
    size = 8 * L
    units = -(-n_out // size)
    for row in range(first // units, -(-last // units)):
        start, stop = _reach(row, units, size, n_out, first, last)
        blocks = (stop - start) // U(size)
        rest = start + blocks * U(size)  # from here on there is no whole unit
        sums, ends = np.zeros(int(rest - start), y.dtype), np.zeros(int(stop - rest), y.dtype)
        for s in range(0, runs, TOGETHER):
            table = start_at(flat(tables), U((row * runs + s) * PACKED))
            place = start_at(flat(codes), U(s * width))
            together = U(min(TOGETHER, runs - s))
            _add_in_registers(lanes, together, table, place, U(width), start, blocks, sums)
        for s in range(runs):
            table = start_at(flat(tables), U((row * runs + s) * PACKED))
            place = start_at(flat(codes), U(s * width))
            _add_by_pairs(ONE, ONE, table, U(PACKED), place, U(width), rest, stop, ends)
        for block in range(U(0), blocks):
            before = block * U(size)
            for t in range(U(8)):  # of a vector that holds every eighth output
                for i in range(U(L)):
                    y[row, start + before + U(8) * i + t] = sums[before + t * U(L) + i]
        for o in range(rest, stop):
            y[row, o] = ends[o - rest]


# ------------------------------------------------------------------------------------------ public

_tables_of_rows = Kernel(_fill_tables)
_tables_of_tiles = Kernel(_fill_wide_tables)
_outputs_of_tiles = Kernel(_look_up)
_outputs_of_rows = Kernel(_look_up_in_registers)


def quantized_forward(x: Array, codebooks: Array, codes: Array, y: Array) -> None:
    """Fill y (m, n_out) with W x, by tables of what every centroid gives with its part of x.

    W's rows consist of pieces out of codebooks (1 or n_subspaces, n_centroids, length); codes
    (n_subspaces, n_out) of bytes say which, or, up to 16 centroids, (n_subspaces, ceil(n_out / 2)),
    the first of two outputs in the low four bits. Products are added first within a run of
    columns, from its first on, then run by run.
    """
    packed = codebooks.shape[1] <= PACKED
    lanes = lanes_of(x.dtype, MOST_LANES)
    x, codebooks, codes = usual(x), usual(codebooks), usual(codes)
    left = len(x) % len(lanes)
    alone = left if left <= (FEW_ROWS if packed else 1) else 0
    whole = len(x) - alone
    entries = codes.shape[0] * max(codebooks.shape[1], PACKED)
    step = len(lanes) * max(1, MOST_ENTRIES // (entries * len(lanes)))
    for start in range(0, whole, step):
        stop = min(start + step, whole)
        _by_tiles(lanes, packed, x[start:stop], codebooks, codes, y[start:stop])
    if alone:
        _by_rows(lanes, packed, x[whole:], codebooks, codes, y[whole:])


def _by_tiles(
    lanes: Lanes, packed: bool, x: Array, codebooks: Array, codes: Array, y: Array
) -> None:
    (m, n_out), runs = y.shape, len(codes)
    tiles, size = -(-m // len(lanes)), max(codebooks.shape[1], PACKED)
    threads = teams(y.size * runs)
    tables = _from_line((tiles, runs, size, len(lanes)), x.dtype)
    _tables_of_tiles(threads, tiles * runs, lanes, x, codebooks, runs, tables)
    _outputs_of_tiles(threads, tiles * -(-n_out // OUTPUTS), lanes, packed, tables, codes, y)


def _by_rows(
    lanes: Lanes, packed: bool, x: Array, codebooks: Array, codes: Array, y: Array
) -> None:
    (m, n_out), runs = y.shape, len(codes)
    tables = _from_line((m, runs, max(codebooks.shape[1], PACKED), 1), x.dtype)
    threads = teams(y.size * runs)
    _tables_of_rows(threads, m * runs, ONE, x, codebooks, runs, tables)
    if packed:
        units = m * -(-n_out // (8 * len(lanes)))
        _outputs_of_rows(threads, units, lanes, tables, codes, y)
    else:
        _outputs_of_tiles(threads, m * -(-n_out // OUTPUTS), ONE, packed, tables, codes, y)


def _from_line(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An uninitialised array from the start of a line on: no vector in it lies across two lines."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % LINE
    return memory[start : start + size].view(dtype).reshape(shape)
