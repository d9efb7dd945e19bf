"""Dropout: the rule of its masks, inverted scaling, inference."""

import numpy as np
import pytest

from fastfood_np.layers import Dropout
from fastfood_np.layers.dropout import draw_mask, mask_scale

# Rates and their thresholds t = round(65536 rate); the last would round to 65536.
RATES = [
    (0.5, 32768),
    (0.25, 16384),
    (0.1, 6554),
    (1 / 65536, 1),
    (0.2 / 65536, 0),
    (65535 / 65536, 65535),
    (1 - 2.0**-30, 65535),
]


def expected_mask(seed, shape, t):
    return np.random.default_rng(seed).integers(0, 65536, shape, dtype=np.uint16) >= t


@pytest.mark.parametrize(("rate", "t"), RATES)
def test_mask_rule(rate, t):
    mask = draw_mask(np.random.default_rng(5), (30, 7), rate)
    np.testing.assert_array_equal(mask, expected_mask(5, (30, 7), t), strict=True)
    assert mask_scale(rate) == 65536 / (65536 - t)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rate", "t"), RATES)
def test_training(rate, t, dtype):
    layer = Dropout(rate)
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((8, 3, 5)).astype(dtype) for _ in range(2))
    y, cache = layer.forward(x, train=True, rng=9)
    dx, grads = layer.backward(dy, cache)
    mask = expected_mask(9, x.shape, t)
    np.testing.assert_array_equal(cache["mask"], mask, strict=True)
    factor = dtype(65536 / (65536 - t))
    np.testing.assert_array_equal(y, np.where(mask, factor * x, 0), strict=True)
    np.testing.assert_array_equal(dx, np.where(mask, factor * dy, 0), strict=True)
    assert grads == {}


def test_a_rate_next_to_one_keeps_something_and_stays_finite():
    layer, x = Dropout(np.nextafter(1.0, 0.0)), np.ones((1000, 1000), np.float32)
    y, cache = layer.forward(x, train=True, rng=0)
    assert 0 < cache["mask"].sum() < 60
    assert np.isfinite(y).all() and y.max() == 65536


def test_mean_is_kept():
    y, _ = Dropout(0.3).forward(np.ones((400, 500)), train=True, rng=1)
    z = (y.mean() - 1) / np.sqrt(0.3 / 0.7 / y.size)
    assert abs(z) < 4


def test_inference_and_rate_zero_are_the_identity():
    x = np.random.default_rng(0).standard_normal((4, 5))
    for layer, train in ((Dropout(0.5), False), (Dropout(0.0), True), (Dropout(0), False)):
        rng = np.random.default_rng(1)
        y, cache = layer.forward(x, train=train, rng=rng)
        np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(layer.backward(x, cache)[0], x)
        assert cache["mask"] is None
        assert rng.bit_generator.state == np.random.default_rng(1).bit_generator.state
    assert Dropout(0.5).draws and not Dropout(0.0).draws


def test_each_call_draws_anew():
    layer, x, rng = Dropout(0.5), np.ones((4, 5)), np.random.default_rng(1)
    first, _ = layer.forward(x, train=True, rng=rng)
    second, _ = layer.forward(x, train=True, rng=rng)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("rate", [1, 1.0, 1.5, -1e-9, np.nan, np.inf])
def test_rates_out_of_range(rate):
    with pytest.raises(ValueError, match="rate must be"):
        Dropout(rate)


@pytest.mark.parametrize("rate", ["0.5", None, True])
def test_rates_that_are_no_numbers(rate):
    with pytest.raises(TypeError, match="rate must be a real number"):
        Dropout(rate)
