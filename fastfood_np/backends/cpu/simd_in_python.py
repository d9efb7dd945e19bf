"""The words of `simd` as plain Python on NumPy arrays: what runs with NUMBA_DISABLE_JIT=1."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "add",
    "add_all",
    "add_each",
    "butterflies",
    "butterflies_within",
    "element_bytes",
    "flat",
    "gather_all",
    "load",
    "load_all",
    "look_up_all",
    "multiply",
    "multiply_add",
    "multiply_all",
    "prefetch",
    "scatter_all",
    "sixteen_bytes",
    "spread",
    "spread_all",
    "start_at",
    "store",
    "store_all",
    "transpose",
    "up_to_line",
    "zeros",
]


def flat(array):
    """Return a C-contiguous array as a flat one."""
    return array.reshape(-1)


def start_at(pointer, index):
    """Return the flat array from pointer[index] on."""
    return pointer[int(index) :]


def element_bytes(array):
    """Return the size of the array's elements."""
    return np.uint64(array.itemsize)


def sixteen_bytes(array):
    """Return as many Nones as elements of the array fit into 16 bytes."""
    return (None,) * (16 // array.itemsize)


def up_to_line(array, index):
    """Return how many elements lie before the next line of the cache, or 0: see `simd`."""
    gap = -(array.ctypes.data + int(index) * array.itemsize) % 64
    return np.uint64(0 if gap % 16 else gap // array.itemsize)


def load(lanes, array, index):
    """Return the vector array[index : index + lanes]."""
    assert index >= 0 and index + len(lanes) <= array.size
    return array[int(index) : int(index) + len(lanes)].copy()


def store(array, index, vector):
    """Put the vector at array[index]."""
    assert index >= 0 and index + vector.size <= array.size
    array[int(index) : int(index) + vector.size] = vector


def load_all(lanes, count, array, index, stride):
    """Return `count` vectors, the k-th from array[index + k stride]."""
    return tuple(load(lanes, array, int(index) + k * int(stride)) for k in range(len(count)))


def store_all(array, index, stride, vectors):
    """Put the k-th vector at array[index + k stride]."""
    for k, vector in enumerate(vectors):
        store(array, int(index) + k * int(stride), vector)


def _place(places, position, width, offset):
    return int(places[int(position)]) * int(width) + int(offset)


def gather_all(lanes, count, array, places, first, width, offset):
    """Return `count` vectors, the k-th from array[places[first + k] width + offset]."""
    return tuple(
        load(lanes, array, _place(places, int(first) + k, width, offset)) for k in range(len(count))
    )


def scatter_all(array, places, first, width, offset, vectors):
    """Put the k-th vector at array[places[first + k] width + offset]."""
    for k, vector in enumerate(vectors):
        store(array, _place(places, int(first) + k, width, offset), vector)


def look_up_all(lanes, count, table, first, codes, place):
    """Return `count` vectors, the k-th from table[first + code], of codes of four bits."""
    assert place >= 0 and place + 4 * len(lanes) <= codes.size
    pieces = codes[int(place) : int(place) + 4 * len(lanes)]
    eight = np.stack([pieces & 15, pieces >> 4], axis=1).reshape(-1, 8)  # codes of an element
    return tuple(table[int(first) + eight[:, k].astype(np.intp)] for k in range(len(count)))


def prefetch(lanes, count, array, index):
    """Nothing: Python cannot."""


def zeros(lanes, array):
    """Return a vector of zeros of the array's dtype."""
    return np.zeros(len(lanes), array.dtype)


def spread(lanes, scalar):
    """Return a vector of copies of a number."""
    return np.full(len(lanes), scalar)


def spread_all(lanes, count, array, index):
    """Return `count` vectors, the k-th of copies of array[index + k]."""
    return tuple(spread(lanes, array[int(index) + k]) for k in range(len(count)))


def add(x, y):
    """Return x + y for two vectors."""
    return x + y


def multiply(x, y):
    """Return x y for two vectors."""
    return x * y


def multiply_all(vectors, factors):
    """Return the products of vectors and factors: as many vectors, or one for all."""
    if not isinstance(factors, tuple):
        factors = (factors,) * len(vectors)
    return tuple(x * y for x, y in zip(vectors, factors, strict=True))


def add_all(total, vectors):
    """Return total + vectors[0] + vectors[1] + ..., added in this order."""
    for vector in vectors:
        total = total + vector
    return total


def add_each(left, right):
    """Return the sums of vectors, pair by pair."""
    return tuple(x + y for x, y in zip(left, right, strict=True))


def multiply_add(factor, x, y):
    """Return factor * x + y for a scalar and two vectors."""
    return factor * x + y


def _transformed(v: Any) -> Any:
    half = 1
    while half < len(v):
        pairs = v.reshape(-1, 2, half, *v.shape[1:])
        v = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], 1).reshape(v.shape)
        half *= 2
    return v


def butterflies(vectors):
    """Return H times the tuple of vectors."""
    return tuple(_transformed(np.stack(vectors)))


def butterflies_within(vectors):
    """Return H times each vector."""
    return tuple(_transformed(vector) for vector in vectors)


def transpose(vectors):
    """Return the columns of a square matrix of which the vectors are the rows."""
    return tuple(np.stack(vectors).T.copy())
