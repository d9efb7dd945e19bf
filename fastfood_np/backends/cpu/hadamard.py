"""Walsh-Hadamard transform of rows, blocked for the caches and split over threads."""

from __future__ import annotations

from fastfood_np.backends.cpu.host import second_cache
from fastfood_np.backends.cpu.jit import part, teams
from fastfood_np.backends.cpu.kernel import Kernel, usual
from fastfood_np.backends.cpu.passes import (
    first_pass,
    radix_of,
    strided_pass,
    strided_passes,
)
from fastfood_np.backends.cpu.simd import (
    EIGHT,
    FOUR,
    TWO,
    U,
    element_bytes,
    flat,
    sixteen_bytes,
)
from fastfood_np.backends.cpu.widths import lanes
from fastfood_np.validation import Array

# Blocks that stay in the first and in the second cache while their stages are taken, in bytes.
# (The second one's is half of it, as a power of two; the first one's is compiled into kernels.)
NEAR = 1 << 14
MIDDLE = max(2 * NEAR, 1 << (second_cache().bit_length() - 2))
# Elements of a run that one thread takes of a stage beyond the blocks.
COLUMNS = 1024


@part
def transform_block(lanes, source, target, start, stop, d):
    """Take all stages below d of target[start:stop] = source[start:stop]."""
    near, edge = U(NEAR) // element_bytes(target), sixteen_bytes(target)
    for begin in range(start, stop, near):
        end = min(stop, begin + near)
        low = first_pass(lanes, source, target, begin, end, d)
        strided_passes(lanes, edge, target, begin, end, low, min(d, near))
    strided_passes(lanes, edge, target, start, stop, near, d)


@part
def fwht_row(lanes, row, d):
    """Replace the d >= len(lanes) numbers of `row`, flat memory, by H row, within a kernel."""
    transform_block(lanes, row, row, U(0), d, d)


def _blocks(lanes, source, target, d, block, team, first, last):
    """Take the stages below d and `block` of the blocks from `first` to `last`."""
    d, block = min(U(d), U(block)), U(block)
    for start in range(U(first) * block, min(U(last) * block, U(target.size)), block):
        stop = min(U(target.size), start + block)
        transform_block(lanes, flat(source), flat(target), start, stop, d)


def _far_pass(lanes, target, radix, stride, team, first, last):
    """Take the stages stride to stride * radix / 2 of the pieces from `first` to `last`.

    A piece is `COLUMNS` elements of each run of `stride` elements in a group of `radix` runs.
    """
    stride, radix, target = U(stride), U(radix), flat(target)
    columns, edge = min(U(COLUMNS), stride), sixteen_bytes(target)
    for piece in range(U(first), U(last)):
        start, low = piece * columns // stride * stride * radix, piece * columns % stride
        stop, high = start + stride * radix, low + columns
        if radix == U(8):
            strided_pass(lanes, edge, EIGHT, target, start, stop, stride, low, high)
        elif radix == U(4):
            strided_pass(lanes, edge, FOUR, target, start, stop, stride, low, high)
        else:
            strided_pass(lanes, edge, TWO, target, start, stop, stride, low, high)


_by_blocks = Kernel(_blocks)
_by_pieces = Kernel(_far_pass)


def _block(size: int, d: int, itemsize: int, threads: int) -> int:
    """Return how many elements a thread transforms at a time, a multiple or a part of d."""
    near, middle = NEAR // itemsize, MIDDLE // itemsize
    if d <= near:
        return near
    return near if threads > 1 and size < 8 * min(d, middle) else min(d, middle)


def fwht(x: Array, out: Array) -> None:
    """Fill out (m, d), d = 2^k, with H x, row by row: C-contiguous, the same array or apart."""
    d, size = x.shape[1], x.size
    source, target, vector = usual(x).reshape(-1), out.reshape(-1), lanes(x.dtype, d)
    threads = teams(size)
    block = _block(size, d, x.itemsize, threads)
    _by_blocks(threads, -(-size // block), vector, source, target, d, block)
    while block < d:
        radix = radix_of(block, d)
        pieces = size // (radix * min(COLUMNS, block))
        _by_pieces(threads, pieces, vector, target, radix, block)
        block *= radix
