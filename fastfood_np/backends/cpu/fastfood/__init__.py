"""Fastfood: which kernel takes a batch, and the arguments as kernels want them."""

from __future__ import annotations

import threading
from typing import Any, cast

import numpy as np

from fastfood_np.backends.cpu.fastfood import backward, forward, rows
from fastfood_np.backends.cpu.fastfood.tiles import LINE, scratch_size
from fastfood_np.backends.cpu.jit import teams
from fastfood_np.backends.cpu.kernel import usual
from fastfood_np.backends.cpu.widths import lanes
from fastfood_np.validation import Array

# Gradients of S, G and B are summed over chunks of rows: multiples of a tile's 16, in a number that
# depends on the batch alone, and so small that adding the chunks up costs little.
CHUNK_ROWS, MOST_CHUNKS = 16, 64

MOST_KEPT = 1 << 20  # bytes
_kept = threading.local()

# What stands for an absent array: kernels ask for its size. (None would double their number.)
_ABSENT: dict[Any, Array] = {np.dtype(t): np.empty((1, 0), t) for t in (np.float32, np.float64)}
_NO_MASK = np.empty((1, 1, 0), np.uint8)


def _scratch(threads: int, d_pad: int, dtype: Any, tiles: int = 2) -> Array:
    """Return uninitialised memory for each thread, from the start of a line of the cache.

    Each Python thread keeps a small one: to allocate it costs more than a short batch.
    """
    key = threads, d_pad, dtype, tiles
    if getattr(_kept, "key", None) != key:
        row = scratch_size(d_pad, dtype.itemsize, tiles) * dtype.itemsize
        memory = np.empty(threads * row + LINE, np.uint8)
        skip = -memory.ctypes.data % LINE
        scratch = memory[skip : skip + threads * row].view(dtype).reshape(threads, -1)
        if memory.size > MOST_KEPT:
            return scratch
        _kept.key, _kept.scratch = key, scratch
    return cast(Array, _kept.scratch)


def _fills_a_tile(m: int, itemsize: int) -> bool:
    """Whether a tile, which takes equally long however many rows it holds, is faster than rows.

    Where the two meet depends on the size of the blocks; three quarters are our choice.
    """
    return 4 * m > 3 * (LINE // itemsize)


def fastfood_forward(
    x: Array,
    S: Array,
    G: Array,
    B: Array,
    perm: Array,
    scale: float,
    keep: Array | None,
    keep_scale: float,
    nonlinearity: str,
    phase: Array | None,
    amplitude: float,
    y: Array,
) -> None:
    """Fill y with a function of c S H G Pi H B x; see `backends.reference`."""
    m, d_pad, dtype = len(x), S.shape[1], x.dtype
    tiles = _fills_a_tile(m, dtype.itemsize)
    kernel = (forward.by_tiles if tiles else rows.forward)[nonlinearity]
    threads = teams(m * S.size)
    kernel(
        threads,
        -(-m // (LINE // dtype.itemsize)) if tiles else m,
        lanes(dtype, d_pad),
        *map(usual, (x, S, G, B, perm)),
        dtype.type(scale),
        _NO_MASK if keep is None else usual(keep.view(np.uint8)),
        dtype.type(keep_scale),
        _ABSENT[dtype][0] if phase is None else usual(phase),
        dtype.type(amplitude),
        y,
        _scratch(threads, d_pad, dtype, 3 if tiles and nonlinearity != "none" else 2),
    )


def fastfood_backward(
    x: Array,
    dy: Array,
    S: Array,
    G: Array,
    B: Array,
    perm: Array,
    scale: float,
    keep: Array | None,
    keep_scale: float,
    dx: Array | None,
    dS: Array,
    dG: Array,
    dB: Array,
) -> None:
    """Fill dx (unless None), dS, dG and dB from dy; see `backends.reference`."""
    m, d_pad, dtype = len(x), S.shape[1], x.dtype
    kernel = backward.by_tiles if _fills_a_tile(m, dtype.itemsize) else rows.backward
    chunk_rows = CHUNK_ROWS * max(1, -(-m // (CHUNK_ROWS * MOST_CHUNKS)))
    sums = np.empty((max(1, -(-m // chunk_rows)), 3, *S.shape), dtype)
    threads = teams(m * S.size)
    kernel(
        threads,
        len(sums),
        lanes(dtype, d_pad),
        *map(usual, (x, dy, S, G, B, perm)),
        dtype.type(scale),
        _NO_MASK if keep is None else usual(keep.view(np.uint8)),
        dtype.type(keep_scale),
        _ABSENT[dtype] if dx is None else dx,
        sums,
        chunk_rows,
        _scratch(threads, d_pad, dtype),
    )
    for grad, total in zip((dS, dG, dB), sums.sum(axis=0), strict=True):  # chunk after chunk
        grad[...] = total
