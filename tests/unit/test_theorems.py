"""Theorems 9 and 11 of Le et al.: bounds as computed by hand, and what Fastfood makes of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import small_runs
import theorems

from fastfood_np import backends


@pytest.fixture(autouse=True)
def fast_backend() -> Iterator[None]:
    with backends.using(small_runs.BACKEND):
        yield


def test_bounds_by_hand() -> None:
    # |v| = 1: (1 - 1/e)^2 = 0.39957640 and C = 6 (1/e + 1/3) = 4.20727665.
    assert theorems.variance(1.0) == pytest.approx(0.19978820, rel=1e-7)
    assert theorems.C(1.0) == pytest.approx(4.20727665, rel=1e-8)
    assert theorems.sum_bound(1.0, 64) == pytest.approx(32 * 0.39957640 + 64 * 4.20727665)
    assert theorems.mean_bound(1.0, 256) == pytest.approx((2 * 0.39957640 + 4.20727665) / 256)
    # |v| = 2: C = 96 (e^-4 + 4/3) = 128 + 96 * 0.01831564.
    assert theorems.C(2.0) == pytest.approx(129.75830, rel=1e-7)
    # log(2 / 0.1) = 2.99573227, log(128 / 0.1) = 7.15461536, the root of their product 4.62960.
    assert theorems.deviation_bound(1.0, 64, 0.1) == pytest.approx(4.62960 / 4, rel=1e-5)
    assert theorems.deviation_bound(3.0, 256, 0.1) == pytest.approx(
        6 / 16 * math.sqrt(2.99573227 * math.log(5120))
    )
    assert theorems.variance(0.0) == theorems.C(0.0) == theorems.deviation_bound(0.0, 8, 0.1) == 0


def test_corollary_10_is_looser_than_theorem_9() -> None:
    d, blocks = 64, 4
    n = d * blocks
    by_theorem_9 = blocks * theorems.sum_bound(1.0, d) / n**2
    assert theorems.mean_bound(1.0, n) - by_theorem_9 == pytest.approx(
        3 * theorems.variance(1.0) / n
    )


def test_products_are_those_of_the_unit_vector() -> None:
    products = theorems.draw_products(64, 400, seed=0)
    assert products.shape == (400, 64)
    # Entries are N(0, 1); over seeds, as those of one draw depend on each other.
    squares = (products**2).mean(axis=1)
    assert abs(squares.mean() - 1) < 4 * squares.std(ddof=1) / math.sqrt(400)


def test_theorems_hold(capsys: pytest.CaptureFixture[str]) -> None:
    rows = theorems.theorem_rows(smoke=True)
    assert len(rows) == 4 * len(theorems.LENGTHS)
    assert all(row["holds"] for row in rows)
    table = capsys.readouterr().out.strip().splitlines()
    assert [line.split()[-1] for line in table[2:]] == ["yes"] * len(theorems.LENGTHS)
    for row in rows:
        assert row.keys() >= {"what", "d", "length", "measured", "bound", "holds"}


def broken(products: np.ndarray, length: float) -> set[str]:
    """Return what does not hold."""
    return {row["what"] for row in theorems.rows_of(products, length) if not row["holds"]}


def test_what_does_not_hold_is_told() -> None:
    products = theorems.draw_products(64, 400, seed=0)
    assert broken(products, 0.5) == set()
    assert broken(1.2 * products, 0.5) == {"theorem 9, one"}
    repeated = np.broadcast_to(products[:, :1], products.shape)  # all psi of a block are one
    assert {"theorem 9, sum", "corollary 10"} <= broken(repeated, 0.5)
    constant = np.full((400, 1024), math.pi)  # psi is -1
    assert "theorem 11" in broken(constant, 1.0)


def test_a_table_tells_it_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(theorems, "draw_products", lambda d, draws, seed: np.ones((draws, d)))
    assert not all(row["holds"] for row in theorems.theorem_rows(smoke=True))
    assert capsys.readouterr().out.strip().endswith("NO")
