"""Layers timed side by side: who is timed, that all have turns, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from small_runs import BACKEND

from fastfood_np import backends
from fastfood_np.experiments import layer_times as module
from fastfood_np.experiments.layer_times import LENGTHS, layer_times, square_layers
from fastfood_np.layers import Dense, Layer
from fastfood_np.models import HEADS, structured_layer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "SHORTEST_TURN", 0.0)
    monkeypatch.setattr(module, "TURNS", 3)
    with backends.using(BACKEND):
        yield


def test_square_layers_are_of_every_kind() -> None:
    layers = square_layers(HEADS, (12, 16))
    assert list(layers) == [(kind, d) for kind in HEADS for d in (12, 16)]
    for (kind, d), (layer, d_in) in layers.items():
        assert isinstance(layer, Layer) and d_in == d, kind
        y = layer(np.zeros((2, d), np.float32))
        assert y.shape == (2, d) and y.dtype == np.float32


def test_kinds_are_those_of_the_heads() -> None:
    """The same classes and options as `structured_layer` makes."""
    for (kind, _), (layer, d) in square_layers(HEADS, (16,)).items():
        other = structured_layer(kind, d, 10, 6656, rng=0)
        sizes = {"d_in", "n_out", "rank", "n_hashed", "block_size"}
        assert type(other) is type(layer)
        assert {k: v for k, v in layer.config.items() if k not in sizes} == {
            k: v for k, v in other.config.items() if k not in sizes
        }


def test_sizes_of_the_layers_with_a_second_size() -> None:
    layers = {kind: layer for (kind, _), (layer, _) in square_layers(HEADS, (256,)).items()}
    assert layers["dense"].n_weights == 256**2
    assert layers["low-rank"].n_weights == 16 * 2 * 256
    assert layers["hashed"].n_weights == 256**2 // 16
    assert layers["block-circulant"].n_weights == 8 * 256
    assert layers["circulant"].n_weights == 256
    assert LENGTHS[0] == 128 and LENGTHS[-1] == 4096


def test_times() -> None:
    layers = square_layers(HEADS, (16,)) | {"another": (Dense(5, 3, rng=0), 5)}
    before = {name: value.copy() for name, value in layers["another"][0].params.items()}
    found = layer_times(layers, rows=4)
    assert found.keys() == layers.keys()
    for times in found.values():
        assert 0 < times.forward < 10 and 0 < times.training < 10
    for name, value in layers["another"][0].params.items():
        np.testing.assert_array_equal(value, before[name])


def test_nothing_to_time() -> None:
    assert layer_times({}) == {}


def test_turns_are_interleaved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call before the clock starts, one to estimate, then every one in every round."""
    monkeypatch.setattr(module, "TURNS", 2)
    called = []
    seconds = module._take_turns({name: lambda name=name: called.append(name) for name in "ab"})
    assert "".join(called) == "aabb" + "abab"
    assert seconds.keys() == {"a", "b"} and min(seconds.values()) > 0


def test_short_calls_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what comes back is the median of a call."""
    clock = [0.0]
    lasts = iter([9.0, 0.25, *[0.5] * 4, *[0.125] * 4, *[1.0] * 4])

    def call() -> None:
        clock[0] += next(lasts)

    monkeypatch.setattr(module, "SHORTEST_TURN", 1.0)
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    # The first call warms up; the second says that four make a turn.
    assert module._take_turns({"a": call}) == {"a": 0.5}
    assert list(lasts) == []
