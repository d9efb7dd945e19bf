"""Learning rates as functions of the step."""

import math

import numpy as np
import pytest

from fastfood_np.training import Constant, Cosine, InverseDecay, StepDecay


def test_constant():
    assert [Constant(0.3)(step) for step in (0, 1, 10**6)] == [0.3] * 3


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.01), (100, 0.00992565), (10_000, 0.005946), (1, 0.01 / 1.0001**0.75)]
)
def test_caffes_inverse_decay(step, rate):
    """The values of Caffe's LeNet solver: base 0.01, gamma 1e-4, power 0.75."""
    assert InverseDecay(0.01)(step) == pytest.approx(rate, rel=1e-5)


def test_inverse_decay_with_other_numbers():
    assert InverseDecay(2.0, gamma=0.5, power=2.0)(4) == pytest.approx(2 / 9, rel=1e-15)
    assert InverseDecay(2.0, gamma=0.0)(4) == 2.0
    assert InverseDecay(2.0, power=0.0)(4) == 2.0


def test_step_decay():
    schedule = StepDecay(0.5, factor=0.1, every=10)
    assert [schedule(step) for step in (0, 9)] == [0.5, 0.5]
    for step, rate in ((10, 0.05), (19, 0.05), (20, 0.005), (35, 0.0005)):
        assert schedule(step) == pytest.approx(rate, rel=1e-14)


def test_cosine():
    schedule = Cosine(0.4, steps=100)
    assert schedule(0) == 0.4
    assert schedule(50) == pytest.approx(0.2, rel=1e-14)
    assert schedule(25) == pytest.approx(0.2 * (1 + math.sqrt(0.5)), rel=1e-14)
    assert schedule(100) == 0.0
    assert schedule(1000) == 0.0
    rates = [schedule(step) for step in range(101)]
    assert (np.diff(rates) < 0).all()
    # Symmetric about the middle.
    np.testing.assert_allclose(np.add(rates, rates[::-1]), 0.4, rtol=1e-14)


def test_warmup_rises_in_equal_steps_to_the_base():
    schedule = Cosine(0.4, steps=100, warmup=4)
    np.testing.assert_allclose([schedule(step) for step in range(5)], [0.1, 0.2, 0.3, 0.4, 0.4])
    assert schedule(5) < 0.4
    assert schedule(52) == pytest.approx(0.2, rel=1e-14)
    assert schedule(100) == 0.0


def test_warmup_over_all_steps():
    schedule = Cosine(1.0, steps=2, warmup=2)
    assert [schedule(step) for step in range(3)] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    "schedule", [Constant(0.1), InverseDecay(0.1), StepDecay(0.1), Cosine(0.1, 10, 2)]
)
def test_rates_are_plain_floats_and_need_no_history(schedule):
    rates = [schedule(step) for step in range(12)]
    assert all(type(rate) is float and rate >= 0 for rate in rates)
    assert [schedule(step) for step in reversed(range(12))] == rates[::-1]
    assert schedule == type(schedule)(**vars(schedule))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Constant(0), ValueError, "base must be greater than 0.0, got 0"),
        (lambda: Constant("1"), TypeError, "base must be a real number, got '1'"),
        (lambda: InverseDecay(-0.1), ValueError, "base must be greater than 0.0"),
        (lambda: InverseDecay(0.1, gamma=-1), ValueError, "gamma must be at least 0.0, got -1"),
        (lambda: InverseDecay(0.1, power=-1), ValueError, "power must be at least 0.0, got -1"),
        (lambda: StepDecay(0.1, factor=0), ValueError, "factor must be greater than 0.0"),
        (lambda: StepDecay(0.1, every=0), ValueError, "every must be at least 1, got 0"),
        (lambda: StepDecay(math.inf), ValueError, "base must be finite, got inf"),
        (lambda: Cosine(0.1, steps=0), ValueError, "steps must be at least 1, got 0"),
        (lambda: Cosine(0.1, steps=2.0), TypeError, "steps must be an integer, got 2.0"),
        (lambda: Cosine(0.1, 5, warmup=6), ValueError, "warmup must be at most 5, got 6"),
        (lambda: Cosine(math.nan, 5), ValueError, "base must be finite, got nan"),
    ],
)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
