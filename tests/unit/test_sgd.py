"""Caffe's update: momentum, decay, clipping, multipliers."""

import math

import numpy as np
import pytest

from fastfood_np import backends
from fastfood_np.training.sgd import SGD, gradient_norm

DTYPES = (np.float32, np.float64)


def arrays(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(shape).astype(dtype)
        for name, shape in {"W": (3, 4), "b": (3,), "S": (2, 1, 2)}.items()
    }


def by_hand(w, v, g, rate, momentum, decay):
    v = momentum * v + rate * (g + decay * w)
    return w - v, v


def test_two_steps_in_numbers():
    w = np.array([1.0])
    sgd = SGD({"w": w}, ["w"], momentum=0.5, weight_decay=0.25)
    sgd.step({"w": np.array([2.0])}, 0.5)
    # v = 0.5 (2 + 0.25 * 1) = 1.125
    assert (w.item(), sgd.velocities["w"].item()) == (-0.125, 1.125)
    sgd.step({"w": np.array([4.0])}, 0.25)
    # v = 0.5 * 1.125 + 0.25 (4 - 0.25 * 0.125) = 1.5546875
    assert (w.item(), sgd.velocities["w"].item()) == (-1.6796875, 1.5546875)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", backends.NAMES)
def test_against_the_update_by_hand(backend, dtype):
    params = arrays(dtype)
    sgd = SGD(
        params,
        ["W", "b", "S"],
        momentum=0.9,
        weight_decay=5e-4,
        rate_multipliers={"b": 2.0, "S": 0.0},
        decay_multipliers={"W": 0.0, "b": 3.0},
    )
    w = {name: value.astype(float) for name, value in params.items()}
    v = {name: np.zeros_like(value) for name, value in w.items()}
    rates, decays = {"W": 1, "b": 2, "S": 0}, {"W": 0, "b": 3, "S": 1}
    with backends.using(backend):
        for step in range(5):
            grads = arrays(dtype, step + 1)
            sgd.step(grads, 0.01 * (step + 1))
            for name in params:
                w[name], v[name] = by_hand(
                    w[name],
                    v[name],
                    grads[name].astype(float),
                    0.01 * (step + 1) * rates[name],
                    0.9,
                    5e-4 * decays[name],
                )
    limit = 20 * float(np.finfo(dtype).eps)
    for name, value in params.items():
        assert value.dtype == sgd.velocities[name].dtype == dtype
        np.testing.assert_allclose(value, w[name], rtol=limit, atol=limit)
        np.testing.assert_allclose(sgd.velocities[name], v[name], rtol=limit, atol=limit)
    np.testing.assert_array_equal(params["S"], arrays(dtype)["S"])


def test_params_are_written_in_place_and_only_the_trainable():
    params = arrays()
    held = dict(params)
    sgd = SGD(params, ["W"])
    before = {name: value.copy() for name, value in params.items()}
    sgd.step(arrays(seed=1), 0.1)
    assert all(params[name] is held[name] for name in params)
    assert not np.array_equal(params["W"], before["W"])
    for name in ("b", "S"):
        np.testing.assert_array_equal(params[name], before[name])
    assert list(sgd.velocities) == ["W"]


def test_defaults_are_caffes():
    sgd = SGD(arrays(), ["W"])
    assert (sgd.momentum, sgd.weight_decay, sgd.clip_norm) == (0.9, 5e-4, None)
    assert not sgd.velocities["W"].any()


def test_gradient_norm():
    grads = {"a": np.array([[3.0, 0.0]]), "b": np.array([-4.0]), "c": np.zeros((2, 2))}
    assert gradient_norm(grads) == 5.0
    assert gradient_norm({}) == 0.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_clipping_scales_all_gradients_together(dtype):
    """The norm of (3, 4) is 5: clipped to 1 it is (0.6, 0.8)."""
    params = {"a": np.zeros(1, dtype), "b": np.zeros(1, dtype)}
    sgd = SGD(params, ["a", "b"], momentum=0.0, weight_decay=0.0, clip_norm=1.0)
    sgd.step({"a": np.full(1, 3, dtype), "b": np.full(1, 4, dtype)}, 1.0)
    np.testing.assert_allclose([params["a"][0], params["b"][0]], [-0.6, -0.8], rtol=1e-6)


def test_clipping_comes_before_decay():
    w = np.array([10.0])
    sgd = SGD({"w": w}, ["w"], momentum=0.0, weight_decay=0.5, clip_norm=2.0)
    sgd.step({"w": np.array([8.0])}, 0.1)
    # g is clipped to 2; then 0.1 (2 + 0.5 * 10) = 0.7. Clipping last would give 0.2.
    assert w.item() == pytest.approx(9.3, rel=1e-15)


@pytest.mark.parametrize("clip_norm", [None, 5.0, 6.0])
def test_a_norm_that_is_not_exceeded_changes_no_bit(clip_norm):
    w, g = np.array([1.0, 1.0]), np.array([3.0, 4.0])
    SGD({"w": w}, ["w"], momentum=0.0, weight_decay=0.0, clip_norm=clip_norm).step({"w": g}, 0.1)
    np.testing.assert_array_equal(w, [1.0 - 0.1 * 3.0, 1.0 - 0.1 * 4.0])
    np.testing.assert_array_equal(g, [3.0, 4.0])


def test_clipping_may_scale_the_gradients_given():
    g = np.array([3.0, 4.0])
    SGD({"w": np.zeros(2)}, ["w"], clip_norm=1.0).step({"w": g}, 0.1)
    assert math.hypot(*g) == pytest.approx(1.0, rel=1e-15)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"momentum": 1.0}, ValueError, "momentum must be less than 1.0, got 1.0"),
        ({"momentum": -0.1}, ValueError, "momentum must be at least 0.0"),
        ({"weight_decay": -1}, ValueError, "weight_decay must be at least 0.0, got -1"),
        ({"clip_norm": 0}, ValueError, "clip_norm must be greater than 0.0, got 0"),
        ({"clip_norm": math.nan}, ValueError, "clip_norm must be finite"),
        ({"rate_multipliers": {"V": 1.0}}, ValueError, r"trained params \(W, b\), got 'V'"),
        ({"decay_multipliers": {"S": 1.0}}, ValueError, "decay_multipliers must name trained"),
        (
            {"rate_multipliers": {"W": -1.0}},
            ValueError,
            r"rate_multipliers\['W'\] must be at least",
        ),
        ({"momentum": "0.9"}, TypeError, "momentum must be a real number"),
    ],
)
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message):
        SGD(arrays(), ["W", "b"], **options)


def test_params_that_cannot_be_written_in_place_are_refused():
    w = np.ones((2, 3)).T
    with pytest.raises(ValueError, match=r"params\['w'\] must be C-contiguous"):
        SGD({"w": w}, ["w"])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_gradients_that_are_not_finite_change_nothing(bad, clip_norm):
    params, grads = arrays(), arrays(seed=1)
    grads["b"][1] = bad
    sgd = SGD(params, list(params), clip_norm=clip_norm)
    with pytest.raises(FloatingPointError, match=f"the norm of the gradients is {bad}"):
        sgd.step(grads, 0.1)
    for name, untouched in arrays().items():
        np.testing.assert_array_equal(params[name], untouched)
        assert not sgd.velocities[name].any()


def test_the_norm_does_not_overflow_where_squares_do():
    huge = np.full(4, 1e20, np.float32)
    assert gradient_norm({"w": huge}) == pytest.approx(2e20, rel=1e-6)
