"""How coarsely parameters may be rounded: sensitivities by definition, and what they scale."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from small_runs import BACKEND

from fastfood_np import backends
from fastfood_np.compact_files import encode_model
from fastfood_np.experiments.step_sizes import PROBE, sensitivities, uniform_quantizers
from fastfood_np.layers import Dense, Fastfood, Flatten, QuantizedDense, ReLU, Sequential
from fastfood_np.validation import Array


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with backends.using(BACKEND):
        yield


def pixels(rows: int = 700) -> Array:
    """More rows than `predict` takes at a time."""
    return np.random.default_rng(3).integers(0, 256, (rows, 1, 4, 4), dtype=np.uint8)


def two_layers(dtype: str = "float64") -> Sequential:
    """x -> ip1 -> ReLU -> ip2, all biases different from 0."""
    rng = np.random.default_rng(0)
    net = Sequential(
        [
            ("flatten", Flatten()),
            ("ip1", Dense(16, 12, rng=rng, dtype=dtype)),
            ("relu", ReLU()),
            ("ip2", Dense(12, 5, rng=rng, dtype=dtype)),
        ]
    )
    for name in net.biases:
        net.params[name][...] = rng.normal(size=net.params[name].shape)
    return net


def bits(net: Sequential) -> dict[str, bytes]:
    return {name: w.tobytes() for name, w in net.params.items()}


def outputs(params: dict[str, Array], x: Array) -> Array:
    """What `two_layers` computes, written out."""
    h = x @ params["ip1.W"].T + params["ip1.b"]
    return np.where(h > 0, h, 0.0) @ params["ip2.W"].T + params["ip2.b"]


# ---------------------------------------------------------------------------------- sensitivities


def test_definition() -> None:
    """Each param alone, rounded to multiples of half its deviation: 12 error / (n step^2)."""
    net, images = two_layers(), pixels()
    x = images.reshape(len(images), -1) / 256
    params = {name: w.copy() for name, w in net.params.items()}
    expected = {}
    for name, w in params.items():
        step = 0.5 * w.std()
        rounded = outputs(params | {name: np.round(w / step) * step}, x)
        error = ((rounded - outputs(params, x)) ** 2).mean()
        expected[name] = 12 * error / (w.size * step**2)
    assert PROBE == 0.5
    found = sensitivities(net, images)
    assert list(found) == list(net.trainable)
    for name, h in expected.items():
        assert h > 0 and found[name] == pytest.approx(h, rel=1e-9)


def test_one_linear_layer() -> None:
    """y = W x + b: a bias that is d off costs d^2 / 12 / n; a weight E x^2 times as much."""
    net = Sequential([("flatten", Flatten()), ("ip", Dense(16, 400, rng=0, dtype="float64"))])
    net.params["ip.b"][...] = np.random.default_rng(1).normal(size=400)
    found = sensitivities(net, pixels())
    square = ((pixels() / 256) ** 2).mean()
    assert found["ip.b"] == pytest.approx(1 / 400, rel=0.15)
    assert found["ip.W"] == pytest.approx(square / 400, rel=0.15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_model_is_as_before(dtype: str) -> None:
    net = two_layers(dtype)
    before, arrays = bits(net), dict(net.params)
    sensitivities(net, pixels(20))
    assert bits(net) == before
    assert all(net.params[name] is array for name, array in arrays.items())


def test_threads_change_no_bit() -> None:
    found = [sensitivities(two_layers("float32"), pixels(), threads) for threads in (1, 2, 4)]
    assert found[0] == found[1] == found[2]


def test_scaling() -> None:
    """Weights twice as large behind a ReLU, undone by the next layer, matter a quarter as much."""
    net, other = two_layers(), two_layers()
    for name in ("ip1.W", "ip1.b"):
        other.params[name][...] *= 2
    other.params["ip2.W"][...] /= 2
    one, two = (sensitivities(each, pixels()) for each in (net, other))
    assert two["ip1.W"] == pytest.approx(one["ip1.W"] / 4)
    assert two["ip1.b"] == pytest.approx(one["ip1.b"] / 4)
    assert two["ip2.W"] == pytest.approx(one["ip2.W"] * 4)
    assert two["ip2.b"] == pytest.approx(one["ip2.b"])


def test_outputs_in_other_units() -> None:
    """All h are in squares of the outputs' unit, so coarseness is in that unit."""
    net, other = two_layers(), two_layers()
    other.params["ip2.W"][...] *= 8
    other.params["ip2.b"][...] *= 8
    one, two = (sensitivities(each, pixels()) for each in (net, other))
    for name in ("ip1.W", "ip1.b"):
        assert two[name] == pytest.approx(64 * one[name])
    for name in ("ip2.W", "ip2.b"):
        assert two[name] == pytest.approx(one[name])


