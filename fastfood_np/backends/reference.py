"""Plain NumPy: the shortest code that is right, kept as the oracle for every other backend."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np

from fastfood_np.backends.reference_convolution import (
    conv_pool2d as conv_pool2d,
)
from fastfood_np.backends.reference_convolution import (
    conv_pool2d_backward_input as conv_pool2d_backward_input,
)
from fastfood_np.backends.reference_convolution import (
    conv_pool2d_backward_weights as conv_pool2d_backward_weights,
)
from fastfood_np.backends.reference_factors import (
    diagonal as diagonal,
)
from fastfood_np.backends.reference_factors import (
    diagonal_backward as diagonal_backward,
)
from fastfood_np.backends.reference_factors import (
    drop as drop,
)
from fastfood_np.backends.reference_factors import (
    join as join,
)
from fastfood_np.backends.reference_factors import (
    join_backward as join_backward,
)
from fastfood_np.backends.reference_factors import (
    permute as permute,
)
from fastfood_np.backends.reference_factors import (
    permute_backward as permute_backward,
)
from fastfood_np.backends.reference_factors import (
    spread as spread,
)
from fastfood_np.backends.reference_factors import (
    spread_backward as spread_backward,
)
from fastfood_np.backends.reference_hashing import (
    hashed_matrix as hashed_matrix,
)
from fastfood_np.backends.reference_hashing import (
    hashed_matrix_backward as hashed_matrix_backward,
)
from fastfood_np.backends.reference_pooling import (
    average_pool2d as average_pool2d,
)
from fastfood_np.backends.reference_pooling import (
    average_pool2d_backward as average_pool2d_backward,
)
from fastfood_np.backends.reference_pooling import (
    max_pool2d as max_pool2d,
)
from fastfood_np.backends.reference_pooling import (
    max_pool2d_backward as max_pool2d_backward,
)
from fastfood_np.backends.reference_quantized import (
    quantized_backward as quantized_backward,
)
from fastfood_np.backends.reference_quantized import (
    quantized_forward as quantized_forward,
)
from fastfood_np.backends.reference_range_coder import (
    range_decode as range_decode,
)
from fastfood_np.backends.reference_range_coder import (
    range_encode as range_encode,
)
from fastfood_np.validation import Array


def fwht(x: Array, out: Array) -> None:
    """Fill out (m, d), d = 2^k, with H x, row by row: C-contiguous, the same array or apart."""
    m, d = x.shape
    out[...] = x
    half = 1
    while half < d:
        pairs = out.reshape(m, d // (2 * half), 2, half)
        a, b = pairs[:, :, 0].copy(), pairs[:, :, 1].copy()
        pairs[:, :, 0] = a + b
        pairs[:, :, 1] = a - b
        half *= 2


def _fwht(h: Array) -> None:
    """Replace h (..., d) by H h."""
    rows = h.reshape(-1, h.shape[-1])
    fwht(rows, rows)


def description() -> dict[str, str]:
    """Return nothing: NumPy describes itself."""
    return {}


def serial() -> AbstractContextManager[None]:
    """NumPy code has no parallel form: nothing to switch off."""
    return nullcontext()


def workers(count: int) -> AbstractContextManager[None]:
    """NumPy code has no threads of its own: `count` changes nothing."""
    return nullcontext()


def teams(elements: int) -> int:
    """Return how many threads are worth sharing this many elements out to: one."""
    return 1


def vectors(form: str) -> AbstractContextManager[None]:
    """NumPy chooses its vectors itself: `form` changes nothing."""
    return nullcontext()


def _h_G(x: Array, B: Array, perm: Array, keep: Array | None, keep_scale: float) -> Array:
    """Return h_G = Pi H B x (m, blocks, d_pad), after the dropout mask."""
    h = np.zeros((len(x), *B.shape), x.dtype)
    h[:, :, : x.shape[1]] = x[:, None] * B[:, : x.shape[1]]
    _fwht(h)
    h = np.take_along_axis(h, perm[None], axis=2)
    return h if keep is None else h * keep * x.dtype.type(keep_scale)


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
    """Fill y with a function of v = c S H G Pi H B x for x (m, d_in).

    S, G, B and perm have shape (blocks, d_pad), d_pad = 2^k >= d_in; x is padded with zeros and
    the outputs of all blocks are cut to n_out. `keep` (m, blocks, d_pad) is None or equation 7's
    mask on h_G, and what is kept is multiplied by `keep_scale`.

    What becomes of v says `apply_nonlinearity`.
    """
    h_S = G * _h_G(x, B, perm, keep, keep_scale)
    _fwht(h_S)
    n_out = _n_outputs(nonlinearity, y)
    y[:, :n_out] = x.dtype.type(scale) * (S * h_S).reshape(len(x), S.size)[:, :n_out]
    apply_nonlinearity(nonlinearity, phase, amplitude, y)


def _n_outputs(nonlinearity: str, y: Array) -> int:
    return y.shape[1] // (2 if nonlinearity == "cos_sin" else 1)


def apply_nonlinearity(nonlinearity: str, phase: Array | None, amplitude: float, y: Array) -> None:
    """Replace v, which stands in the first n_out columns of y (m, ...), by amplitude * f(v).

    f(v) is, by the name of the nonlinearity: "none" v; "relu" max(0, v); "relu_squared" its square;
    "step" 0, 1/2 or 1 by the sign of v; "cos" cos(v + phase) with phase (n_out,). With "cos_sin" y
    is (m, 2 n_out): first the cosines of v, then the sines. (A further column stays as it is.)
    """
    n_out = _n_outputs(nonlinearity, y)
    v = y[:, :n_out]
    if nonlinearity == "cos_sin":
        np.sin(v, out=y[:, n_out : 2 * n_out])
        np.cos(v, out=v)
        y = y[:, : 2 * n_out]
    elif nonlinearity == "cos":
        np.cos(v + phase, out=v)
    elif nonlinearity == "step":
        np.heaviside(v, 0.5, out=v)
    elif nonlinearity != "none":
        np.maximum(v, 0, out=v)
        v *= v if nonlinearity == "relu_squared" else 1
    y *= y.dtype.type(amplitude)


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
    """Fill dx (unless it is None), dS, dG and dB from dy (m, n_out): equation 6 and its chain."""
    blocks, d_pad = S.shape
    h_G = _h_G(x, B, perm, keep, keep_scale)
    h_S = G * h_G
    _fwht(h_S)
    dy_padded = np.zeros((len(x), S.size), x.dtype)
    dy_padded[:, : dy.shape[1]] = x.dtype.type(scale) * dy
    dh = dy_padded.reshape(len(x), blocks, d_pad)
    dS[...] = (dh * h_S).sum(axis=0)
    dh = S * dh
    _fwht(dh)
    dG[...] = (dh * h_G).sum(axis=0)
    dh = G * dh
    if keep is not None:
        dh = dh * keep * x.dtype.type(keep_scale)
    dh_Pi = np.empty_like(dh)
    np.put_along_axis(dh_Pi, perm[None], dh, axis=2)
    _fwht(dh_Pi)
    d_in = x.shape[1]
    dB[...] = 0
    dB[:, :d_in] = (dh_Pi[:, :, :d_in] * x[:, None]).sum(axis=0)
    if dx is not None:
        dx[...] = (B * dh_Pi).sum(axis=1)[:, :d_in]


def sgd_step(w: Array, v: Array, g: Array, rate: float, momentum: float, decay: float) -> None:
    """Set v = momentum v + rate (g + decay w) and w = w - v, for C-contiguous arrays."""
    v[...] = momentum * v + rate * (g + decay * w)
    w -= v
