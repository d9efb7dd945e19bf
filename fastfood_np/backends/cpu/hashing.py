"""A large matrix made of a small vector by hash functions."""

from __future__ import annotations

import numpy as np

from fastfood_np.backends.cpu.jit import part, teams
from fastfood_np.backends.cpu.kernel import Kernel, usual
from fastfood_np.validation import Array

GOLDEN, FIRST, SECOND = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)


@part
def _mixed(entry, seed):
    h = np.uint32(np.uint32(entry) * GOLDEN + seed)
    h = np.uint32((h ^ (h >> np.uint32(16))) * FIRST)
    h = np.uint32((h ^ (h >> np.uint32(13))) * SECOND)
    return np.uint32(h ^ (h >> np.uint32(16)))


@part
def _expand_row(w, number, seed, row):
    for j in range(row.size):
        h = _mixed(number + np.uint64(j), seed)
        value = w[np.uint64(h >> np.uint32(1)) * np.uint64(w.size) >> np.uint64(31)]
        row[j] = value if h & np.uint32(1) else -value


def _expand(lanes, w, seed, W, team, first, last):
    for i in range(first, last):
        _expand_row(w, np.uint64(i) * np.uint64(W.shape[1]), seed, W[i])


@part
def _gather_row(row, number, seed, dw):
    for j in range(row.size):
        h = _mixed(number + np.uint64(j), seed)
        index = np.uint64(h >> np.uint32(1)) * np.uint64(dw.size) >> np.uint64(31)
        dw[index] += row[j] if h & np.uint32(1) else -row[j]


def _gather(lanes, dW, seed, dw, team, first, last):
    for i in range(dw.size):
        dw[i] = 0
    for i in range(dW.shape[0]):
        _gather_row(dW[i], np.uint64(i) * np.uint64(dW.shape[1]), seed, dw)


_expand_rows = Kernel(_expand)
_gather_rows = Kernel(_gather)


def hashed_matrix(w: Array, seed: int, W: Array) -> None:
    """Fill W (n_out, d_in) with s(i, j) w[h(i, j)]; all indices and signs follow from the seed."""
    _expand_rows(teams(W.size), len(W), (), usual(w), np.uint32(seed), W)


def hashed_matrix_backward(dW: Array, seed: int, dw: Array) -> None:
    """Fill dw with the sum of s(i, j) dW_ij over the entries that share a weight, row by row."""
    _gather_rows(1, 1, (), usual(dW), np.uint32(seed), dw)
