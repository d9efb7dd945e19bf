"""Naive convolution and pooling, by loops; nothing here comes from the package."""

import numpy as np


def conv2d(x, W, b):
    """Cross-correlation (m, in, H, W) -> (m, out, OH, OW), computed in float64."""
    m, _, height, width = x.shape
    n_out, _, kh, kw = W.shape
    y = np.zeros((m, n_out, height - kh + 1, width - kw + 1))
    for i, o, r, q in np.ndindex(y.shape):
        patch = x[i, :, r : r + kh, q : q + kw].astype(np.float64)
        y[i, o, r, q] = (patch * W[o]).sum() + b[o]
    return y


def conv2d_backward(x, W, dy):
    """dx, dW and db of `conv2d`."""
    dx, dW, db = np.zeros(x.shape), np.zeros(W.shape), np.zeros(len(W))
    kh, kw = W.shape[2:]
    for i, o, r, q in np.ndindex(dy.shape):
        dx[i, :, r : r + kh, q : q + kw] += float(dy[i, o, r, q]) * W[o]
        dW[o] += float(dy[i, o, r, q]) * x[i, :, r : r + kh, q : q + kw]
        db[o] += dy[i, o, r, q]
    return dx, dW, db


def pooled(length, size, stride):
    """How many windows Caffe makes of so many pixels: as many as it takes to reach the end."""
    count = 1
    while (count - 1) * stride + size < length:
        count += 1
    return count


def window(at, shape, size, stride):
    """Rows and columns of the pixels in a window, those outside the image left out."""
    return [
        (r, s)
        for r in range(at[2] * stride, at[2] * stride + size)
        for s in range(at[3] * stride, at[3] * stride + size)
        if r < shape[2] and s < shape[3]
    ]


def max_pool2d(x, size, stride=None):
    """The maxima of the size x size windows, and the row and column that each comes from."""
    stride = size if stride is None else stride
    y = np.zeros((*x.shape[:2], *(pooled(n, size, stride) for n in x.shape[2:])), x.dtype)
    rows, columns = np.zeros(y.shape, int), np.zeros(y.shape, int)
    for at in np.ndindex(y.shape):
        best = None
        for r, s in window(at, x.shape, size, stride):
            value = x[at[0], at[1], r, s]
            larger = best is None or value > best or (np.isnan(value) and not np.isnan(best))
            if larger:
                best = y[at] = value
                rows[at], columns[at] = r, s
    return y, rows, columns


def average_pool2d(x, size, stride):
    """The means of the pixels in the windows, computed in float64."""
    y = np.zeros((*x.shape[:2], *(pooled(n, size, stride) for n in x.shape[2:])))
    for at in np.ndindex(y.shape):
        pixels = window(at, x.shape, size, stride)
        y[at] = sum(float(x[at[0], at[1], r, s]) for r, s in pixels) / len(pixels)
    return y


def average_pool2d_backward(shape, size, stride, dy):
    """dx of `average_pool2d`."""
    dx = np.zeros(shape)
    for at in np.ndindex(dy.shape):
        pixels = window(at, shape, size, stride)
        for r, s in pixels:
            dx[at[0], at[1], r, s] += float(dy[at]) / len(pixels)
    return dx


def max_pool2d_backward(x, size, dy, stride=None):
    """dx of `max_pool2d`."""
    _, rows, columns = max_pool2d(x, size, stride)
    dx = np.zeros(x.shape, dy.dtype)
    for at in np.ndindex(dy.shape):
        dx[at[0], at[1], rows[at], columns[at]] += dy[at]
    return dx


def conv_pool2d(x, W, b, pool, relu, dy):
    """y, dx, dW and db of convolution, pooling and perhaps a ReLU."""
    full = conv2d(x, W, b)
    y, _, _ = max_pool2d(full, pool)
    if relu:
        dy = np.where(y > 0, dy, 0)
        y = np.maximum(y, 0)
    return y, *conv2d_backward(x, W, max_pool2d_backward(full, pool, dy))
