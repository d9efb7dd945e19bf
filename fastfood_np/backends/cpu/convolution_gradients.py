"""The gradients of a convolution with max-pooling.

Only the outputs that were a maximum carry a gradient, one in pool * pool, so both gradients cost
that much less than as matrix products. Each is a sum of rows, times a factor, that start anywhere
in a flat array.
"""

from __future__ import annotations

import numpy as np

from fastfood_np.backends.cpu.convolution import LANES, conv_work, padded
from fastfood_np.backends.cpu.jit import part, teams
from fastfood_np.backends.cpu.kernel import Kernel, usual
from fastfood_np.backends.cpu.simd import EIGHT, U, add, load, multiply_add, store, zeros
from fastfood_np.validation import Array

# Runs of pixels shorter than this are copied together before they are added.
SHORT_RUN = 16


@part
def _add_runs(rows, step, starts, factors, first, last, sums, at, at_step, size, runs):
    """Add factor times the `size` elements of `rows` from start on to sums[at:].

    For the list entries first, ..., last - 1; and again for each further run, `step` elements on
    in `rows` and `at_step` on in `sums`. `size` is a multiple of LANES. The sums stay in registers
    while the list is gone through, two entries at a time: the second need not wait for the first.
    """
    pairs, odd = (last - first) // 2, (last - first) % 2 == 1
    for run in range(runs):
        shift, target = U(run * step), U(at + run * at_step)
        end = target + U(size)
        while target + U(4 * LANES) <= end:
            a, b = load(EIGHT, sums, target), load(EIGHT, sums, target + U(LANES))
            c, d = (
                load(EIGHT, sums, target + U(2 * LANES)),
                load(EIGHT, sums, target + U(3 * LANES)),
            )
            e = f = g = h = zeros(EIGHT, sums)
            for pair in range(pairs):
                i = U(first + 2 * pair)
                s, factor = starts[i] + shift, factors[i]
                a = multiply_add(factor, load(EIGHT, rows, s), a)
                b = multiply_add(factor, load(EIGHT, rows, s + U(LANES)), b)
                c = multiply_add(factor, load(EIGHT, rows, s + U(2 * LANES)), c)
                d = multiply_add(factor, load(EIGHT, rows, s + U(3 * LANES)), d)
                i += U(1)
                s, factor = starts[i] + shift, factors[i]
                e = multiply_add(factor, load(EIGHT, rows, s), e)
                f = multiply_add(factor, load(EIGHT, rows, s + U(LANES)), f)
                g = multiply_add(factor, load(EIGHT, rows, s + U(2 * LANES)), g)
                h = multiply_add(factor, load(EIGHT, rows, s + U(3 * LANES)), h)
            if odd:
                i = U(last - 1)
                s, factor = starts[i] + shift, factors[i]
                a = multiply_add(factor, load(EIGHT, rows, s), a)
                b = multiply_add(factor, load(EIGHT, rows, s + U(LANES)), b)
                c = multiply_add(factor, load(EIGHT, rows, s + U(2 * LANES)), c)
                d = multiply_add(factor, load(EIGHT, rows, s + U(3 * LANES)), d)
            store(sums, target, add(a, e))
            store(sums, target + U(LANES), add(b, f))
            store(sums, target + U(2 * LANES), add(c, g))
            store(sums, target + U(3 * LANES), add(d, h))
            target += U(4 * LANES)
            shift += U(4 * LANES)
        while target < end:
            a, b = load(EIGHT, sums, target), zeros(EIGHT, sums)
            for pair in range(pairs):
                i = U(first + 2 * pair)
                a = multiply_add(factors[i], load(EIGHT, rows, starts[i] + shift), a)
                i += U(1)
                b = multiply_add(factors[i], load(EIGHT, rows, starts[i] + shift), b)
            if odd:
                i = U(last - 1)
                a = multiply_add(factors[i], load(EIGHT, rows, starts[i] + shift), a)
            store(sums, target, add(a, b))
            target += U(LANES)
            shift += U(LANES)


@part
def _channels_last(image, flat):
    """Copy an image (C, H, W) to a flat one (H, W, C): a patch is then kh contiguous runs."""
    channels, height, width = image.shape
    for r in range(height):
        for c in range(channels):
            for q in range(width):
                flat[(r * width + q) * channels + c] = image[c, r, q]


@part
def _unfold(image, first, rows, kernel_height, kernel_width, stride, flat):
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


