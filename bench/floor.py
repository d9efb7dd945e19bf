"""The floor: one streaming pass, in place, over as many bytes as the work at least moves."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from harness import Contender, touch

CHUNK = 1 << 14  # elements; sliced once each, so that the inner loop is a loop over one array


@numba.njit(nogil=True, cache=True)
def _negate_chunk(array: Any, chunk: int) -> None:
    part = array[chunk * CHUNK : (chunk + 1) * CHUNK]
    for i in range(part.size):
        part[i] = -part[i]


@numba.njit(nogil=True, cache=True)
def _negate(array: Any) -> None:
    for chunk in range((array.size + CHUNK - 1) // CHUNK):
        _negate_chunk(array, chunk)


@numba.njit(nogil=True, cache=True, parallel=True)
def _negate_parallel(array: Any) -> None:
    for chunk in numba.prange((array.size + CHUNK - 1) // CHUNK):
        _negate_chunk(array, chunk)


def streaming_pass(moved: int, dtype: Any, threads: int) -> Contender:
    """Return a pass that reads `moved / 2` bytes, and writes them back negated."""
    array = np.ones(moved // (2 * np.dtype(dtype).itemsize), dtype)
    negate = _negate if threads == 1 else _negate_parallel
    return Contender(
        run=lambda: negate(array), prepare=lambda: touch(array), flop=0.0, moved=2.0 * array.nbytes
    )
