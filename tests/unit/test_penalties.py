"""Penalties: their values and gradients, and what the trainer makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_runs import BACKEND

from fastfood_np import backends
from fastfood_np.compression import Binary, GroupLasso, TwoValues
from fastfood_np.layers import Dense, Flatten, ReLU, Sequential
from fastfood_np.training import SGD, Constant, LinearRise, Trainer

NUMBERS = st.floats(-3, 3, allow_subnormal=False).filter(
    lambda value: value == 0 or abs(value) > 1e-3
)
WEIGHTS = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=NUMBERS)
STEP = 1e-5
CASES: dict[str, Any] = {
    "two values, given": TwoValues(0.7),
    "two values, mean": TwoValues(),
    "two values, zero": TwoValues(0.0),
    "binary, given": Binary(0.7),
    "group lasso, rows": GroupLasso(),
    "group lasso, columns": GroupLasso(1),
}


@pytest.mark.parametrize("name", CASES)
@given(w=WEIGHTS)
def test_gradient_against_central_differences(name: str, w: np.ndarray) -> None:
    penalty = CASES[name]
    kinks = np.abs(w) < 1e-2  # |w| has a corner at 0, and Binary one at c
    kinks |= np.abs(np.abs(w) - 0.7) < 1e-2
    if isinstance(penalty, GroupLasso):
        kinks = np.linalg.norm(w, axis=1 - penalty.axis, keepdims=True) + 0 * w < 0.1
    grad = penalty.gradient(w)
    assert grad.shape == w.shape and not np.shares_memory(grad, w)
    for place in zip(*np.nonzero(~kinks), strict=True):
        up, down = w.copy(), w.copy()
        up[place] += STEP
        down[place] -= STEP
        slope = (penalty.value(up) - penalty.value(down)) / (2 * STEP)
        assert grad[place] == pytest.approx(slope, rel=1e-6, abs=1e-6)


@given(w=WEIGHTS)
def test_binary_gradient_with_the_mean_held(w: np.ndarray) -> None:
    c = float(np.mean(np.abs(w)))
    if c:
        np.testing.assert_array_equal(Binary().gradient(w), Binary(c).gradient(w))
        assert Binary().value(w) == Binary(c).value(w)


@given(w=WEIGHTS, c=st.floats(0, 3))
def test_both_ways_to_write_the_distance_to_two_values(w: np.ndarray, c: float) -> None:
    nearest = np.minimum((w - c) ** 2, (w + c) ** 2).sum()
    assert TwoValues(c).value(w) == pytest.approx(nearest, rel=1e-12, abs=1e-12)


@given(w=WEIGHTS, c=st.floats(0, 3))
def test_the_mean_is_the_best_c(w: np.ndarray, c: float) -> None:
    assert TwoValues().value(w) <= TwoValues(c).value(w) + 1e-12


@given(w=WEIGHTS)
def test_murray_and_ng_as_they_write_it(w: np.ndarray) -> None:
    x = np.clip((w / 1.5 + 1) / 2, 0, 1)
    assert Binary(1.5).value(w) == pytest.approx((x * (1 - x)).sum(), rel=1e-12, abs=1e-12)


def test_where_nothing_is_left_to_do() -> None:
    w = np.array([[0.5, -0.5], [-0.5, 0.5]], np.float32)
    for penalty in (TwoValues(), TwoValues(0.5), Binary(), Binary(0.5)):
        assert penalty.value(w) == 0 and not penalty.gradient(w).any()
        assert penalty.progress(w) == "two values 0.00"
    zero = np.zeros((2, 3), np.float32)
    for any_kind in (TwoValues(), Binary(), GroupLasso(), GroupLasso(1)):
        assert any_kind.value(zero) == 0 and not any_kind.gradient(zero).any()
    assert TwoValues().progress(zero) == TwoValues(0.0).progress(zero) == "two values 0.00"
    assert TwoValues(0.0).progress(zero + 1) == "two values inf"
    assert GroupLasso().progress(zero) == "0 of 2 groups"


def test_distance_of_normal_weights() -> None:
    w = np.random.default_rng(0).standard_normal((1000, 1000))
    assert TwoValues().distance(w) == pytest.approx(np.sqrt(np.pi / 2 - 1), abs=2e-3)
    assert TwoValues().distance(10 * w) == pytest.approx(TwoValues().distance(w), rel=1e-12)


def test_small_groups_count_as_gone() -> None:
    w = np.array([[1.0, 1.0], [1e-3, 0.0], [0.1, 0.0]])
    assert GroupLasso().alive(w).tolist() == [True, False, True]
    assert GroupLasso(1).alive(w).tolist() == [True, True]


@pytest.mark.parametrize("name", CASES)
def test_float32_stays(name: str) -> None:
    w = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    assert CASES[name].gradient(w).dtype == np.float32
    exact = CASES[name].gradient(w.astype(np.float64))
    np.testing.assert_allclose(CASES[name].gradient(w), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "kind", "saying"),
    [
        (lambda: TwoValues(-1.0), ValueError, "c must be at least 0.0, got -1.0"),
        (lambda: TwoValues("1"), TypeError, "c must be a real number"),  # type: ignore[arg-type]
        (lambda: Binary(0.0), ValueError, "c must be greater than 0.0, got 0.0"),
        (lambda: GroupLasso(-1), ValueError, "axis must be at least 0, got -1"),
        (lambda: GroupLasso(2).value(np.zeros((2, 2))), ValueError, "axis must be at most 1"),
        (lambda: LinearRise(-1.0, begin=0, end=1), ValueError, "top must be at least 0"),
        (lambda: LinearRise(1.0, begin=2, end=2), ValueError, "end must be at least 3"),
    ],
)
def test_wrong_input(make: Any, kind: type[Exception], saying: str) -> None:
    with pytest.raises(kind, match=saying):
        make()


# ------------------------------------------------------------------------------ while training


def small_net() -> Sequential:
    rng = np.random.default_rng(2)
    dense = [("first", Dense(36, 12, rng=rng)), ("relu", ReLU()), ("dense", Dense(12, 3, rng=rng))]
    return Sequential([("flatten", Flatten()), *dense])


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (22, 1, 6, 6), dtype=np.uint8), rng.integers(0, 3, 22)


def penalised(alpha: float, steps: int = 6, **options: Any) -> Trainer:
    net = small_net()
    optimizer = SGD(net.params, net.trainable, momentum=0.0, weight_decay=0.0)
    penalties = {"dense.W": (TwoValues(0.25), LinearRise(alpha, begin=0, end=2))}
    run = Trainer(net, optimizer, Constant(0.1), batch=8, penalties=penalties, **options)
    with backends.using(BACKEND):
        run.fit(*data(), steps)
    return run


def test_a_step_adds_the_gradient_times_the_coefficient() -> None:
    """The coefficient is 0 at step 0, half of alpha at step 1; the rest of the net has no part."""
    for steps, share in ((1, 0.0), (2, 0.5)):
        with_it, without = penalised(0.02, steps), penalised(0.0, steps)
        before = penalised(0.0, 1).optimizer.params["dense.W"]
        term = 0.1 * share * 0.02 * TwoValues(0.25).gradient(before)
        for name, w in without.optimizer.params.items():
            moved = w - with_it.optimizer.params[name]
            np.testing.assert_allclose(moved, term if name == "dense.W" else 0, atol=3e-8)


def test_weights_come_to_their_two_values() -> None:
    far, near = (penalised(alpha, 60).penalty_progress() for alpha in (0.0, 2.0))
    assert far.startswith("dense.W two values ") and near.startswith("dense.W two values ")
    assert float(near.split()[-1]) < 0.1 < float(far.split()[-1])


def test_threads_change_no_bit() -> None:
    one, two = penalised(0.5, threads=1), penalised(0.5, threads=2)
    for name, w in one.optimizer.params.items():
        assert w.tobytes() == two.optimizer.params[name].tobytes()


def test_a_penalty_on_nothing_trained() -> None:
    net = small_net()
    with pytest.raises(ValueError, match=r"penalties must name trained params .*got 'dense\.V'"):
        Trainer(
            net,
            SGD(net.params, net.trainable),
            Constant(0.1),
            penalties={"dense.V": (TwoValues(), Constant(1.0))},
        )
