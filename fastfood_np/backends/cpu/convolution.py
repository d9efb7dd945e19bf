"""Convolution and max-pooling in one pass, straight from the image: no column matrix.

Forward, the vector registers run over the output channels: a row of weights, one a channel, is
multiplied with its pixel of four neighbouring patches, and the sums of a few image rows stay in
the nearest cache until they have been pooled. Backward, only the outputs that were a maximum
carry a gradient, one in pool * pool: both gradients cost that much less than as matrix products.

Every sum is taken in one fixed order, which no thread count and no batch size changes.
"""

from __future__ import annotations

import numba
import numpy as np

from fastfood_np.backends.cpu.jit import Twins, jit
from fastfood_np.validation import Array

# Rows of channels and of patches are padded to whole steps of their loops, which take one and two
# vectors of eight: what is left over would run element by element.
LANES = 8
RUN_LANES = 16

# Indices into flat arrays are unsigned: a signed sum could be negative, which Numba would have to
# ask for each element, and no loop would become vector instructions.
U = np.uint64


@jit
def _padded(size, lanes):  # type: ignore[no-untyped-def]
    return (size + lanes - 1) // lanes * lanes


# ---------------------------------------------------------------------------------- forward


@jit
def _weight_rows(W):  # type: ignore[no-untyped-def]
    """W (out, in, kh, kw) as flat rows (in * kh * kw, padded out), padded with zeros."""
    flat = W.reshape(W.shape[0], -1)
    rows = np.zeros((flat.shape[1], _padded(flat.shape[0], LANES)), W.dtype)
    for k in range(flat.shape[1]):
        for o in range(flat.shape[0]):
            rows[k, o] = flat[o, k]
    return rows.reshape(-1)


@jit
def _bias_rows(b, windows, pool, lanes):  # type: ignore[no-untyped-def]
    """What the sums of one row of windows start from: a row (padded out,) for each pixel.

    First all windows' first pixels, then all second ones, ...: pooling is then a maximum of
    whole rows. Three rows that nobody reads are added, see `_sum_starts`.
    """
    rows = np.zeros((pool * pool * windows + 3, lanes), b.dtype)
    rows[:, : b.size] = b
    return rows.reshape(-1)


