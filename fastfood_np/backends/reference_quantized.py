"""Products with a matrix whose rows are made of pieces out of codebooks, in plain NumPy.

W (n_out, d_in) is cut into n_subspaces runs of columns; in run s, row o is
codebooks[s, code of (s, o)], or codebooks[0, ...] where one codebook (1, n_centroids, length)
serves all runs. With at most 16 centroids, two codes share a byte: byte j of codes[s] holds that of
output 2j in its low four bits and that of 2j + 1 in its high ones. Else each has a byte of its own.
"""

from __future__ import annotations

import numpy as np

from fastfood_np.validation import Array


def quantized_forward(x: Array, codebooks: Array, codes: Array, y: Array) -> None:
    """Fill y (m, n_out) with W x, by tables of what every centroid gives with its part of x.

    Products are added first within a run, from its first column on, then run by run.
    """
    m, (_, n_centroids, length) = len(x), codebooks.shape
    unpacked = _unpacked(codes, n_centroids, y.shape[1])
    pieces = x.reshape(m, len(unpacked), length)
    tables = np.zeros((m, len(unpacked), n_centroids), x.dtype)
    for j in range(length):
        tables += pieces[:, :, None, j] * codebooks[:, :, j]
    y[...] = 0
    for s, row in enumerate(unpacked):
        y += tables[:, s, row]


def quantized_backward(
    x: Array, dy: Array, codebooks: Array, codes: Array, dx: Array | None, dcodebooks: Array
) -> None:
    """Fill dcodebooks and dx (unless it is None) from dy (m, n_out).

    dy is added up over the outputs that have the same code; what is left is small products.
    """
    m, (_, n_centroids, length) = len(x), codebooks.shape
    unpacked = _unpacked(codes, n_centroids, dy.shape[1])
    sums = np.zeros((m, len(unpacked), n_centroids), x.dtype)
    for s, row in enumerate(unpacked):
        np.add.at(sums[:, s].T, row, dy.T)
    pieces = x.reshape(m, len(unpacked), length)
    products = np.einsum("msc,msj->scj", sums, pieces)
    dcodebooks[...] = products.sum(axis=0) if len(codebooks) == 1 else products
    if dx is not None:
        books = np.broadcast_to(codebooks, products.shape)
        dx[...] = np.einsum("msc,scj->msj", sums, books).reshape(dx.shape)


def _unpacked(codes: Array, n_centroids: int, n_out: int) -> Array:
    """Return the codes of all runs, (n_subspaces, n_out), a byte each."""
    if n_centroids > 16:
        return codes
    pairs = np.stack([codes & 15, codes >> 4], axis=-1)
    return pairs.reshape(len(codes), -1)[:, :n_out]
