"""Convolution and max-pooling in one pass, straight from the image: no column matrix.

Forward, the vector registers run over the output channels: one weight row (out,) is multiplied
with the same pixel of four neighbouring outputs, and the sums of a few image rows stay in the
nearest cache until they have been pooled. Backward, only the outputs that were a maximum carry a
gradient, one in pool * pool, so that both gradients cost that much less than as matrix products.

Every sum is taken in one fixed order, which no thread count and no batch size changes.
"""

from __future__ import annotations

import numba
import numpy as np

from fastfood_np.backends.cpu.jit import Twins, jit
from fastfood_np.validation import Array

# Rows are padded to whole vectors of this many elements.
LANES = 8

# Indices into flat arrays are unsigned: a signed sum could be negative, which Numba would have to
# ask for each element, and no loop would become vector instructions.
U = np.uint64


@jit
def _padded(size):  # type: ignore[no-untyped-def]
    return (size + LANES - 1) // LANES * LANES


# ---------------------------------------------------------------------------------- forward


@jit
def _weight_rows(W):  # type: ignore[no-untyped-def]
    """W (out, in, kh, kw) as flat rows (in * kh * kw, padded out), padded with zeros."""
    flat = W.reshape(W.shape[0], -1)
    rows = np.zeros((flat.shape[1], _padded(flat.shape[0])), W.dtype)
    for k in range(flat.shape[1]):
        for o in range(flat.shape[0]):
            rows[k, o] = flat[o, k]
    return rows.reshape(-1)


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
def _sum_row(c, columns, pool, windows):  # type: ignore[no-untyped-def]
    """Row of `sums` for column c: first all windows' first columns, then all second ones, ...

    A column past the end gets one of three rows that nobody reads.
    """
    if c < columns:
        return c % pool * windows + c // pool
    return pool * pool * windows + c - columns


