"""Convolution and max-pooling in one pass, straight from the image: no column matrix.

The vector registers run over the output channels. The sums of four neighbouring outputs times two
vectors of channels stay in registers while all pixels of their patches are added; those of one row
of pooling windows stay in the nearest cache until they have been pooled.

Every sum is taken in one fixed order, which no thread count and no batch size changes.
"""

from __future__ import annotations

import numpy as np

from fastfood_np.backends.cpu import widths
from fastfood_np.backends.cpu.jit import part, teams
from fastfood_np.backends.cpu.kernel import Kernel, usual
from fastfood_np.backends.cpu.simd import EIGHT, SIXTEEN, U, load, multiply_add, store, up_to_line
from fastfood_np.backends.cpu.widths import Lanes
from fastfood_np.validation import Array

LANES = len(EIGHT)


@part
def padded(size, to):
    """The next multiple of `to`."""
    return (size + to - 1) // to * to


@part
def _block(lanes):
    """Channels in one block: two vectors."""
    return 2 * len(lanes)


@part
def _weight_blocks(W, channels, block):
    """W (out, in, kh, kw), zeros up to so many channels, as a flat (blocks, pixels, block).

    It starts at a line of the cache: vectors of a whole line would else take two loads each.
    """
    n_out, pixels = W.shape[0], W[0].size
    memory = np.zeros(channels * pixels + block, W.dtype)
    weights = memory[np.int64(up_to_line(memory, U(0))) :]
    for o in range(n_out):
        row = W[o].reshape(-1)
        for k in range(pixels):
            weights[(o // block * pixels + k) * block + o % block] = row[k]
    return weights


@part
def _sum_starts(windows, pool, channels):
    """Where the sums of pixel (i, c) of a row of windows start, as (pool, columns + 3).

    First all windows' first pixels, then all second ones, ...: pooling is then a maximum of whole
    rows. Columns are computed in fours: up to three past the end go to rows that nobody reads.
    """
    columns = windows * pool
    starts = np.empty((pool, columns + 3), np.uint64)
    for i in range(pool):
        for c in range(columns):
            starts[i, c] = ((i * pool + c % pool) * windows + c // pool) * channels
        for spare in range(3):
            starts[i, columns + spare] = (pool * columns + spare) * channels
    return starts


@part
def _patch_offsets(kernel, plane, width):
    """Where the pixels of a patch lie in a flat image, counted from the patch's first."""
    channels, height, columns = kernel
    offsets = np.empty(channels * height * columns, np.uint64)
    for c in range(channels):
        for i in range(height):
            for j in range(columns):
                offsets[(c * height + i) * columns + j] = c * plane + i * width + j
    return offsets


@part
def _convolve_four(lanes, image, pixels, offsets, weights, at, bias, o, sums, starts):
    """Set the sums of four outputs, channels o to o + block, to bias + weights * patch."""
    width, block = U(len(lanes)), U(_block(lanes))
    p0, p1, p2, p3 = pixels
    a0 = a1 = a2 = a3 = load(lanes, bias, o)
    b0 = b1 = b2 = b3 = load(lanes, bias, o + width)
    for t in range(offsets.size):
        k = offsets[t]
        v, w = load(lanes, weights, at), load(lanes, weights, at + width)
        at += block
        x = image[p0 + k]
        a0, b0 = multiply_add(x, v, a0), multiply_add(x, w, b0)
        x = image[p1 + k]
        a1, b1 = multiply_add(x, v, a1), multiply_add(x, w, b1)
        x = image[p2 + k]
        a2, b2 = multiply_add(x, v, a2), multiply_add(x, w, b2)
        x = image[p3 + k]
        a3, b3 = multiply_add(x, v, a3), multiply_add(x, w, b3)
    s0, s1, s2, s3 = starts
    store(sums, s0 + o, a0)
    store(sums, s1 + o, a1)
    store(sums, s2 + o, a2)
    store(sums, s3 + o, a3)
    o += width
    store(sums, s0 + o, b0)
    store(sums, s1 + o, b1)
    store(sums, s2 + o, b2)
    store(sums, s3 + o, b3)


@part
def _convolve_row(lanes, image, first, columns, offsets, weights, bias, sums, starts):
    """Convolve a row of patches, the first of which starts at pixel `first`, into `sums`."""
    last = U(first + columns - 1)
    for start in range(0, bias.size, _block(lanes)):
        at, o = U(start * offsets.size), U(start)
        for c in range(0, columns, 4):
            p = U(first + c)
            pixels = (p, min(p + U(1), last), min(p + U(2), last), min(p + U(3), last))
            rows = (starts[c], starts[c + 1], starts[c + 2], starts[c + 3])
            _convolve_four(lanes, image, pixels, offsets, weights, at, bias, o, sums, rows)


@part
def _pool_sums(sums, pool, width, where):
    """Make the first rows of `sums` the maxima, and `where` their places in their windows."""
    n = where.size
    for e in range(n):
        where[e] = 0
    for t in range(1, pool * pool):
        at, place = U(t * n), np.int32(t // pool * width + t % pool)
        for e in range(n):
            u = U(e)
            value, highest, before = sums[at + u], sums[u], where[u]
            # False where value is NaN: the first NaN wins, and then stays.
            stays = (value <= highest) | (highest != highest)
            sums[u] = highest if stays else value
            where[u] = before if stays else place


@part
def _rectify(values, where):
    """ReLU; `where` becomes -1 where no gradient passes. NaN stays NaN."""
    zero = values.dtype.type(0)
    for e in range(where.size):
        value, place = values[e], where[e]
        values[e] = zero if value <= zero else value
        where[e] = place if value > zero else -1


@part
def _conv_pool_image(lanes, image, width, offsets, weights, bias, starts, pool, relu, y, position):
    n_out, rows, windows = y.shape
    channels = bias.size
    sums = np.empty((pool * pool * windows + 3) * channels, image.dtype)
    where = np.empty(windows * channels, np.int32)
    for p in range(rows):
        for i in range(pool):
            first = (p * pool + i) * width
            _convolve_row(
                lanes, image, first, windows * pool, offsets, weights, bias, sums, starts[i]
            )
        _pool_sums(sums, pool, width, where)
        if relu:
            _rectify(sums, where)
        for o in range(n_out):
            for q in range(windows):
                place = where[q * channels + o]
                corner = p * pool * width + q * pool
                y[o, p, q] = sums[q * channels + o]
                position[o, p, q] = place if place < 0 else place + corner


def _conv_pool_images(lanes, x, W, b, pool, relu, y, position, team, first, last):
    windows, width, channels = y.shape[3], x.shape[3], padded(W.shape[0], _block(lanes))
    weights = _weight_blocks(W, channels, _block(lanes))
    bias = np.zeros(channels, W.dtype)
    bias[: b.size] = b
    offsets = _patch_offsets(W.shape[1:], x.shape[2] * width, width)
    starts = _sum_starts(windows, pool, channels)
    for i in range(first, last):
        image = x[i].reshape(-1)
        _conv_pool_image(
            lanes, image, width, offsets, weights, bias, starts, pool, relu, y[i], position[i]
        )


_conv_pool = Kernel(_conv_pool_images)


def conv_work(outputs: Array, W: Array) -> int:
    """Cost in elements of a streaming pass: about eight multiply-adds each."""
    return int(outputs.size * W[0].size // LANES)


def _lanes(W: Array) -> Lanes:
    """Return the lanes of a vector: eight, or sixteen where no more channels are padded by that."""
    widest = widths.lanes(W.dtype, len(SIXTEEN))
    padding, widest_padding = (-len(W) % (2 * len(lanes)) for lanes in (EIGHT, widest))
    return widest if len(widest) > LANES and widest_padding == padding else EIGHT


def conv_pool2d(
    x: Array, W: Array, b: Array | None, pool: int, relu: bool, y: Array, position: Array
) -> None:
    """Fill y (m, out, OH / pool, OW / pool): convolution, max-pooling and, if asked, ReLU.

    x is (m, in, H, W), W is (out, in, kh, kw), b is (out,); OH = H - kh + 1, OW = W - kw + 1.
    ``pool = 1`` is the plain convolution. Cost O(m out OH OW in kh kw).
    """
    bias = np.zeros(len(W), W.dtype) if b is None else b
    inputs = map(usual, (x, W, bias))
    _conv_pool(teams(conv_work(y, W)), len(x), _lanes(W), *inputs, pool, relu, y, position)