def test_what_has_no_deviation_is_not_measured() -> None:
    net = two_layers()
    net.params["ip1.b"][...] = 0.25
    net.params["ip2.b"][...] = 0
    found = sensitivities(net, pixels(20))
    assert found["ip1.b"] == found["ip2.b"] == 0 and found["ip1.W"] > 0


def test_what_the_outputs_do_not_depend_on() -> None:
    """A layer whose outputs the ReLU cuts off."""
    net = two_layers()
    net.params["ip1.b"][...] = -100
    found = sensitivities(net, pixels(20))
    assert found["ip1.W"] == found["ip2.W"] == 0 and found["ip2.b"] > 0


def test_trained_params_alone() -> None:
    fixed = Fastfood(16, 32, adaptive=False, rng=0)
    net = Sequential([("flatten", Flatten()), ("fixed", fixed), ("ip", Dense(32, 3, rng=0))])
    net.params["ip.b"][...] = (1, 2, 3)
    assert list(sensitivities(net, pixels(9))) == ["ip.W", "ip.b"]
    assert list(uniform_quantizers(net, sensitivities(net, pixels(9)), 1.0)) == ["ip.W", "ip.b"]


def test_codebooks() -> None:
    layer = QuantizedDense(16, 9, n_subspaces=4, n_centroids=4, rng=0, dtype="float64")
    layer.params["b"][...] = np.arange(9)
    net = Sequential([("flatten", Flatten()), ("ip", layer)])
    x, books = pixels().reshape(-1, 16) / 256, layer.params["codebooks"].copy()
    exact, step = x @ layer.matrix().T, 0.5 * books.std()
    layer.params["codebooks"][...] = np.round(books / step) * step
    error = ((x @ layer.matrix().T - exact) ** 2).mean()
    layer.params["codebooks"][...] = books
    found = sensitivities(net, pixels())["ip.codebooks"]
    assert found == pytest.approx(12 * error / (books.size * step**2))


# ------------------------------------------------------------------------------------ quantisers


def step_of(w: Array, h: float, coarseness: float) -> float:
    net = Sequential([("ip", Dense(1, w.size, bias=False, dtype=w.dtype))])
    net.params["ip.W"][...] = w[:, np.newaxis]
    return float(uniform_quantizers(net, {"ip.W": h}, coarseness)["ip.W"].scale)


def test_steps() -> None:
    """coarseness / sqrt(h): all params then add the same error a weight, times their h."""
    w = np.random.default_rng(0).normal(size=1000)
    for coarseness in (0.2, 0.5, 2.0):
        for h in (0.25, 1.0, 16.0):
            assert step_of(w, h, coarseness) == pytest.approx(coarseness / h**0.5)
    assert step_of(w, 1.0, 1e-6) == pytest.approx(np.ptp(w) / 250)  # no finer


def test_the_error_is_as_foreseen() -> None:
    """Rounding a param alone adds h n d^2 / 12 to the outputs' squared error: coarseness^2 n/12."""
    net = Sequential([("flatten", Flatten()), ("ip", Dense(16, 400, rng=0, dtype="float64"))])
    net.params["ip.b"][...] = np.random.default_rng(1).normal(size=400)
    found, x = sensitivities(net, pixels()), pixels().reshape(-1, 16) / 256
    for name, quantizer in uniform_quantizers(net, found, 0.003).items():
        w = net.params[name]
        off = quantizer.decode(quantizer.encode(w), w.dtype) - w
        error = ((x @ off.T) ** 2).mean() if w.ndim == 2 else (off**2).mean()
        assert error == pytest.approx(0.003**2 * w.size / 12, rel=0.2), name


