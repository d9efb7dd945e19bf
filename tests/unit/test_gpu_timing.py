"""How the benchmark of the GPU times: what it queues in which order, and how often it repeats."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import gpu_timing
import pytest
from harness import Contender

COPY_SECONDS = 1e-3


class FakeGpu:
    """A GPU whose runs take as long as they say; it notes what is queued."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queued: list[str] = []

    def work(self, name: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.now += seconds
            self.queued.append(name)

        return run

    def event(self) -> Any:
        event = SimpleNamespace(time=math.nan, synchronize=lambda: None)

        def record() -> None:
            event.time = self.now
            self.queued.append("event")

        event.record = record
        return event

    def event_elapsed_time(self, start: Any, stop: Any) -> float:
        return float(1e3 * (stop.time - start.time))

    def synchronize(self) -> None:
        pass

    defer_cleanup = staticmethod(nullcontext)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    fake = FakeGpu()
    copied = SimpleNamespace(copy_to_device=lambda _: fake.work("copy", COPY_SECONDS)())
    monkeypatch.setattr(gpu_timing, "cuda", fake)
    monkeypatch.setattr(gpu_timing, "empty", lambda *_: copied)
    monkeypatch.setattr(gpu_timing, "SPIN_UP", 0.0)
    return fake


def test_the_gpu_is_busy_until_the_host_has_queued_a_turn(gpu: FakeGpu) -> None:
    clock = gpu_timing.EventClock()
    gpu.queued.clear()
    seconds = clock.seconds(gpu.work("run", 2e-3), 3, queued_in=10 * COPY_SECONDS)
    assert seconds == pytest.approx(2e-3)
    assert gpu.queued == ["copy"] * 16 + ["event", "run", "run", "run", "event"]


def test_contenders_take_turns_each_as_often_as_fills_one(gpu: FakeGpu) -> None:
    clock = gpu_timing.EventClock()
    short, long = gpu_timing.SHORTEST_TURN / 4, gpu_timing.LONGEST_ROW
    contenders = {
        "short": Contender(gpu.work("short", short)),
        "long": Contender(gpu.work("long", long)),
    }
    timings = gpu_timing.take_turns(contenders, 15, clock)
    assert timings.median("short") == pytest.approx(short)
    assert timings.median("long") == pytest.approx(long)
    assert timings.repetitions in (4, 5)
    assert len(timings.seconds["long"]) == gpu_timing.FEWEST_TURNS
    runs = [name for name in gpu.queued if name in contenders]
    turn = ["short"] * timings.repetitions + ["long"]
    assert runs[-2 * len(turn) :] == 2 * turn


def test_the_simulator_has_the_hosts_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_timing, "SIMULATED", True)
    clock = gpu_timing.clock()
    assert "host" in clock.name and clock.seconds(lambda: None, 10) < 1
