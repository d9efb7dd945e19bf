"""Heads sized by a budget: as many outputs as fit, and no more weights than were asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from small_runs import BACKEND

from fastfood_np import backends
from fastfood_np.layers import (
    SORF,
    BlockCirculant,
    Circulant,
    Dense,
    Fastfood,
    Flatten,
    Hashed,
    Layer,
    LowRank,
    MaxPool2D,
)
from fastfood_np.models import HEADS, cifar10_quick, lenet, outputs_of, structured_layer

LENETS, QUICKS = 800, 1024
every_kind = pytest.mark.parametrize("kind", HEADS)
every_budget = pytest.mark.parametrize("budget", (6_656, 13_312, 53_248, 4_999, 20_011))
every_network = pytest.mark.parametrize("d_in", (LENETS, QUICKS))

# The smallest heads, of one output: what each kind needs for d_in = 800, and 10 classes.
LEAST = {
    "dense": 800 + 10,
    "low-rank": 800 + 1 + 10,
    "hashed": 10 + 1,
    "block-circulant": 8 * 100 + 10,
    "circulant": 800 + 10,
    "circulant-random": 800 + 10,
    "circulant-ones": 800 + 10,
    "sorf": 3 * 1024 + 10,
    "fastfood": 3 * 1024 + 10,
}


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with backends.using(BACKEND):
        yield


def head(kind: str, d_in: int, budget: int, **options: Any) -> tuple[Layer, int, int]:
    """Return the layer, its outputs, and the weights of the head."""
    layer = structured_layer(kind, d_in, 10, budget, rng=0, **options)
    n_out = outputs_of(layer, d_in)
    return layer, n_out, layer.n_weights + 10 * n_out


def one_more(kind: str, layer: Layer, n_out: int, d_in: int) -> Layer:
    """Return a layer with an output more, and the same second size."""
    n = n_out + 1
    if kind == "low-rank":
        return LowRank(d_in, n, rank=layer.params["U"].shape[1], rng=0)
    if kind == "block-circulant":
        return BlockCirculant(d_in, n, block_size=layer.config["block_size"], rng=0)
    if kind == "dense":
        return Dense(d_in, n, bias=False, rng=0)
    maker: Any = {"sorf": SORF, "fastfood": Fastfood}.get(kind, Circulant)
    return maker(d_in, n, rng=0)


@every_kind
@every_budget
@every_network
def test_a_head_fits_its_budget(kind: str, budget: int, d_in: int) -> None:
    layer, n_out, weights = head(kind, d_in, budget)
    assert weights <= budget
    shape = layer.forward(np.zeros((3, d_in), np.float32))[0].shape
    assert shape == (3, n_out)


@pytest.mark.parametrize("kind", [kind for kind in HEADS if kind != "hashed"])
@every_budget
@every_network
def test_one_more_output_does_not_fit(kind: str, budget: int, d_in: int) -> None:
    layer, n_out, _ = head(kind, d_in, budget)
    larger = one_more(kind, layer, n_out, d_in)
    assert larger.n_weights + 10 * (n_out + 1) > budget


@every_budget
@every_network
def test_a_hashed_layer_takes_all_that_is_left(budget: int, d_in: int) -> None:
    """At most 512 outputs, and at most half of the budget behind them."""
    layer, n_out, weights = head("hashed", d_in, budget)
    assert weights == budget and layer.n_weights == budget - 10 * n_out
    assert n_out == min(512, budget // 20)


def test_a_hashed_layer_has_no_more_weights_than_entries() -> None:
    layer, n_out, _ = head("hashed", 8, 2_000)
    assert (n_out, layer.n_weights) == (100, 800)
    layer, n_out, _ = head("hashed", 800, 1 << 20)
    assert (n_out, layer.n_weights) == (512, 800 * 512)


@every_kind
def test_the_head_of_a_net_counts_the_same(kind: str) -> None:
    """What is counted here is what the networks have of weights besides their convolutions."""
    for d_in, build, convolutions in ((LENETS, lenet, 25_500), (QUICKS, cifar10_quick, 79_200)):
        layer, n_out, weights = head(kind, d_in, 6_656)
        net = build(head=layer, rng=0)
        assert net.n_weights == convolutions + weights
        assert net.layers["ip2"].params["W"].shape == (10, n_out)


@pytest.mark.parametrize(
    ("budget", "fastfood", "circulant"),
    [(6_656, 358, 585), (13_312, 1024, 1171), (53_248, 4096, 4800)],
)
def test_outputs_at_the_three_budgets(budget: int, fastfood: int, circulant: int) -> None:
    found = {kind: head(kind, LENETS, budget)[1] for kind in HEADS}
    assert found["fastfood"] == found["sorf"] == fastfood
    assert {found[kind] for kind in HEADS if kind.startswith("circulant")} == {circulant}


@pytest.mark.parametrize(("d_in", "block"), [(800, 100), (1024, 128), (801, 101), (5, 1), (17, 3)])
def test_block_circulant_has_eight_columns_of_blocks_or_fewer(d_in: int, block: int) -> None:
    layer, _, weights = head("block-circulant", d_in, 6_656)
    assert layer.config["block_size"] == block and weights <= 6_656


def test_the_variants_of_circulant() -> None:
    trained, drawn, ones = (
        head(kind, LENETS, 6_656)[0] for kind in ("circulant", "circulant-random", "circulant-ones")
    )
    assert "r" in trained.trainable and "r" not in drawn.trainable
    assert {abs(sign) for sign in np.ravel(trained.constants["signs"])} == {1.0}
    assert (trained.constants["signs"] == -1).any() and (ones.constants["signs"] == 1).all()


@every_kind
def test_seed_and_dtype(kind: str) -> None:
    one, same = (head(kind, LENETS, 6_656)[0] for _ in range(2))
    other = structured_layer(kind, LENETS, 10, 6_656, rng=1)
    double = head(kind, LENETS, 6_656, dtype=np.float64)[0]
    assert (one.dtype, double.dtype) == (np.float32, np.float64)
    x = np.random.default_rng(0).standard_normal((2, LENETS))
    y = one(x.astype(np.float32))
    np.testing.assert_array_equal(y, same(x.astype(np.float32)))
    assert not np.array_equal(y, other(x.astype(np.float32)))
    np.testing.assert_allclose(double(x), y, rtol=0, atol=1e-4 * np.abs(y).max())


@every_kind
def test_a_budget_too_small(kind: str) -> None:
    least = LEAST[kind]
    assert head(kind, LENETS, least)[1] == 1
    message = f"budget must allow one output of {kind}, which takes {least} weights, got "
    for budget in (least - 1, 1):
        with pytest.raises(ValueError, match=f"^{message}{budget}$"):
            structured_layer(kind, LENETS, 10, budget)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"kind": "toeplitz"}, ValueError, "kind must be one of 'dense', .*, got 'toeplitz'"),
        ({"kind": None}, ValueError, "kind must be one of 'dense', 'low-rank', .*, got None"),
        ({"d_in": 0}, ValueError, "d_in must be at least 1, got 0"),
        ({"d_in": 8.0}, TypeError, "d_in must be an integer, got 8.0"),
        ({"classes": 0}, ValueError, "classes must be at least 1, got 0"),
        ({"classes": True}, TypeError, "classes must be an integer, got True"),
        ({"budget": 0}, ValueError, "budget must be at least 1, got 0"),
        ({"budget": "6656"}, TypeError, "budget must be an integer, got '6656'"),
        ({"rng": "seed"}, TypeError, "rng must be None, an integer, .* got 'seed'"),
        ({"dtype": np.float16}, TypeError, "dtype must be float32 or float64"),
    ],
)
def test_refuses(given: dict[str, Any], error: type[Exception], message: str) -> None:
    good: dict[str, Any] = {"kind": "fastfood", "d_in": 8, "classes": 10, "budget": 6_656}
    with pytest.raises(error, match=message):
        structured_layer(**good | given)


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        ("dense", TypeError, "head must be a layer, got 'dense'"),
        (Dense(7, 2), ValueError, "head must take rows of 8 features: x must have shape (m, 7), g"),
        (MaxPool2D(2), ValueError, "head must take rows of 8 features: x must have shape"),
    ],
)
def test_outputs_of_what_is_no_head(layer: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        outputs_of(layer, 8)
    assert outputs_of(Hashed(8, 3, n_hashed=5), 8) == 3 and outputs_of(Flatten(), 8) == 8