AWKWARD = {
    "normal": np.random.default_rng(0).normal(size=500),
    "uniform": np.random.default_rng(1).uniform(-1, 1, 500),
    "positive": np.random.default_rng(2).uniform(0, 1e-3, 500),
    "skewed": np.random.default_rng(3).lognormal(0, 3, 500),
    "far from 0": 100 + np.random.default_rng(4).normal(size=500) / 100,
    "one outlier": np.r_[np.random.default_rng(5).normal(size=499), 1e4],
    "negative": -np.random.default_rng(6).exponential(size=500),
    "two values": np.random.default_rng(7).choice([-3.0, 3.0], 500),
    "one number": np.array([0.3]),
    "all the same": np.full(7, -1.7),
    "all 0": np.zeros(7),
    "tiny": np.random.default_rng(8).normal(size=500) * 1e-30,
    "huge": np.random.default_rng(9).normal(size=500) * 1e30,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("h", [1.0, 1e-6, 1e-200, 1e6])
@pytest.mark.parametrize("weights", AWKWARD)
def test_nothing_is_cut_off(weights: str, h: float, dtype: str) -> None:
    """Every weight's level is half a step from it at most, whatever the coarseness."""
    w = AWKWARD[weights].astype(dtype)
    net = Sequential([("ip", Dense(1, w.size, bias=False, dtype=dtype))])
    net.params["ip.W"][...] = w[:, np.newaxis]
    for coarseness in (1e-4, 1e-2, 1.0, 10.0):
        (quantizer,) = uniform_quantizers(net, {"ip.W": h}, coarseness).values()
        decoded = quantizer.decode(quantizer.encode(w), np.float64)
        assert np.isfinite(decoded).all() and quantizer.multiples.size <= 256
        assert np.abs(decoded - w).max() <= 0.51 * np.float64(quantizer.scale)


@pytest.mark.parametrize("weights", AWKWARD)
def test_what_does_not_matter_takes_little(weights: str) -> None:
    w = AWKWARD[weights].astype(np.float32)
    net = Sequential([("ip", Dense(1, w.size, bias=False))])
    net.params["ip.W"][...] = w[:, np.newaxis]
    (quantizer,) = uniform_quantizers(net, {"ip.W": 0.0}, 1.0).values()
    assert quantizer.multiples.size <= 3
    if np.ptp(w) == 0:  # nothing was measured of it
        np.testing.assert_array_equal(quantizer.decode(quantizer.encode(w), np.float32), w)


def test_coarser_is_smaller_on_the_whole() -> None:
    net = two_layers("float32")
    found = sensitivities(net, pixels())
    sizes, errors = [], []
    for coarseness in np.geomspace(1e-4, 10, 30):
        quantizers = uniform_quantizers(net, found, coarseness)
        sizes.append(len(encode_model(net, quantizers)[0]))
        rounded = {
            name: quantizer.decode(quantizer.encode(net.params[name]), np.float64)
            for name, quantizer in quantizers.items()
        }
        x = pixels().reshape(-1, 16) / 256
        errors.append(((outputs(rounded, x) - outputs(net.params, x)) ** 2).mean())
    assert sizes == sorted(sizes, reverse=True) or np.diff(sizes).max() < 0.03 * sizes[0]
    assert sizes[0] > 1.5 * sizes[-1]
    assert errors[0] < 1e-3 < errors[-1] and np.corrcoef(sizes, errors)[0, 1] < -0.5


def test_shared_out_by_curvature_is_better_than_one_step_for_all() -> None:
    """At the same size, the outputs are nearer to the exact ones."""
    net, images = two_layers("float32"), pixels()
    net.params["ip1.W"][...] *= 10
    net.params["ip1.b"][...] *= 10
    net.params["ip2.W"][...] /= 10
    x, found = images.reshape(-1, 16) / 256, sensitivities(net, images)

    def measured(h: dict[str, float], coarseness: float) -> tuple[int, float]:
        quantizers = uniform_quantizers(net, h, coarseness)
        rounded = {
            name: quantizer.decode(quantizer.encode(net.params[name]), np.float64)
            for name, quantizer in quantizers.items()
        }
        error = ((outputs(rounded, x) - outputs(net.params, x)) ** 2).mean()
        return len(encode_model(net, quantizers)[0]), float(error)

    ours = [measured(found, coarseness) for coarseness in np.geomspace(0.01, 1, 20)]
    alike = [measured(dict.fromkeys(found, 1.0), step) for step in np.geomspace(0.001, 3, 60)]
    compared = 0
    for size, error in ours:
        others = [theirs for other, theirs in alike if other <= size]
        if others:
            compared += 1
            assert error < min(others), size
    assert compared > 5