@jit
def _convolve_row(image, first, columns, offsets, weights, pool, sums, start, lanes):  # type: ignore[no-untyped-def]
    """Add a row of patches, the first of which starts at pixel `first`."""
    windows = columns // pool
    last = columns - 1
    for c in range(0, columns, 4):
        pixels = (
            U(first + c),
            U(first + min(c + 1, last)),
            U(first + min(c + 2, last)),
            U(first + min(c + 3, last)),
        )
        rows = (
            U(_sum_row(c, columns, pool, windows) * lanes),
            U(_sum_row(c + 1, columns, pool, windows) * lanes),
            U(_sum_row(c + 2, columns, pool, windows) * lanes),
            U(_sum_row(c + 3, columns, pool, windows) * lanes),
        )
        _convolve_four(image, pixels, offsets, weights, sums[start:], rows, U(lanes))


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
def _conv_pool_image(image, width, offsets, weights, bias, pool, relu, y, position):  # type: ignore[no-untyped-def]
    n_out, rows, windows = y.shape
    lanes = bias.size
    n = windows * lanes
    sums = np.empty((pool * pool * windows + 3) * lanes, image.dtype)
    where = np.empty(n, np.int32)
    for p in range(rows):
        for s in range(sums.size // lanes):
            start = U(s * lanes)
            for o in range(lanes):
                sums[start + U(o)] = bias[o]
        for i in range(pool):
            first = (p * pool + i) * width
            _convolve_row(
                image, first, windows * pool, offsets, weights, pool, sums, i * pool * n, lanes
            )
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
    weights = _weight_rows(W)
    offsets = _patch_offsets(W.shape[1:], x.shape[2] * x.shape[3], x.shape[3])
    bias = np.zeros(_padded(W.shape[0]), W.dtype)
    bias[: b.size] = b
    for i in numba.prange(x.shape[0]):
        image = x[i].reshape(-1)
        _conv_pool_image(image, x.shape[3], offsets, weights, bias, pool, relu, y[i], position[i])


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

    Returns how many there are, and the sum of their gradients.
    """
    n = 0
    total = dy.dtype.type(0)
    for i in range(dy.size):
        if position[i] >= 0:
            starts[n] = (position[i] - first) * stride
            factors[n] = dy[i]
            total += dy[i]
            n += 1
    return n, total


@jit
def _add_patches(patches, starts, factors, n, shift, sums, at, size):  # type: ignore[no-untyped-def]
    """sums[at : at + size] += the first n factors times the runs of patches at their starts."""
    for group in range(n // 4):
        e = 4 * group
        f0, f1, f2, f3 = factors[e], factors[e + 1], factors[e + 2], factors[e + 3]
        s0, s1 = starts[e] + shift, starts[e + 1] + shift
        s2, s3 = starts[e + 2] + shift, starts[e + 3] + shift
        for j in range(size):
            u = U(j)
            sums[at + u] = (
                sums[at + u]
                + (f0 * patches[s0 + u] + f1 * patches[s1 + u])
                + (f2 * patches[s2 + u] + f3 * patches[s3 + u])
            )
    for e in range(n - n % 4, n):
        f0, s0 = factors[e], starts[e] + shift
        for j in range(size):
            u = U(j)
            sums[at + u] = sums[at + u] + f0 * patches[s0 + u]


@jit
def _weights_gradient(x, position, dy, first, last, dW, db):  # type: ignore[no-untyped-def]
    """dW and db of the output channels first, ..., last - 1."""
    channels, kernel_height, kernel_width = dW.shape[1:]
    height, width = x.shape[2:]
    pooled_rows, pooled_columns = dy.shape[2:]
    # A patch is kh runs of kw * C pixels; where those are short, it is copied to be one run, for
    # one row of outputs at a time, so that the copies stay in the nearest cache.
    runs, length, step, stride = kernel_height, kernel_width * channels, width * channels, channels
    unfolded = length < 2 * LANES
    if unfolded:
        runs, length, step, stride = 1, kernel_height * length, 0, _padded(kernel_height * length)
    padded = _padded(length)
    bands = pooled_rows if unfolded else 1
    pooled_band, band = pooled_rows // bands, (height - kernel_height + 1) // bands
    patches = np.zeros((band if unfolded else height) * width * stride + LANES, x.dtype)
    sums = np.zeros((last - first) * runs * padded, x.dtype)
    starts = np.empty(pooled_band * pooled_columns, np.uint64)
    factors = np.empty(pooled_band * pooled_columns, x.dtype)
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
                    _add_patches(patches, starts, factors, n, U(run * step), sums, at, U(padded))
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
    """W (out, in, kh, kw) as a flat (out, kh, kw, in)."""
    n_out, channels, kernel_height, kernel_width = W.shape
    runs = np.empty((n_out, kernel_height, kernel_width, channels), W.dtype)
    for o in range(n_out):
        for c in range(channels):
            for i in range(kernel_height):
                for j in range(kernel_width):
                    runs[o, i, j, c] = W[o, c, i, j]
    return runs.reshape(-1)


@jit
def _scatter_patch(weights, w, factor, flat, at, rows, step, size):  # type: ignore[no-untyped-def]
    """Add factor times one channel's weights to the patch of a flat image that starts at `at`."""
    for _ in range(rows):
        for j in range(size):
            u = U(j)
            flat[at + u] = flat[at + u] + factor * weights[w + u]
        w = w + size
        at = at + step


@jit
def _input_gradient_image(position, dy, runs, shape, dx):  # type: ignore[no-untyped-def]
    n_out, channels, kernel_height, kernel_width = shape
    height, width = dx.shape[1:]
    flat = np.zeros(height * width * channels, dx.dtype)
    length = kernel_width * channels
    outputs = dy.shape[1] * dy.shape[2]
    starts, factors = np.empty(outputs, np.uint64), np.empty(outputs, dx.dtype)
    for o in range(n_out):
        n, _ = _gather(position[o].reshape(-1), dy[o].reshape(-1), 0, channels, starts, factors)
        for e in range(n):
            _scatter_patch(
                runs, U(o * kernel_height * length), factors[e], flat, starts[e], kernel_height,
                U(width * channels), U(length),
            )  # fmt: skip
    for c in range(channels):
        for r in range(height):
            for q in range(width):
                dx[c, r, q] = flat[(r * width + q) * channels + c]


def _input_gradient_driver(position, dy, W, dx):  # type: ignore[no-untyped-def]
    runs = _weight_runs(W)
    for i in numba.prange(dx.shape[0]):
        _input_gradient_image(position[i], dy[i], runs, W.shape, dx[i])


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
