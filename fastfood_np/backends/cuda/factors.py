"""The factors of Fastfood one by one: a kernel each, for reading and for checking the fused ones.

Each reads and writes its arrays once, a number a thread; neighbouring threads have neighbours.
(`diagonal_backward` has one thread block for 32 columns, too few to keep a GPU busy where rows are
short.) Rows too long for the fused kernels go this way too.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from fastfood_np.backends.cuda.fastfood.rows import flat
from fastfood_np.backends.cuda.launch import start
from fastfood_np.backends.cuda.limits import MAX_THREADS
from fastfood_np.backends.cuda.nonlinearities import make_finish
from fastfood_np.backends.cuda.numba_cuda import cuda, device_function, kernel
from fastfood_np.backends.cuda.stages import index_type

THREADS = min(256, MAX_THREADS)
WARP = 32


def _run(compiled: Any, like: Any, size: int, *arguments: Any) -> None:
    """Launch a kernel with a thread for each of `size` numbers, on the stream of `like`."""
    if size:
        start(compiled, -(-size // THREADS), THREADS, like.stream, *arguments)


@device_function
def number_of_thread():
    """Return the number of the calling thread in its grid, in 64 bits."""
    return index_type(cuda.blockIdx.x) * index_type(THREADS) + index_type(cuda.threadIdx.x)


@kernel(THREADS)
def _spread(x, scale, h, d_in, d, width):
    i = number_of_thread()
    if i < index_type(h.size):
        row, column = i // width, i % d
        h[i] = scale * x[row * d_in + column] if column < d_in else h.dtype.type(0)


@kernel(THREADS)
def _spread_backward(dh, dx, d_in, d, blocks):
    i = number_of_thread()
    if i < index_type(dx.size):
        row, column = i // d_in, i % d_in
        total = dh[row * blocks * d + column]
        for block in range(1, blocks):
            total += dh[(row * blocks + index_type(block)) * d + column]
        dx[i] = total


@kernel(THREADS)
def _join_backward(dy, scale, dh, n_out, width):
    i = number_of_thread()
    if i < index_type(dh.size):
        row, out = i // width, i % width
        dh[i] = scale * dy[row * n_out + out] if out < n_out else dh.dtype.type(0)


@kernel(THREADS)
def _diagonal(x, D, y):
    i = number_of_thread()
    if i < index_type(y.size):
        y[i] = D[i % index_type(D.size)] * x[i]


@kernel(THREADS)
def _permute(x, perm, y, d):
    i = number_of_thread()
    if i < index_type(y.size):
        column = i % index_type(perm.size)
        y[i] = x[i - column % d + index_type(perm[column])]


@kernel(THREADS)
def _permute_backward(dy, perm, dx, d):
    i = number_of_thread()
    if i < index_type(dy.size):
        column = i % index_type(perm.size)
        dx[i - column % d + index_type(perm[column])] = dy[i]


@kernel(THREADS)
def _drop(h, keep, keep_scale):
    i = number_of_thread()
    if i < index_type(h.size):
        h[i] *= keep_scale if keep[i] else h.dtype.type(0)


@cache
def make_diagonal_backward(dtype: Any) -> Any:
    """Return the kernel that sums 32 columns: each warp some of the rows, and the first the warps.

    The same rows are added in the same order every time.
    """
    warps = THREADS // WARP

    @kernel(THREADS)
    def diagonal_backward(x, dy, dD, m):
        shared = cuda.shared.array(THREADS, dtype)
        lane, warp = cuda.threadIdx.x % WARP, cuda.threadIdx.x // WARP
        column = index_type(cuda.blockIdx.x) * index_type(WARP) + index_type(lane)
        total = dtype(0)
        if column < index_type(dD.size):
            for row in range(warp, m, warps):
                at = index_type(row) * index_type(dD.size) + column
                total += dy[at] * x[at]
        shared[warp * WARP + lane] = total
        cuda.syncthreads()
        if warp == 0 and column < index_type(dD.size):
            total = dtype(0)
            for share in range(warps):
                total += shared[share * WARP + lane]
            dD[column] = total

    return diagonal_backward


@cache
def make_join(nonlinearity: str, dtype: Any) -> Any:
    """Return the kernel that fills y with amplitude * f(scale * h) of the blocks side by side."""
    finish = make_finish(nonlinearity, dtype)
    parts = index_type(2 if nonlinearity == "cos_sin" else 1)

    @kernel(THREADS)
    def join(h, y, phase, scale, amplitude, n_out, width, total):
        i = number_of_thread()
        if i < total:
            row, out = i // n_out, i % n_out
            v = scale * h[row * width + out]
            finish(v, y, row * (parts * n_out), out, n_out, phase, amplitude)

    return join


def spread(x: Any, scale: float, h: Any) -> None:
    """Fill each block of h with scale * x and zeros; see `reference_factors.spread`."""
    blocks, d = h.shape[1], h.shape[2]
    sizes = map(index_type, (x.shape[1], d, blocks * d))
    _run(_spread, x, h.size, flat(x), x.dtype.type(scale), flat(h), *sizes)


def spread_backward(dh: Any, dx: Any) -> None:
    """Fill dx with the sum of the blocks of dh."""
    sizes = map(index_type, (dx.shape[1], dh.shape[2], dh.shape[1]))
    _run(_spread_backward, dh, dx.size, flat(dh), flat(dx), *sizes)


def join_features(
    h: Any, scale: float, nonlinearity: str, phase: Any, amplitude: float, y: Any
) -> None:
    """Fill y with amplitude * f(scale * h), the blocks of h side by side and cut."""
    real, (m, columns) = y.dtype.type, y.shape
    n_out = columns // 2 if nonlinearity == "cos_sin" else columns
    arrays = flat(h), flat(y), flat(y if phase is None else phase)
    sizes = map(index_type, (n_out, h.shape[1] * h.shape[2], m * n_out))
    _run(make_join(nonlinearity, real), h, m * n_out, *arrays, real(scale), real(amplitude), *sizes)


def join(h: Any, scale: float, y: Any) -> None:
    """Fill y with the blocks of scale * h, side by side and cut."""
    join_features(h, scale, "none", None, 1.0, y)


def join_backward(dy: Any, scale: float, dh: Any) -> None:
    """Fill the blocks of dh with scale * dy, and zeros behind it."""
    sizes = map(index_type, (dy.shape[1], dh.shape[1] * dh.shape[2]))
    _run(_join_backward, dy, dh.size, flat(dy), dy.dtype.type(scale), flat(dh), *sizes)


def diagonal(x: Any, D: Any, y: Any) -> None:
    """Fill y with D x."""
    _run(_diagonal, x, y.size, flat(x), flat(D), flat(y))


def diagonal_backward(x: Any, dy: Any, dD: Any) -> None:
    """Fill dD with the sum over the batch of x dy."""
    compiled = make_diagonal_backward(x.dtype.type)
    arrays = flat(x), flat(dy), flat(dD)
    start(compiled, -(-dD.size // WARP), THREADS, dy.stream, *arrays, index_type(x.shape[0]))


def permute(x: Any, perm: Any, y: Any) -> None:
    """Fill y with Pi x: y[..., i] = x[..., perm[..., i]]."""
    d = index_type(perm.shape[perm.ndim - 1])
    _run(_permute, x, y.size, flat(x), flat(perm), flat(y), d)


def permute_backward(dy: Any, perm: Any, dx: Any) -> None:
    """Fill dx with Pi' dy: dx[..., perm[..., i]] = dy[..., i]."""
    d = index_type(perm.shape[perm.ndim - 1])
    _run(_permute_backward, dy, dy.size, flat(dy), flat(perm), flat(dx), d)


def drop(h: Any, keep: Any, keep_scale: float) -> None:
    """Multiply h by the mask `keep`, and what it keeps by `keep_scale`."""
    _run(_drop, h, h.size, flat(h), flat(keep), h.dtype.type(keep_scale))