@part
def _gather(position, dy, first, stride, starts, factors):
    """List the outputs that carry a gradient and where their patches start, `first` being 0.

    Returns the list's length and the sum of the gradients.
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


def _weights_gradient(lanes, x, position, dy, dW, db, team, first, last):
    """dW and db of the output channels first, ..., last - 1."""
    channels, kernel_height, kernel_width = dW.shape[1:]
    height, width = x.shape[2:]
    pooled_rows, pooled_columns = dy.shape[2:]
    # A patch is kh runs of kw * C pixels; where those are short, it is copied to be one run, for
    # one row of outputs at a time, so that the copies stay in the nearest cache.
    runs, length, step, stride = kernel_height, kernel_width * channels, width * channels, channels
    unfolded = length < SHORT_RUN
    if unfolded:
        runs, length, step = 1, kernel_height * length, 0
        stride = padded(length, LANES)
    size = padded(length, LANES)
    bands = pooled_rows if unfolded else 1
    pooled_band, band = pooled_rows // bands, (height - kernel_height + 1) // bands
    patches = np.zeros((band if unfolded else height) * width * stride + size, x.dtype)
    sums = np.zeros((last - first) * runs * size, x.dtype)
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
                at = (o - first) * runs * size
                _add_runs(patches, step, starts, factors, 0, n, sums, at, size, size, runs)
    for o in range(first, last):
        for i in range(kernel_height):
            for j in range(kernel_width):
                for c in range(channels):
                    k = (i * kernel_width + j) * channels + c
                    run = (o - first) * runs + k // length
                    dW[o, c, i, j] = sums[run * size + k % length]


@part
def _weight_runs(W):
    """W (out, in, kh, kw) as a flat (kh, out, kw * in), runs padded with zeros to whole vectors."""
    n_out, channels, kernel_height, kernel_width = W.shape
    runs = np.zeros((kernel_height, n_out, padded(kernel_width * channels, LANES)), W.dtype)
    for o in range(n_out):
        for c in range(channels):
            for i in range(kernel_height):
                for j in range(kernel_width):
                    runs[i, o, j * channels + c] = W[o, c, i, j]
    return runs.reshape(-1)


@part
def _sort_by_position(position, dy, size, ends, starts, factors):
    """List the gradients of an image by position, so that each patch is visited once.

    The list of position p ends before ends[p] and begins where that of p - 1 ends.
    `starts` tells where the channel's weights, rows of `size`, begin.
    """
    n_out, outputs = position.shape
    ends[:] = 0
    for o in range(n_out):
        for i in range(outputs):
            if position[o, i] >= 0:
                ends[position[o, i]] += 1
    total = 0
    for p in range(ends.size):  # ends becomes where the lists begin; filling them moves it on
        count, ends[p] = ends[p], total
        total += count
    for o in range(n_out):
        for i in range(outputs):
            if position[o, i] >= 0:
                p = position[o, i]
                starts[ends[p]] = o * size
                factors[ends[p]] = dy[o, i]
                ends[p] += 1


@part
def _input_gradient_image(position, dy, runs, kernel_height, kernel_width, dx):
    channels, height, width = dx.shape
    n_out, size = dy.shape[0], padded(kernel_width * channels, LANES)
    starts, factors = np.empty(dy.size, np.uint64), np.empty(dy.size, dx.dtype)
    ends = np.empty(height * width, np.int64)
    _sort_by_position(
        position.reshape(n_out, -1), dy.reshape(n_out, -1), size, ends, starts, factors
    )
    row = width * channels
    flat = np.zeros(height * row + LANES, dx.dtype)  # a run's padding adds zeros behind it
    begin = 0
    for p in range(ends.size):
        if ends[p] > begin:
            at, step = p * channels, n_out * size
            _add_runs(
                runs, step, starts, factors, begin, ends[p], flat, at, row, size, kernel_height
            )
        begin = ends[p]
    for c in range(channels):
        for r in range(height):
            for q in range(width):
                dx[c, r, q] = flat[(r * width + q) * channels + c]


def _input_gradient_images(lanes, position, dy, W, dx, team, first, last):
    runs = _weight_runs(W)
    for i in range(first, last):
        _input_gradient_image(position[i], dy[i], runs, W.shape[2], W.shape[3], dx[i])


_by_channels = Kernel(_weights_gradient)
_by_images = Kernel(_input_gradient_images)


def conv_pool2d_backward_weights(
    x: Array, position: Array, dy: Array, dW: Array, db: Array | None
) -> None:
    """Fill dW (out, in, kh, kw) and db (out,), summed over the batch. Cost O(dy.size in kh kw)."""
    db = np.empty(len(dW), dW.dtype) if db is None else db
    # Each thread takes some of the output channels, over the whole batch: no sum is split.
    _by_channels(teams(conv_work(dy, dW)), len(dW), EIGHT, *map(usual, (x, position, dy)), dW, db)


def conv_pool2d_backward_input(position: Array, dy: Array, W: Array, dx: Array) -> None:
    """Fill dx (m, in, H, W). Cost O(dy.size in kh kw).

    (Where dy is NaN or infinite, up to seven more numbers of dx behind each row of the patch become
    NaN: whole vectors are added.)
    """
    _by_images(teams(conv_work(dy, W)), len(dx), EIGHT, *map(usual, (position, dy, W)), dx)
