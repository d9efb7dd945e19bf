"""Walsh-Hadamard transform of rows in plain loops: the portable form, which LLVM vectorises.

LLVM does so where it knows that the elements combined do not overlap: radix 8 at distances known
to the compiler, then radix 4 on slices, of which there are few enough to ask at run time. Stages
are taken from the lowest bit up, as in `passes`, so the bits are the same.
"""

from __future__ import annotations

import numpy as np

from fastfood_np.backends.cpu.jit import part
from fastfood_np.backends.cpu.simd import EIGHT, ONE

U = np.uint64
SIXTY_FOUR = EIGHT * 8
# Elements of a row that are taken through their stages before the next are touched.
BLOCK = 4096


@part
def _radix_8(row, distance):
    h = U(len(distance))
    for start in range(U(0), U(row.size), U(8) * h):
        for i in range(len(distance)):
            p = start + U(i)
            q = p + U(4) * h
            a, b, c, d = row[p], row[p + h], row[p + U(2) * h], row[p + U(3) * h]
            e, f, g, k = row[q], row[q + h], row[q + U(2) * h], row[q + U(3) * h]
            a, b, c, d, e, f, g, k = a + b, a - b, c + d, c - d, e + f, e - f, g + k, g - k
            a, b, c, d, e, f, g, k = a + c, b + d, a - c, b - d, e + g, f + k, e - g, f - k
            row[p], row[p + h] = a + e, b + f
            row[p + U(2) * h], row[p + U(3) * h] = c + g, d + k
            row[q], row[q + h] = a - e, b - f
            row[q + U(2) * h], row[q + U(3) * h] = c - g, d - k


@part
def _radix_4(row, h):
    for start in range(0, row.size, 4 * h):
        a, b = row[start : start + h], row[start + h : start + 2 * h]
        c, d = row[start + 2 * h : start + 3 * h], row[start + 3 * h : start + 4 * h]
        for i in range(h):
            ab, a_b, cd, c_d = a[i] + b[i], a[i] - b[i], c[i] + d[i], c[i] - d[i]
            a[i], b[i], c[i], d[i] = ab + cd, a_b + c_d, ab - cd, a_b - c_d


@part
def _radix_2(row, h):
    for start in range(0, row.size, 2 * h):
        a, b = row[start : start + h], row[start + h : start + 2 * h]
        for i in range(h):
            a[i], b[i] = a[i] + b[i], a[i] - b[i]


@part
def _stages(row, h, end):
    """Take the stages from h to end / 2."""
    while 4 * h <= end:
        _radix_4(row, h)
        h *= 4
    if h < end:
        _radix_2(row, h)


@part
def _low_stages(block, d):
    """Take the stages below d that lie within the block."""
    h = 1
    if d >= 8:
        _radix_8(block, ONE)
        h = 8
    if d >= 64:
        _radix_8(block, EIGHT)
        h = 64
    if d >= 512:
        _radix_8(block, SIXTY_FOUR)
        h = 512
    _stages(block, h, d)


@part
def fwht_rows(rows, d):
    """Replace rows of d = 2^k elements, contiguous and one after the other, by H row."""
    for start in range(0, rows.size, BLOCK):
        _low_stages(rows[start : start + BLOCK], min(d, BLOCK))
    _stages(rows, BLOCK, d)
