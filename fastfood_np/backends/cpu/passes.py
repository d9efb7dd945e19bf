"""Passes over memory, each of which takes several stages of the Walsh-Hadamard transform.

Stage h = 1, 2, 4, ... replaces all pairs of elements h apart (indices that differ in that bit) by
their sum and difference. All forms take the stages from the bottom up, so all give the same bits.
On a flat array the stages below d transform every row of d elements, wherever it starts.

``start``, ``stop``, ``stride`` and d are unsigned: a signed index could be negative, which Numba
would have to ask for each element.
"""

from __future__ import annotations

from fastfood_np.backends.cpu.jit import inlined, part
from fastfood_np.backends.cpu.simd import (
    EIGHT,
    FOUR,
    ONE,
    SIXTEEN,
    TWO,
    U,
    butterflies,
    butterflies_within,
    element_bytes,
    load_all,
    prefetch,
    store_all,
    up_to_line,
)

# How far ahead of the first pass its source is fetched, in elements.
AHEAD = 2048


@inlined
def contiguous_pass(lanes, count, source, target, start, stop):
    """Take stages 1 to lanes * count / 2 on the way from source[start:stop] to target."""
    width, piece = U(len(lanes)), U(len(lanes) * len(count))
    for i in range(start, stop, piece):
        prefetch(lanes, count, source, i + U(AHEAD))
        vectors = load_all(lanes, count, source, i, width)
        store_all(target, i, width, butterflies(butterflies_within(vectors)))


@part
def first_pass(lanes, source, target, start, stop, d):
    """Take as many stages as registers hold; return the next stage. len(lanes) <= d."""
    count = d // U(len(lanes))
    if count >= U(16) and U(len(lanes)) * element_bytes(source) == U(64):  # twice as many registers
        contiguous_pass(lanes, SIXTEEN, source, target, start, stop)
        return U(16 * len(lanes))
    if count >= U(8):
        contiguous_pass(lanes, EIGHT, source, target, start, stop)
        return U(8 * len(lanes))
    if count == U(4):
        contiguous_pass(lanes, FOUR, source, target, start, stop)
    elif count == U(2):
        contiguous_pass(lanes, TWO, source, target, start, stop)
    else:
        contiguous_pass(lanes, ONE, source, target, start, stop)
    return d


@part
def _columns(lanes, radix, array, group, stride, first, last):
    """Take the stages stride to stride * radix / 2 of the columns from `first` to `last`."""
    for i in range(group + first, group + last, U(len(lanes))):
        store_all(array, i, stride, butterflies(load_all(lanes, radix, array, i, stride)))


@inlined
def strided_pass(lanes, edge, radix, array, start, stop, stride, first, last):
    """Take stages stride to stride * radix / 2 of array[start:stop].

    Of each run of `stride` elements only those from `first` to `last` are visited. A vector that
    lies across two lines of the cache takes twice as long, so up to the first line, and behind the
    last whole vector, `edge` lanes go at a time. (Where edge is lanes, there are no edges.)
    """
    head = tail = U(0)
    if len(edge) < len(lanes):
        head = min(up_to_line(array, start + first), last - first)
        tail = (last - first - head) % U(len(lanes))
    for group in range(start, stop, stride * U(len(radix))):
        _columns(edge, radix, array, group, stride, first, first + head)
        _columns(lanes, radix, array, group, stride, first + head, last - tail)
        _columns(edge, radix, array, group, stride, last - tail, last)


def radix_of(low, high):
    """Into how many parts the next pass of stages low to high / 2 takes a run: 2, 4 or 8."""
    parts = high // low
    return 4 if parts == 16 else min(parts, 8)


@part
def strided_passes(lanes, edge, array, start, stop, low, high):
    """Take stages low to high / 2 of array[start:stop]."""
    while low < high:
        parts = high // low
        if parts == U(2):
            strided_pass(lanes, edge, TWO, array, start, stop, low, U(0), low)
            low *= U(2)
        elif parts == U(4) or parts == U(16):
            strided_pass(lanes, edge, FOUR, array, start, stop, low, U(0), low)
            low *= U(4)
        else:
            strided_pass(lanes, edge, EIGHT, array, start, stop, low, U(0), low)
            low *= U(8)
