"""Entropy coding by an adaptive binary range coder: one symbol after the other, on one thread."""

from __future__ import annotations

import numpy as np

from fastfood_np.backends.cpu.jit import inlined, jit
from fastfood_np.backends.cpu.kernel import usual
from fastfood_np.backends.reference_range_coder import FULL, LIMIT, SHORT
from fastfood_np.validation import Array

# All numbers are below 2^45, in int64 throughout: unsigned and signed ones together make floats.


@inlined
def _learn(weights, node, bit, step):
    weights[node, bit] += step
    if weights[node, 0] + weights[node, 1] > LIMIT:
        weights[node, 0] = weights[node, 0] >> 1 | 1
        weights[node, 1] = weights[node, 1] >> 1 | 1


@inlined
def _carry(out, length):
    """Add one to the bytes written so far, as one number."""
    last = length - 1
    while out[last] == 0xFF:
        out[last] = 0
        last -= 1
    out[last] += 1


@jit
def _encode(codes, bits, step, out):
    weights = np.ones((1 << bits, 2), np.int64)
    half = FULL // 2
    low, size, length = 0 if step else half, half, 0
    for i in range(codes.size):
        code, node = np.int64(codes[i]), 1
        for shift in range(bits - 1, -1, -1):
            bit = code >> shift & 1
            zero, one = weights[node, 0], weights[node, 1]
            bound = size * zero // (zero + one)
            if bit:
                low, size = low + bound, size - bound
            else:
                size = bound
            _learn(weights, node, bit, step)
            node = 2 * node + bit
            if low >= FULL:
                _carry(out, length)
                low -= FULL
            while size < SHORT:
                if length == out.size:
                    return -1
                out[length] = low >> 24
                length += 1
                low, size = (low & 0xFFFFFF) << 8, size << 8
    # One more byte if all that begins with it lies in the interval, else two.
    shift = 24
    first = (low + (1 << shift) - 1) >> shift
    if (first + 1) << shift > low + size:
        shift = 16
        first = (low + (1 << shift) - 1) >> shift
    first <<= shift
    extra = 1 if shift == 24 else 2
    if length + extra > out.size:
        return -1
    if first >= FULL:
        _carry(out, length)
        first -= FULL
    out[length] = first >> 24
    if extra == 2:
        out[length + 1] = first >> 16 & 0xFF
    return length + extra


@jit
def _decode(data, bits, codes):
    weights = np.ones((1 << bits, 2), np.int64)
    place, used, size = 0, 0, FULL // 2
    while used < 4:
        place = place << 8 | (np.int64(data[used]) if used < data.size else 0)
        used += 1
    step = 2 if place < size else 0
    place %= size
    for i in range(codes.size):
        node = 1
        for _ in range(bits):
            zero, one = weights[node, 0], weights[node, 1]
            bound = size * zero // (zero + one)
            bit = 1 if place >= bound else 0
            if bit:
                place, size = place - bound, size - bound
            else:
                size = bound
            _learn(weights, node, bit, step)
            node = 2 * node + bit
            while size < SHORT:
                place = place << 8 | (np.int64(data[used]) if used < data.size else 0)
                size <<= 8
                used += 1
        codes[i] = node - (1 << bits)


def range_encode(codes: Array, bits: int, adaptive: bool, out: Array) -> int:
    """Write codes (n,) of `bits` >= 1 bits into out (uint8), and return how many bytes that took.

    -1 if they do not fit into `out`, whose contents are then arbitrary. See the reference.
    """
    return int(_encode(usual(codes), bits, 2 if adaptive else 0, out))


def range_decode(data: Array, bits: int, codes: Array) -> None:
    """Fill codes (n,) with what `range_encode` has written as data (uint8); zeros follow them."""
    _decode(usual(data), bits, codes)
