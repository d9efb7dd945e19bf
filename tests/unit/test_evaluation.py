"""Predictions over a data set, counted errors, Wilson's interval."""

import math

import numpy as np
import pytest

from fastfood_np.layers import Dense, Dropout, Fastfood, Flatten, ReLU, Sequential
from fastfood_np.training import count_errors, error_interval, evaluation, predict


def net(dtype=np.float32):
    rng = np.random.default_rng(1)
    return Sequential(
        [
            ("flatten", Flatten()),
            ("fastfood", Fastfood(16, 20, dropout=0.5, rng=rng, dtype=dtype)),
            ("relu", ReLU()),
            ("dropout", Dropout(0.5)),
            ("dense", Dense(20, 3, rng=rng, dtype=dtype)),
        ]
    )


def images(n=37):
    return np.random.default_rng(0).integers(0, 256, (n, 1, 4, 4), dtype=np.uint8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 3, 16, 37])
def test_logits_are_those_of_inference(n, dtype, monkeypatch):
    """Batches of 8, the last one smaller, in the order of the images; no dropout."""
    monkeypatch.setattr(evaluation, "BATCH", 8)
    model, x = net(dtype), images(n)
    logits = predict(model, x)
    assert logits.shape == (n, 3) and logits.dtype == dtype
    expected = model((x / 256).astype(dtype))
    np.testing.assert_allclose(
        logits, expected, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-14
    )
    scaled = predict(model, (x / 256).astype(dtype))
    np.testing.assert_array_equal(scaled, logits)


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 9, None])
def test_bits_do_not_depend_on_the_threads(threads, monkeypatch):
    monkeypatch.setattr(evaluation, "BATCH", 16)
    np.testing.assert_array_equal(predict(net(), images(), threads), predict(net(), images(), 2))


def test_predict_stores_nothing():
    model = net()
    before = {name: value.copy() for name, value in model.params.items()}
    x = images()
    kept = x.copy()
    first, second = predict(model, x), predict(model, x)
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(x, kept)
    for name, value in before.items():
        np.testing.assert_array_equal(model.params[name], value)


def test_images_of_a_wrong_dtype():
    with pytest.raises(TypeError, match="float32, got float64"):
        predict(net(), images() / 256)


def test_count_errors():
    logits = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
    assert count_errors(logits, np.array([0, 1, 0, 2])) == 0
    assert count_errors(logits, np.array([1, 1, 1, 1])) == 3
    assert count_errors(logits[:0], np.zeros(0, int)) == 0


def wilson(errors, total, z):
    p = errors / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    return 100 * (centre - half), 100 * (centre + half)


@pytest.mark.parametrize(
    ("errors", "total"), [(87, 10_000), (1, 10), (5, 10), (99, 100), (0, 10), (10, 10), (0, 2000)]
)
@pytest.mark.parametrize(("confidence", "z"), [(0.95, 1.959963984540054), (0.99, 2.5758293035489)])
def test_interval_is_wilsons(errors, total, confidence, z):
    found = error_interval(errors, total, confidence)
    np.testing.assert_allclose(found, wilson(errors, total, z), rtol=1e-9, atol=1e-9)
    low, high = found
    assert 0 <= low <= 100 * errors / total + 1e-9 and 100 * errors / total - 1e-9 <= high <= 100


def test_known_intervals():
    """Without errors the upper end is z^2 / (n + z^2)."""
    low, high = error_interval(0, 10)
    assert low == 0.0 and high == pytest.approx(27.7533, abs=1e-4)
    low, high = error_interval(10, 10)
    assert low == pytest.approx(72.2467, abs=1e-4) and high == 100.0


@pytest.mark.parametrize(("errors", "total"), [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts(errors, total):
    with pytest.raises(ValueError):
        error_interval(errors, total)


def test_no_images_give_no_logits():
    assert predict(net(), images(0)).shape == (0, 3)
