"""Theorems 9 and 11 of Le, Sarlos & Smola in figures: what Fastfood does, and what they allow.

They are about one block V = d^(-1/2) H G Pi H B, without S, and psi_j = cos [Vv]_j, where
v = (x - x') / sigma: the mean of the psi_j estimates the Gaussian kernel exp(-|v|^2 / 2).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from report import Table

from fastfood_np.transforms import draw_fastfood, fastfood_transform
from fastfood_np.validation import Array

LENGTHS = (0.5, 1.0, 2.0)  # of v
DELTA = 0.05  # of Theorem 11
BLOCKS = 4  # of Corollary 10
STANDARD_ERRORS = 4.0  # that a variance may be off by where the theorem gives it exactly


def variance(length: float) -> float:
    """Return Var psi_j, by Theorem 9."""
    return (1 - math.exp(-(length**2))) ** 2 / 2


def C(length: float) -> float:
    """Return C(|v|) = 6 |v|^4 (exp(-|v|^2) + |v|^2 / 3) of Theorem 9."""
    return 6 * length**4 * (math.exp(-(length**2)) + length**2 / 3)


def sum_bound(length: float, d: int) -> float:
    """Return what Theorem 9 allows as the variance of psi_1 + ... + psi_d."""
    return d * variance(length) + d * C(length)


def mean_bound(length: float, n: int) -> float:
    """Return what Corollary 10 allows as the variance of the mean of n psi_j of n / d blocks.

    It has 2 / n where Theorem 9, divided by d n, gives 1 / (2 n), which is what independent
    cosines have: four times as much in that term, and no word of why.
    """
    return 4 * variance(length) / n + C(length) / n


def deviation_bound(length: float, d: int, delta: float) -> float:
    """Return what the error of one block's mean exceeds with probability 2 delta at the most."""
    return 2 * length / math.sqrt(d) * math.sqrt(math.log(2 / delta) * math.log(2 * d / delta))


def draw_products(d: int, draws: int, seed: int) -> Array:
    """Return V u, (draws, d), for one unit vector u of random direction and so many blocks."""
    rng = np.random.default_rng(seed)
    u = rng.standard_normal(d)
    factors = draw_fastfood(d, d * draws, rng)
    factors = factors._replace(S=np.ones_like(factors.S))
    products = fastfood_transform(u / np.linalg.norm(u), factors, scale=1 / math.sqrt(d))
    return products.reshape(draws, d)


def rows_of(products: Array, length: float) -> list[dict[str, Any]]:
    """Return a row for each statement about v = length u, from `products` (draws, d), V u."""
    draws, d = products.shape
    kernel = math.exp(-(length**2) / 2)
    errors = np.cos(length * products) - kernel
    means = errors.mean(axis=1)
    of_blocks = means[: draws - draws % BLOCKS].reshape(-1, BLOCKS).mean(axis=1)
    squares = (errors**2).mean(axis=1)
    standard_error = float(squares.std(ddof=1)) / math.sqrt(draws)
    allowed = deviation_bound(length, d, DELTA)

    def row(what: str, measured: float, bound: float, holds: bool | None = None) -> dict[str, Any]:
        holds = measured <= bound if holds is None else holds
        figures = {"measured": measured, "bound": bound, "holds": holds}
        return {"what": what, "d": d, "length": length, **figures}

    one, exact = float(squares.mean()), variance(length)
    share = float((np.abs(means) >= allowed).mean())
    quantile = float(np.quantile(np.abs(means), 1 - 2 * DELTA))
    return [
        row("theorem 9, one", one, exact, abs(one - exact) <= STANDARD_ERRORS * standard_error),
        row("theorem 9, sum", d**2 * float(means.var(ddof=1)), sum_bound(length, d)),
        row("corollary 10", float(of_blocks.var(ddof=1)), mean_bound(length, BLOCKS * d)),
        row("theorem 11", share, 2 * DELTA)
        | {"delta": DELTA, "deviation": quantile, "deviation_bound": allowed},
    ]


def theorem_rows(smoke: bool) -> list[dict[str, Any]]:
    """Return a row for each statement, d and length of v, and print a line for each d and length.

    Each row has "what", "d", "length" (of v), "measured", "bound" and "holds". Of "theorem 9, one"
    the bound is the variance itself, met up to `STANDARD_ERRORS`. "theorem 11" measures the share
    of draws beyond its bound, 2 delta at the most; "deviation" is what that share of draws is
    beyond, and "deviation_bound" what the theorem says of it.
    """
    dimensions, draws = ((64,), 200) if smoke else ((64, 256, 1024), 2000)
    table = Table(
        f"Le et al., theorems 9 and 11 (delta = {DELTA}), corollary 10 ({BLOCKS} blocks): "
        f"variances and deviations of {draws} draws, beside what they should be or may be",
        [
            ("d", "d"),
            ("|v|", "g"),
            ("Var psi", ".4f"),
            ("exactly", ".4f"),
            ("Var sum", ".2g"),
            ("at most", ".2g"),
            ("Var mean", ".2g"),
            ("at most", ".2g"),
            ("deviation", ".3f"),
            ("at most", ".3f"),
            ("all hold", "s"),
        ],
    )
    rows = []
    for d in dimensions:
        products = draw_products(d, draws, seed=d)
        for length in LENGTHS:
            found = rows_of(products, length)
            variances = [row[key] for row in found[:3] for key in ("measured", "bound")]
            deviation = found[3]["deviation"], found[3]["deviation_bound"]
            hold = all(row["holds"] for row in found)
            table.row(d, length, *variances, *deviation, "yes" if hold else "NO")
            rows += found
    return rows
