"""How the benchmark of the GPU calls and checks its contenders, on NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gpu_entries
import numpy as np
import pytest
from gpu_entries import Entry, check, measure
from gpu_timing import HostClock
from harness import WrongResultError


@pytest.fixture(autouse=True)
def arrays_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_entries, "poison", lambda array: array.fill(np.nan))
    monkeypatch.setattr(gpu_entries, "snapshot", np.copy)
    monkeypatch.setattr(gpu_entries, "view", lambda array: array)
    monkeypatch.setattr(gpu_entries, "same_bits", np.array_equal)
    monkeypatch.setattr("gpu_timing.host_seconds", lambda *_: 0.0)


def entry(write: Callable[[Any], object], **options: Any) -> Entry:
    """An entry whose call is to fill four numbers with 1."""
    y = np.ones(4)
    options = {"tolerance": 0.5, "moved": 32.0, **options}
    return Entry([lambda: write(y)], [y], lambda: float(np.abs(y - 1).max()), **options)


def test_the_error_is_returned() -> None:
    assert check("right", entry(lambda y: y.fill(1.25))) == 0.25


def test_what_is_not_written_is_wrong() -> None:
    with pytest.raises(WrongResultError, match="lazy: error nan"):
        check("lazy", entry(lambda y: y[:3].fill(1)))


def test_other_bits_the_second_time_are_wrong() -> None:
    numbers = iter([1.0, 1.25])
    with pytest.raises(WrongResultError, match="other bits"):
        check("fickle", entry(lambda y: y.fill(next(numbers)), repeatable=True))


def test_calls_take_turns() -> None:
    called: list[int] = []
    calls = [lambda: called.append(0), lambda: called.append(1)]
    contender = Entry(calls, [], lambda: 0.0, 0.0, moved=8.0).contender()
    for _ in range(3):
        contender.run()
    assert called == [0, 1, 0]


def test_a_wrong_peer_falls_out_and_we_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    right, wrong = entry(lambda y: y.fill(1)), entry(lambda y: y.fill(3))
    measured = measure({"peer": wrong, "ours": right, "copy": right}, "ours", 4, 1, HostClock())
    assert measured.contenders.keys() == {"ours", "copy"}
    assert measured.failures == {"peer": "WrongResultError: peer: error 2, tolerated 0.5"}
    assert "not measured: peer" in capsys.readouterr().out
    assert measured.best(["peer", "copy"]) == "copy" and measured.best(["peer"]) is None
    assert measured.speedups(["peer", "copy"], "ours").keys() == {"copy"}
    assert math.isfinite(measured.timings.median("ours"))
    with pytest.raises(WrongResultError, match="ours"):
        measure({"ours": wrong}, "ours", 4, 1, HostClock())
