"""A large matrix made of a small vector by hash functions."""

from __future__ import annotations

import numpy as np

from fastfood_np.backends.cpu.jit import part, teams
from fastfood_np.backends.cpu.kernel import Kernel, usual
from fastfood_np.validation import Array

# Products of 32 bits are taken in 64 and cut, so that as plain Python none overflows.
GOLDEN, FIRST, SECOND = np.uint64(0x9E3779B1), np.uint64(0x85EBCA6B), np.uint64(0xC2B2AE35)
LOW = np.uint64(0xFFFFFFFF)


@part
def _row_of_places(row, n_hashed, seed, places):
    """Fill `places` with 2 h + [s = 1] for the entries of a row: the part that is vectorised."""
    first, size = np.uint64(row * places.size), np.uint64(n_hashed)
    for j in range(places.size):
        bits = (((first + np.uint64(j)) & LOW) * GOLDEN + np.uint64(seed)) & LOW
        bits = ((bits ^ (bits >> np.uint64(16))) * FIRST) & LOW
        bits = ((bits ^ (bits >> np.uint64(13))) * SECOND) & LOW
        bits = bits ^ (bits >> np.uint64(16))
        h = ((bits >> np.uint64(1)) * size) >> np.uint64(31)
        places[j] = np.uint64(2) * h + (bits & np.uint64(1))


@part
def _gather(both, places, row):
    for j in range(row.size):
        row[j] = both[places[j]]


@part
def _scatter(row, places, sums):
    for j in range(row.size):
        sums[places[j]] += row[j]


def _expand(lanes, w, seed, W, team, first, last):
    both = np.empty(2 * w.size, w.dtype)
    for k in range(w.size):
        both[2 * k] = -w[k]
        both[2 * k + 1] = w[k]
    places = np.empty(W.shape[1], np.uint32)
    for i in range(first, last):
        _row_of_places(i, w.size, seed, places)
        _gather(both, places, W[i])


def _collect(lanes, dW, seed, dw, team, first, last):
    sums = np.zeros(2 * dw.size, dW.dtype)
    places = np.empty(dW.shape[1], np.uint32)
    for i in range(dW.shape[0]):
        _row_of_places(i, dw.size, seed, places)
        _scatter(dW[i], places, sums)
    for k in range(dw.size):
        dw[k] = sums[2 * k + 1] - sums[2 * k]


_expand_rows = Kernel(_expand)
_collect_all = Kernel(_collect)


def hashed_matrix(w: Array, seed: int, W: Array) -> None:
    """Fill W (n_out, d_in) with s(i, j) w[h(i, j)]; all indices and signs follow from the seed."""
    with np.errstate(over="ignore"):  # as plain Python: products of hashes are cut to 32 bits
        _expand_rows(teams(W.size), len(W), (), usual(w), np.uint32(seed), W)


def hashed_matrix_backward(dW: Array, seed: int, dw: Array) -> None:
    """Fill dw with the sum of s(i, j) dW_ij over the entries that share a weight.

    Entries that share a sign as well are added first, row by row; one thread does all.
    """
    with np.errstate(over="ignore"):
        _collect_all(1, 1, (), usual(dW), np.uint32(seed), dw)
