"""The loss: values, gradients, huge logits, shards."""

import math

import numpy as np
import oracles
import pytest

from fastfood_np.layers import SoftmaxCrossEntropy

CE = SoftmaxCrossEntropy()


def example(dtype=np.float64, m=9, classes=5, size=3.0):
    rng = np.random.default_rng(1)
    return (size * rng.standard_normal((m, classes))).astype(dtype), rng.integers(0, classes, m)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("divisor", [None, 1, 64])
@pytest.mark.parametrize("size", [0.0, 3.0, 100.0])
def test_against_the_oracle(size, divisor, dtype):
    logits, labels = example(dtype, size=size)
    kept = logits.copy()
    loss, cache = CE.forward(logits, labels, divisor)
    gradient = CE.backward(cache)
    assert isinstance(loss, float)
    eps = float(np.finfo(dtype).eps)
    wanted = oracles.softmax_cross_entropy(logits.astype(float), labels, divisor)
    assert loss == pytest.approx(wanted, rel=20 * eps)
    wanted = oracles.softmax_cross_entropy_gradient(logits.astype(float), labels, divisor)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, wanted, rtol=0, atol=20 * eps * np.abs(wanted).max())
    np.testing.assert_array_equal(logits, kept)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits(dtype):
    logits = np.array([[1e4, -1e4, 0.0], [1e4, 1e4, 0.0], [-1e4, -1e4, -1e4]], dtype)
    loss, cache = CE.forward(logits, np.array([1, 0, 2]), 1)
    assert loss == pytest.approx(2e4 + math.log(2) + math.log(3), rel=1e-6)
    wanted = [[1, -1, 0], [-0.5, 0.5, 0], [1 / 3, 1 / 3, -2 / 3]]
    np.testing.assert_allclose(CE.backward(cache), wanted, rtol=0, atol=1e-7)


def test_adding_a_constant_to_a_row_changes_nothing():
    logits, labels = example()
    shift = np.array([1e3, -1e3, 0, 1, 2, 3, 4, 5, 1e5])[:, None]
    ours, theirs = CE.forward(logits + shift, labels), CE.forward(logits, labels)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-10)
    np.testing.assert_allclose(CE.backward(ours[1]), CE.backward(theirs[1]), rtol=0, atol=1e-10)


def test_gradients_of_a_row_add_up_to_zero():
    logits, labels = example()
    _, cache = CE.forward(logits, labels)
    np.testing.assert_allclose(CE.backward(cache).sum(axis=1), 0, rtol=0, atol=1e-16)


def test_uniform_logits():
    loss, _ = CE.forward(np.zeros((4, 10)), np.array([0, 3, 9, 1]))
    assert loss == pytest.approx(math.log(10), rel=1e-15)


def test_shards_add_up():
    logits, labels = example(m=10)
    loss, cache = CE.forward(logits, labels)
    parts = [CE.forward(logits[a:b], labels[a:b], 10) for a, b in ((0, 3), (3, 4), (4, 4), (4, 10))]
    assert sum(part for part, _ in parts) == pytest.approx(loss, rel=1e-14)
    gradients = np.concatenate([CE.backward(cache) for _, cache in parts])
    np.testing.assert_allclose(gradients, CE.backward(cache), rtol=1e-14, atol=0)


def test_no_rows():
    loss, cache = CE.forward(np.zeros((0, 3)), np.zeros(0, int))
    assert loss == 0.0
    assert CE.backward(cache).shape == (0, 3)


def test_a_cache_changes_no_bit_and_is_reused():
    cache, places = {}, []
    for m in (6, 4, 6):
        logits, labels = example(m=m)
        loss, _ = CE.forward(logits, labels, cache=cache)
        wanted, other = CE.forward(logits, labels)
        assert loss == wanted
        np.testing.assert_array_equal(CE.backward(cache), CE.backward(other))
        assert not np.shares_memory(CE.backward(cache), CE.backward(other))
        places.append(CE.backward(cache).__array_interface__["data"][0])
    assert len(set(places)) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_reach_the_loss(value):
    logits, labels = example()
    logits[2, 1] = value
    with np.errstate(invalid="ignore"):
        loss, _ = CE.forward(logits, labels)
    assert math.isnan(loss)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64, np.int64])
def test_any_integer_labels(kind):
    logits, labels = example()
    assert CE.forward(logits, labels.astype(kind))[0] == CE.forward(logits, labels)[0]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 1], TypeError, "labels must be an integer array, got list"),
        (np.array([0.0, 1.0]), TypeError, "labels must be an integer array, got float64"),
        (np.array([True, False]), TypeError, "labels must be an integer array, got bool"),
        (np.array([0]), ValueError, r"labels must have shape \(2,\), got \(1,\)"),
        (np.array([[0], [1]]), ValueError, r"labels must have shape \(2,\), got \(2, 1\)"),
        (np.array([0, 3]), ValueError, "labels must lie in 0..2, got 0 to 3"),
        (np.array([-1, 2]), ValueError, "labels must lie in 0..2, got -1 to 2"),
    ],
)
def test_wrong_labels(labels, error, message):
    with pytest.raises(error, match=message):
        CE.forward(np.zeros((2, 3)), labels)


@pytest.mark.parametrize(
    ("logits", "error", "message"),
    [
        (np.zeros((2, 3), int), TypeError, "float32 or float64"),
        ([[0.0, 1.0]], TypeError, "logits must be a NumPy array, got list"),
        (np.zeros(3), ValueError, r"logits must have shape \(m, any\), got \(3,\)"),
        (np.zeros((2, 3, 1)), ValueError, r"logits must have shape \(m, any\)"),
    ],
)
def test_wrong_logits(logits, error, message):
    with pytest.raises(error, match=message):
        CE.forward(logits, np.array([0, 1]))


def test_wrong_divisor_and_cache():
    with pytest.raises(ValueError, match="divisor must be at least 1, got 0"):
        CE.forward(np.zeros((1, 2)), np.array([0]), 0)
    with pytest.raises(TypeError, match="divisor must be an integer"):
        CE.forward(np.zeros((1, 2)), np.array([0]), 2.0)
    with pytest.raises(ValueError, match="cache must come from a forward pass"):
        CE.backward({})
