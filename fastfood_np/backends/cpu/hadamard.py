"""Walsh-Hadamard transform of rows, radix 4 in constant geometry (Pease's form).

One stage transforms the two top bits of the index and rotates them to the bottom. After all
stages each bit has been transformed and stands in its own place again: natural order out, and
every stage reads four contiguous quarters and writes one contiguous row.
"""

from __future__ import annotations

import numba
import numpy as np

from fastfood_np.backends.cpu.jit import Twins, jit
from fastfood_np.validation import Array


@jit
def _stage_of_2(source, target):  # type: ignore[no-untyped-def]
    half = source.size // 2
    a, b = source[:half], source[half:]
    for i in range(half):
        target[2 * i] = a[i] + b[i]
        target[2 * i + 1] = a[i] - b[i]


@jit
def _stage_of_4(source, target):  # type: ignore[no-untyped-def]
    quarter = source.size // 4
    a, b = source[:quarter], source[quarter : 2 * quarter]
    c, d = source[2 * quarter : 3 * quarter], source[3 * quarter :]
    for i in range(quarter):
        ab, a_b = a[i] + b[i], a[i] - b[i]
        cd, c_d = c[i] + d[i], c[i] - d[i]
        target[4 * i] = ab + cd
        target[4 * i + 1] = a_b + c_d
        target[4 * i + 2] = ab - cd
        target[4 * i + 3] = a_b - c_d


@jit
def fwht_row(row, scratch):  # type: ignore[no-untyped-def]
    """Replace the contiguous `row` (d,) by H row; `scratch` (d,) is overwritten."""
    bits = 0
    while (1 << bits) < row.size:
        bits += 1
    stages = (bits + 1) // 2
    source, target = row, scratch
    if stages % 2 == 1:  # so that the last stage writes into row
        scratch[:] = row
        source, target = scratch, row
    if bits % 2 == 1:
        _stage_of_2(source, target)
        source, target = target, source
    for _ in range(bits // 2):
        _stage_of_4(source, target)
        source, target = target, source


def _fwht_driver(rows):  # type: ignore[no-untyped-def]
    for i in numba.prange(rows.shape[0]):
        fwht_row(rows[i], np.empty(rows.shape[1], rows.dtype))


_fwht = Twins(_fwht_driver)


def fwht(rows: Array) -> None:
    """Replace each row of the C-contiguous array (m, d), d = 2^k, by its transform H row."""
    _fwht.for_work(rows.size)(rows)
