"""The Walsh-Hadamard transform and the layers made of it, factor by factor."""

from __future__ import annotations

import math

import numpy as np

from fastfood_np.layers import SORF, Fastfood, Hadamard, Permutation
from fastfood_np.onnx_export.graph import Scope
from fastfood_np.transforms import fwht
from fastfood_np.validation import Array

MOST_BITS = 5  # of an index, for which one matrix is written: 32 x 32 at most


def hadamard(to: Scope, layer: Hadamard, x: str) -> str:
    """Transform the last axis."""
    return _transform(to, x, to.shape, "H")


def permutation(to: Scope, layer: Permutation, x: str) -> str:
    """Permute the last axis."""
    return _permute(to, x, layer.constants["perm"], "Pi")


def fastfood(to: Scope, layer: Fastfood, x: str) -> str:
    """Write c S H G Pi H B; values have the names that they have in `layers.fastfood`."""
    h = _spread(to, x, layer.perm.shape[1])
    h = _multiply(to, layer, h, "B", "h_H2")
    h = _transform(to, h, layer.perm.shape, "H2", "h_Pi")
    h = _permute(to, h, layer.perm, "Pi", "h_G")
    h = _multiply(to, layer, h, "G", "h_H1")
    h = _transform(to, h, layer.perm.shape, "H1", "h_S")
    h = _multiply(to, layer, h, "S", "h")
    return _join(to, h, layer.scale, layer.perm.size, layer.n_out)


def sorf(to: Scope, layer: SORF, x: str) -> str:
    """Write c H D1 H D2 H D3."""
    shape = layer.params["D1"].shape
    h = _spread(to, x, shape[1])
    for i in "321":
        h = _multiply(to, layer, h, f"D{i}", f"h_H{i}")
        h = _transform(to, h, shape, f"H{i}")
    return _join(to, h, layer.scale, math.prod(shape), layer.n_out)


def _spread(to: Scope, x: str, d_pad: int) -> str:
    """Append zeros to each row, (m, 1, d_pad): multiplication by factors makes the blocks."""
    (d_in,) = to.shape
    if d_pad > d_in:
        pads = to.array("pad.pads", (0, 0, 0, d_pad - d_in), np.int64)
        x = to.add("Pad", x, pads, step="pad")
    return to.add(
        "Unsqueeze", x, to.array("spread.axes", [1], np.int64), step="spread", value="h_l"
    )


def _multiply(to: Scope, layer: Fastfood | SORF, h: str, name: str, value: str) -> str:
    return to.add("Mul", h, to.array(name, layer.params[name]), step=name, value=value)


def _join(to: Scope, h: str, scale: float, size: int, n_out: int) -> str:
    """Multiply by c, put the blocks side by side, and cut what is more than n_out."""
    h = to.add("Mul", h, to.array("c", scale), step="c")
    h = to.reshape(h, size, step="join")
    return to.leading(h, n_out, axis=1, step="cut") if n_out < size else h


def _permute(to: Scope, h: str, perm: Array, step: str, value: str = "") -> str:
    """Take entry perm[..., i] of each row: all rows of an input as one, each with its offset."""
    d = perm.shape[-1]
    if perm.ndim > 1:
        h = to.reshape(h, perm.size, step=f"{step}.row")
        perm = perm + np.arange(0, perm.size, d).reshape(*perm.shape[:-1], 1)
    return to.add("Gather", h, to.array("perm", perm, np.int32), step=step, value=value, axis=1)


def _transform(to: Scope, h: str, shape: tuple[int, ...], step: str, value: str = "") -> str:
    """Multiply by H along the last axis: as the Kronecker product of matrices of at most 32 x 32.

    H of d = a b is that of a times that of b, so the last axis becomes two, (a, b), and each is
    multiplied by its own small matrix: 32 d multiplications for each factor instead of d^2.
    """
    inner = 1  # product of the axes that are done, from the last one on
    for i, size in enumerate(_factors(shape[-1])):
        H = to.shared(f"H{size}", fwht(np.eye(size, dtype=np.float32)))
        rows, name = math.prod(shape) // (inner * size), f"{step}.{i}"
        if i == 0:
            h = to.reshape(h, rows, size, step=f"{name}.rows")
            h = to.add("MatMul", h, H, step=name)
        else:
            h = to.reshape(h, rows, size, inner, step=f"{name}.rows")
            h = to.add("MatMul", H, h, step=name)
        inner *= size
    return h if inner == 1 else to.reshape(h, *shape, step=step, value=value)


def _factors(d: int) -> list[int]:
    """Return powers of two whose product is d, each at most 32, as equal as can be.

    >>> _factors(1024), _factors(2048), _factors(1)
    ([32, 32], [16, 16, 8], [])
    """
    bits = d.bit_length() - 1
    count = -(-bits // MOST_BITS)
    return [1 << (bits + count - 1 - i) // count for i in range(count)]
