"""Layers that multiply by one matrix, which the graph makes of what the layer holds."""

from __future__ import annotations

import numpy as np

from fastfood_np import backends
from fastfood_np.layers import BlockCirculant, Circulant, Dense, Hashed, LowRank, QuantizedDense
from fastfood_np.layers.codes import PACKED
from fastfood_np.onnx_export.graph import Scope

FLOAT, INT32 = 1, 6  # numbers of onnx.TensorProto


def dense(to: Scope, layer: Dense, x: str) -> str:
    """Write W x + b."""
    return _multiply(to, x, to.array("W", layer.params["W"]), *_bias(to, layer))


def low_rank(to: Scope, layer: LowRank, x: str) -> str:
    """Write U (V x)."""
    h = _multiply(to, x, to.array("V", layer.params["V"]), step="V")
    return _multiply(to, h, to.array("U", layer.params["U"]), step="U")


def hashed(to: Scope, layer: Hashed, x: str) -> str:
    """Write W x with W as large as it is: runtimes lack the hash's operations on 32 bits."""
    W = np.empty((layer.n_out, *to.shape), np.float32)
    backends.select().hashed_matrix(layer.params["w"], layer.seed, W)
    return _multiply(to, x, to.array("W", W))


def circulant(to: Scope, layer: Circulant, x: str) -> str:
    """Write R D x + b; R and D are kept as vectors and become a matrix when a file is loaded."""
    r = layer.params["r"]
    R = to.add("Gather", to.array("r", r), _turned(to, r.shape[1]), step="R", axis=1)
    W = R
    if layer.config["signs"] != "ones":
        signs = to.array("signs", layer.signs[:, None], np.int8)
        D = to.add("Cast", signs, step="D", to=FLOAT)
        W = to.add("Mul", R, D, step="RD")
    shape = to.array("W.shape", (r.size, r.shape[1]), np.int64)
    W = to.add("Reshape", W, shape, step="W")
    if layer.n_out < r.size:
        W = to.leading(W, layer.n_out, axis=0, step="cut")
    return _multiply(to, x, W, *_bias(to, layer))


def block_circulant(to: Scope, layer: BlockCirculant, x: str) -> str:
    """Write W x; the first columns of the blocks become a matrix when a file is loaded."""
    r = layer.params["r"]
    rows, columns, b = r.shape
    blocks = to.add("Gather", to.array("r", r), _turned(to, b), step="blocks", axis=2)
    blocks = to.add("Transpose", blocks, step="transpose", perm=[0, 2, 1, 3])
    W = to.add("Reshape", blocks, to.array("W.shape", (rows * b, columns * b), np.int64), step="W")
    if (layer.n_out, layer.d_in) != (rows * b, columns * b):
        W = to.leading(W, layer.n_out, layer.d_in, axis=0, step="cut")
    return _multiply(to, x, W)


def quantized_dense(to: Scope, layer: QuantizedDense, x: str) -> str:
    """Write W x + b; codes and codebooks are kept, and become a matrix when a file is loaded."""
    books, n_centroids, length = layer.params["codebooks"].shape
    kept = layer.constants["codes"]
    codes = to.add("Cast", to.array("codes", kept, np.uint8), step="integers", to=INT32)
    rows = kept.shape[1]
    if n_centroids <= PACKED:
        codes, rows = _unpacked(to, codes, kept.shape), 2 * rows
    if books > 1:
        first = np.arange(0, books * n_centroids, n_centroids)[:, None]
        codes = to.add("Add", codes, to.array("first", first, np.int32), step="centroids")
    centroids = layer.params["codebooks"].reshape(books * n_centroids, length)
    W = to.add("Gather", to.array("codebooks", centroids), codes, step="pieces", axis=0)
    W = to.add("Transpose", W, step="transpose", perm=[1, 0, 2])
    W = to.add("Reshape", W, to.array("W.shape", (rows, *to.shape), np.int64), step="W")
    if layer.n_out < rows:
        W = to.leading(W, layer.n_out, axis=0, step="cut")
    return _multiply(to, x, W, *_bias(to, layer))


def _unpacked(to: Scope, codes: str, shape: tuple[int, ...]) -> str:
    """Write two codes for each byte, the low four bits first."""
    sixteen, axes = to.array("16", 16, np.int32), to.array("pairs.axes", [2], np.int64)
    halves = [
        to.add("Unsqueeze", to.add(operator, codes, sixteen, step=step), axes, step=f"{step}.pair")
        for operator, step in (("Mod", "low"), ("Div", "high"))
    ]
    pairs = to.add("Concat", *halves, step="pairs", axis=2)
    size = to.array("unpacked.shape", (shape[0], 2 * shape[1]), np.int64)
    return to.add("Reshape", pairs, size, step="unpacked")


def _multiply(to: Scope, x: str, W: str, *bias: str, step: str = "") -> str:
    return to.add("Gemm", x, W, *bias, step=step, transB=1)


def _bias(to: Scope, layer: Dense | Circulant | QuantizedDense) -> list[str]:
    return [to.array("b", layer.params["b"])] if "b" in layer.params else []


def _turned(to: Scope, d: int) -> str:
    """Write (i - j) mod d, of which entry r a circulant matrix has at row i and column j.

    Computed by the runtime: written out it would be as large as the matrix.
    """
    zero, one, size = (
        to.array(name, value, np.int32) for name, value in (("0", 0), ("1", 1), ("d", d))
    )
    j = to.add("Range", zero, size, one, step="j")
    i = to.add("Unsqueeze", j, to.array("i.axes", [1], np.int64), step="i")
    return to.add("Mod", to.add("Sub", i, j, step="i-j"), size, step="(i-j) mod d")