@jit
def _sum_starts(windows, pool, lanes):  # type: ignore[no-untyped-def]
    """Where the sums of pixel (i, c) of a row of windows start, as (pool, columns + 3).

    Columns are computed in fours: up to three past the end go to the rows that nobody reads.
    """
    columns = windows * pool
    starts = np.empty((pool, columns + 3), np.uint64)
    for i in range(pool):
        for c in range(columns):
            starts[i, c] = ((i * pool + c % pool) * windows + c // pool) * lanes
        for spare in range(3):
            starts[i, columns + spare] = (pool * columns + spare) * lanes
    return starts


@jit
def _patch_offsets(kernel, plane, width):  # type: ignore[no-untyped-def]
    """Where the pixels of a patch lie in a flat image, counted from the patch's first."""
    channels, height, columns = kernel
    offsets = np.empty(channels * height * columns, np.uint64)
    for c in range(channels):
        for i in range(height):
            for j in range(columns):
                offsets[(c * height + i) * columns + j] = c * plane + i * width + j
    return offsets


@jit
def _convolve_four(image, pixels, offsets, weights, sums, rows, lanes):  # type: ignore[no-untyped-def]
    """Add to each of four rows of `sums` the patch that starts at its pixel of the image."""
    p0, p1, p2, p3 = pixels
    s0, s1, s2, s3 = rows
    row = U(0)
    for pair in range(offsets.size // 2):
        k, n = offsets[2 * pair], offsets[2 * pair + 1]
        a0, a1, a2, a3 = image[p0 + k], image[p1 + k], image[p2 + k], image[p3 + k]
        b0, b1, b2, b3 = image[p0 + n], image[p1 + n], image[p2 + n], image[p3 + n]
        next_row = row + lanes
        for o in range(lanes):
            u = U(o)
            v, w = weights[row + u], weights[next_row + u]
            sums[s0 + u] = sums[s0 + u] + (a0 * v + b0 * w)
            sums[s1 + u] = sums[s1 + u] + (a1 * v + b1 * w)
            sums[s2 + u] = sums[s2 + u] + (a2 * v + b2 * w)
            sums[s3 + u] = sums[s3 + u] + (a3 * v + b3 * w)
        row = next_row + lanes
    if offsets.size % 2 == 1:
        k = offsets[offsets.size - 1]
        a0, a1, a2, a3 = image[p0 + k], image[p1 + k], image[p2 + k], image[p3 + k]
        for o in range(lanes):
            u = U(o)
            v = weights[row + u]
            sums[s0 + u] = sums[s0 + u] + a0 * v
            sums[s1 + u] = sums[s1 + u] + a1 * v
            sums[s2 + u] = sums[s2 + u] + a2 * v
            sums[s3 + u] = sums[s3 + u] + a3 * v


@jit
def _convolve_row(image, first, columns, offsets, weights, sums, starts, lanes):  # type: ignore[no-untyped-def]
    """Add a row of patches, the first of which starts at pixel `first`."""
    last = U(first + columns - 1)
    for c in range(0, columns, 4):
        p = U(first + c)
        pixels = (p, min(p + U(1), last), min(p + U(2), last), min(p + U(3), last))
        rows = (starts[c], starts[c + 1], starts[c + 2], starts[c + 3])
        _convolve_four(image, pixels, offsets, weights, sums, rows, lanes)


@jit
def _pool_sums(sums, pool, width, where):  # type: ignore[no-untyped-def]
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


@jit
def _rectify(values, where):  # type: ignore[no-untyped-def]
    """ReLU; `where` becomes -1 where no gradient passes. NaN stays NaN."""
    zero = values.dtype.type(0)
    for e in range(where.size):
        value, place = values[e], where[e]
        values[e] = zero if value <= zero else value
        where[e] = place if value > zero else -1


@jit
def _conv_pool_image(image, width, offsets, weights, biases, starts, pool, relu, y, position):  # type: ignore[no-untyped-def]
    n_out, rows, windows = y.shape
    lanes = weights.size // offsets.size
    sums = np.empty_like(biases)
    where = np.empty(windows * lanes, np.int32)
    for p in range(rows):
        for e in range(sums.size):
            sums[e] = biases[e]
        for i in range(pool):
            first = (p * pool + i) * width
            _convolve_row(image, first, windows * pool, offsets, weights, sums, starts[i], U(lanes))
        _pool_sums(sums, pool, width, where)
        if relu:
            _rectify(sums, where)
        for o in range(n_out):
            for q in range(windows):
                place = where[q * lanes + o]
                corner = p * pool * width + q * pool
                y[o, p, q] = sums[q * lanes + o]
                position[o, p, q] = place if place < 0 else place + corner


def _conv_pool_driver(x, W, b, pool, relu, y, position):  # type: ignore[no-untyped-def]
    windows, width, lanes = y.shape[3], x.shape[3], _padded(W.shape[0], LANES)
    weights = _weight_rows(W)
    offsets = _patch_offsets(W.shape[1:], x.shape[2] * width, width)
    biases = _bias_rows(b, windows, pool, lanes)
    starts = _sum_starts(windows, pool, lanes)
    for i in numba.prange(x.shape[0]):
        image = x[i].reshape(-1)
        _conv_pool_image(
            image, width, offsets, weights, biases, starts, pool, relu, y[i], position[i]
        )


# --------------------------------------------------------------------------------- backward


@jit
def _channels_last(image, flat):  # type: ignore[no-untyped-def]
    """Copy an image (C, H, W) to a flat one (H, W, C): a patch is then kh contiguous runs."""
    channels, height, width = image.shape
    for r in range(height):
        for c in range(channels):
            for q in range(width):
                flat[(r * width + q) * channels + c] = image[c, r, q]


@jit
def _unfold(image, first, rows, kernel_height, kernel_width, stride, flat):  # type: ignore[no-untyped-def]
    """Copy the patches of some rows of an image, each to a run of its own, order (kh, kw, C)."""
    channels, _, width = image.shape
    for r in range(rows):
        for i in range(kernel_height):
            for j in range(kernel_width):
                for c in range(channels):
                    k = (i * kernel_width + j) * channels + c
                    row = image[c, first + r + i, j:]
                    for q in range(width - kernel_width + 1):
                        flat[U((r * width + q) * stride + k)] = row[q]


@jit
def _gather(position, dy, first, stride, starts, factors):  # type: ignore[no-untyped-def]
    """List the outputs that carry a gradient and where their patches start, `first` being 0.

    The list is filled up to a multiple of four with zero times its last patch. Returns its length
    and the sum of the gradients.
    """
    n = 0
    total = dy.dtype.type(0)
    for i in range(dy.size):
        if position[i] >= 0:
            starts[n] = (position[i] - first) * stride
            factors[n] = dy[i]
            total += dy[i]
            n += 1
    while n % 4 != 0:
        starts[n], factors[n] = starts[n - 1], 0
        n += 1
    return n, total


@jit
def _add_rows(rows, shift, starts, factors, first, last, sums, at, size):  # type: ignore[no-untyped-def]
    """sums[at : at + size] += factor times the piece of rows that begins at start + shift.

    For the starts and factors numbered first, ..., last - 1, a multiple of four.
    """
    for group in range((last - first) // 4):
        e = first + 4 * group
        f0, f1, f2, f3 = factors[e], factors[e + 1], factors[e + 2], factors[e + 3]
        s0, s1 = starts[e] + shift, starts[e + 1] + shift
        s2, s3 = starts[e + 2] + shift, starts[e + 3] + shift
        for j in range(size):
            u = U(j)
            sums[at + u] = (
                sums[at + u]
                + (f0 * rows[s0 + u] + f1 * rows[s1 + u])
                + (f2 * rows[s2 + u] + f3 * rows[s3 + u])
            )


@jit
def _weights_gradient(x, position, dy, first, last, dW, db):  # type: ignore[no-untyped-def]
    """dW and db of the output channels first, ..., last - 1."""
    channels, kernel_height, kernel_width = dW.shape[1:]
    height, width = x.shape[2:]
    pooled_rows, pooled_columns = dy.shape[2:]
    # A patch is kh runs of kw * C pixels; where those are short, it is copied to be one run, for
    # one row of outputs at a time, so that the copies stay in the nearest cache.
    runs, length, step, stride = kernel_height, kernel_width * channels, width * channels, channels
    unfolded = length < RUN_LANES
    if unfolded:
        runs, length, step = 1, kernel_height * length, 0
        stride = _padded(length, RUN_LANES)
    padded = _padded(length, RUN_LANES)
    bands = pooled_rows if unfolded else 1
    pooled_band, band = pooled_rows // bands, (height - kernel_height + 1) // bands
    patches = np.zeros((band if unfolded else height) * width * stride + RUN_LANES, x.dtype)
    sums = np.zeros((last - first) * runs * padded, x.dtype)
    starts = np.empty(pooled_band * pooled_columns + 3, np.uint64)
    factors = np.empty(pooled_band * pooled_columns + 3, x.dtype)
    db[first:last] = 0
    for i in range(x.shape[0]):
        for g in range(bands):
            if unfolded:
                _unfold(x[i], g * band, band, kernel_height, kernel_width, stride, patches)
            else:
                _channels_last(x[i], patches)
            rows = slice(g * pooled_band, (g + 1) * pooled_band)
            for o in range(first, last):
                where, factor = position[i, o, rows].reshape(-1), dy[i, o, rows].reshape(-1)
                n, total = _gather(where, factor, g * band * width, stride, starts, factors)
                db[o] += total
                for run in range(runs):
                    at = U(((o - first) * runs + run) * padded)
                    _add_rows(patches, U(run * step), starts, factors, 0, n, sums, at, U(padded))
    for o in range(first, last):
        for i in range(kernel_height):
            for j in range(kernel_width):
                for c in range(channels):
                    k = (i * kernel_width + j) * channels + c
                    run = (o - first) * runs + k // length
                    dW[o, c, i, j] = sums[run * padded + k % length]


def _weights_gradient_driver(x, position, dy, blocks, dW, db):  # type: ignore[no-untyped-def]
    n_out = dW.shape[0]
    for block in numba.prange(blocks):
        first, last = block * n_out // blocks, (block + 1) * n_out // blocks
        _weights_gradient(x, position, dy, first, last, dW, db)


@jit
def _weight_runs(W):  # type: ignore[no-untyped-def]
    """W (out, in, kh, kw) as a flat (kh, out, kw, in)."""
    n_out, channels, kernel_height, kernel_width = W.shape
    runs = np.empty((kernel_height, n_out, kernel_width, channels), W.dtype)
    for o in range(n_out):
        for c in range(channels):
            for i in range(kernel_height):
                for j in range(kernel_width):
                    runs[i, o, j, c] = W[o, c, i, j]
    return runs.reshape(-1)


@jit
def _sort_by_position(position, dy, length, ends, starts, factors):  # type: ignore[no-untyped-def]
    """List the gradients of an image by position, so that each patch is visited once.

    The list of position p ends before ends[p] and begins where that of p - 1 ends. It is filled
    up to a multiple of four with zeros. `starts` tells where the channel's weights begin.
    """
    n_out, outputs = position.shape
    ends[:] = 0
    for o in range(n_out):
        for i in range(outputs):
            if position[o, i] >= 0:
                ends[position[o, i]] += 1
    total = 0
    for p in range(ends.size):  # ends becomes where the lists begin; filling them moves it on
        size, ends[p] = (ends[p] + 3) // 4 * 4, total
        total += size
    starts[:total] = 0
    factors[:total] = 0
    for o in range(n_out):
        for i in range(outputs):
            if position[o, i] >= 0:
                p = position[o, i]
                starts[ends[p]] = o * length
                factors[ends[p]] = dy[o, i]
                ends[p] += 1
    for p in range(ends.size):
        ends[p] = (ends[p] + 3) // 4 * 4


@jit
def _input_gradient_image(position, dy, runs, kernel_height, kernel_width, dx):  # type: ignore[no-untyped-def]
    channels, height, width = dx.shape
    n_out, length = dy.shape[0], kernel_width * channels
    capacity = dy.size + 3 * min(dy.size, height * width)
    starts, factors = np.empty(capacity, np.uint64), np.empty(capacity, dx.dtype)
    ends = np.empty(height * width, np.int64)
    _sort_by_position(
        position.reshape(n_out, -1), dy.reshape(n_out, -1), length, ends, starts, factors
    )
    flat = np.zeros(height * width * channels, dx.dtype)
    for i in range(kernel_height):
        begin = 0
        for p in range(ends.size):
            if ends[p] > begin:
                at = U((i * width + p) * channels)
                shift = U(i * n_out * length)
                _add_rows(runs, shift, starts, factors, begin, ends[p], flat, at, U(length))
            begin = ends[p]
    for c in range(channels):
        for r in range(height):
            for q in range(width):
                dx[c, r, q] = flat[(r * width + q) * channels + c]


def _input_gradient_driver(position, dy, W, dx):  # type: ignore[no-untyped-def]
    runs = _weight_runs(W)
    for i in numba.prange(dx.shape[0]):
        _input_gradient_image(position[i], dy[i], runs, W.shape[2], W.shape[3], dx[i])


# --------------------------------------------------------------------------------- the surface

_conv_pool = Twins(_conv_pool_driver)
_weights_gradients = Twins(_weights_gradient_driver)
_input_gradient = Twins(_input_gradient_driver)


def _work(outputs: Array, W: Array) -> int:
    """Cost in elements of a streaming pass: about eight multiply-adds each."""
    return int(outputs.size * W[0].size // LANES)


def conv_pool2d(
    x: Array, W: Array, b: Array | None, pool: int, relu: bool, y: Array, position: Array
) -> None:
    """Fill y (m, out, OH / pool, OW / pool): convolution, max-pooling and, if asked, ReLU.

    x is (m, in, H, W), W is (out, in, kh, kw), b is (out,); OH = H - kh + 1, OW = W - kw + 1.
    ``pool = 1`` is the plain convolution. Cost O(m out OH OW in kh kw).
    """
    bias = np.zeros(len(W), W.dtype) if b is None else b
    _conv_pool.for_work(_work(y, W))(x, W, bias, pool, relu, y, position)


def conv_pool2d_backward_weights(
    x: Array, position: Array, dy: Array, dW: Array, db: Array | None
) -> None:
    """Fill dW (out, in, kh, kw) and db (out,), summed over the batch. Cost O(dy.size in kh kw)."""
    form = _weights_gradients.for_work(_work(dy, dW))
    # Each thread takes some of the output channels, over the whole batch: no sum is split.
    blocks = 1 if form is _weights_gradients.serial else min(numba.get_num_threads(), len(dW))
    form(x, position, dy, blocks, dW, np.empty(len(dW), dW.dtype) if db is None else db)


def conv_pool2d_backward_input(position: Array, dy: Array, W: Array, dx: Array) -> None:
    """Fill dx (m, in, H, W). Cost O(dy.size in kh kw)."""
    _input_gradient.for_work(_work(dy, W))(position, dy, W, dx)
