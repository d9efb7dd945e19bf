"""Time on the GPU: contenders take turns, as in `harness`, between two CUDA events.

The host may need longer to launch a small kernel than the GPU to run it. So before each turn the
GPU gets something to do, copies of other data, that lasts until the host has queued the whole
turn: what is measured is the GPU's time, without waiting for the host. The copies also empty the
caches. Contenders rotate through sets of buffers that no cache can hold (`gpu_arrays.sets_for`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gpu_arrays import empty
from gpu_device import SIMULATED, cuda
from harness import Contender, Timings

SHORTEST_TURN = 1e-3  # seconds on the GPU
MOST_REPETITIONS = 100  # launches that wait: the queue is finite
LONGEST_ROW = 2.0  # seconds for all turns of all contenders: slow ones get fewer turns
FEWEST_TURNS = 3
SPIN_UP = 0.05  # seconds until the clocks, low while kernels were compiled, are up again
HEAD_START_ELEMENTS = 1 << 27  # of float32: queuing a copy takes far less time than the copy


class Clock(Protocol):
    """Something that tells how long runs take."""

    name: str

    def spin_up(self) -> None:
        """Make the device ready to be timed."""

    def seconds(self, run: Callable[[], Any], times: int, queued_in: float = 0.0) -> float:
        """Return the seconds of one of so many runs, which the host queues in `queued_in`."""


class HostClock:
    """The host's clock, for the simulator, which has no other."""

    name = "the host's clock (the simulator has no events)"

    def spin_up(self) -> None:
        """Do nothing: there is nothing to wake."""

    def seconds(self, run: Callable[[], Any], times: int, queued_in: float = 0.0) -> float:
        """Return the seconds of one of so many runs."""
        started = time.perf_counter()
        for _ in range(times):
            run()
        return (time.perf_counter() - started) / times


class EventClock:
    """CUDA events on the default stream, which Numba, CuPy and PyTorch share."""

    name = "CUDA events on the default stream"

    def __init__(self) -> None:
        self._source, self._target = empty(HEAD_START_ELEMENTS), empty(HEAD_START_ELEMENTS)
        self._copy_seconds = math.inf
        self.spin_up()
        self._copy_seconds = self.seconds(self._copy, 20)

    def _copy(self) -> None:
        self._target.copy_to_device(self._source)

    def spin_up(self) -> None:
        """Copy for a while."""
        deadline = time.perf_counter() + SPIN_UP
        while time.perf_counter() < deadline:
            self._copy()
            cuda.synchronize()

    def seconds(self, run: Callable[[], Any], times: int, queued_in: float = 0.0) -> float:
        """Return the GPU's seconds of one of so many runs."""
        start, stop = cuda.event(), cuda.event()
        with cuda.defer_cleanup():  # giving memory back would wait for the GPU
            for _ in range(1 + math.ceil(1.5 * queued_in / self._copy_seconds)):
                self._copy()
            start.record()
            for _ in range(times):
                run()
            stop.record()
            stop.synchronize()
        return 1e-3 * cuda.event_elapsed_time(start, stop) / times


def clock() -> Clock:
    """Return the clock that there is."""
    return HostClock() if SIMULATED else EventClock()


def take_turns(contenders: Mapping[str, Contender], turns: int, clock: Clock) -> Timings:
    """Time the contenders, compiled and checked before, in rotation.

    Each is repeated as often as it needs to fill a turn: they may differ by a factor of hundreds.
    """
    clock.spin_up()
    repeated, queued_in, needed = {}, {}, 0.0
    for name, contender in contenders.items():
        single, queued = clock.seconds(contender.run, 1), host_seconds(contender.run, 1)
        if single < SHORTEST_TURN:  # too short for a first look to tell
            queued = host_seconds(contender.run, 3)
            single = clock.seconds(contender.run, 3, 3 * queued)
        times = min(MOST_REPETITIONS, math.ceil(SHORTEST_TURN / single))
        repeated[name], queued_in[name] = times, times * queued
        needed += times * max(single, 2.5 * queued)
    turns = max(min(turns, FEWEST_TURNS), min(turns, int(LONGEST_ROW / needed)))
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(turns):
        for name, contender in contenders.items():
            seconds[name].append(clock.seconds(contender.run, repeated[name], queued_in[name]))
    return Timings(seconds, max(repeated.values()))


def host_seconds(run: Callable[[], Any], times: int) -> float:
    """Return the host's seconds of a call that it does not wait for: what queuing it costs."""
    cuda.synchronize()
    started = time.perf_counter()
    for _ in range(times):
        run()
    seconds = time.perf_counter() - started
    cuda.synchronize()
    return seconds / times
