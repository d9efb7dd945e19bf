"""How every benchmark measures: contenders, checked first, take turns in one process.

A contender is checked against a float64 truth (`check`) before it is timed. `take_turns` warms all
of them up, then times them in rotation; right before its turn a contender touches or refills its
own data, so that they are as warm as everybody else's. Figures are medians; ratios are medians over
turns of the quotient within a turn, because neighbours in time share the machine's noise.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import scipy.linalg.blas  # noqa: F401  (loads its BLAS, so that `threads` finds it)
from others import Others
from threadpoolctl import threadpool_limits

from fastfood_np.backends import cpu

SHORTEST_TURN = 1e-3  # seconds: shorter runs are repeated within a turn
LONGEST_WARM_UP = 0.05  # seconds: shorter runs are run, untimed, right before each turn
SPREADING = 0.02  # seconds until the system has moved woken threads to CPUs of their own
LONGEST_SPIN = 0.5  # seconds
MOST_REPETITIONS = 10_000
TOLERANCES = {"float32": 1e-5, "float64": 1e-13}  # relative to the largest true entry


def option_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that every benchmark takes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="tiny and quick: does it still run?")
    parser.add_argument(
        "--turns", type=_at_least_1, default=15, metavar="N", help="turns of each contender (15)"
    )
    parser.add_argument("--json", type=_new_file, metavar="FILE", help="write the figures there")
    return parser


def _at_least_1(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, got {text!r}")
    return int(text)


def _new_file(text: str) -> Path:
    if not Path(text).parent.is_dir():
        raise argparse.ArgumentTypeError(f"no such folder: {Path(text).parent}")
    return Path(text)


class WrongResultError(Exception):
    """A contender does not compute what it should: its time means nothing."""


def check(name: str, result: Any, truth: Any) -> float:
    """Return the largest error of `result`, relative to the largest entry of the float64 truth.

    Raises
    ------
    WrongResultError
        It exceeds what rounding in the result's dtype explains.
    """
    result, truth = np.asarray(result), np.asarray(truth)
    if result.shape != truth.shape:
        raise WrongResultError(f"{name}: shape {result.shape} where {truth.shape} is right")
    error = float(np.abs(result - truth).max() / np.abs(truth).max())
    if not error <= TOLERANCES[result.dtype.name]:  # NaN is wrong too
        raise WrongResultError(f"{name}: off by {error:.2g} of the largest true {result.dtype}")
    return error


@dataclass(frozen=True)
class Contender:
    """One way of doing the work.

    Attributes
    ----------
    run : what is timed
    prepare : touches or refills its own data before each turn; not timed
    within : opens a context that both happen in, such as a forced vector width; not timed
    flop : additions and multiplications of one run, None where they are not counted
    moved : bytes that one run must at least read and write
    """

    run: Callable[[], Any]
    prepare: Callable[[], Any] = lambda: None
    within: Callable[[], AbstractContextManager[Any]] = nullcontext
    flop: float | None = None
    moved: float | None = None


@dataclass(frozen=True)
class Timings:
    """Seconds of one run of each contender, turn by turn.

    `others` is how many CPUs other processes kept busy meanwhile, None where that is not known.
    """

    seconds: Mapping[str, list[float]]
    repetitions: int
    others: float | None = None

    def median(self, name: str) -> float:
        """Return the median over turns."""
        return statistics.median(self.seconds[name])

    def ratio(self, slow: str, fast: str) -> float:
        """Return how many times longer `slow` takes than `fast`."""
        return paired_ratio(self.seconds[slow], self.seconds[fast])


def paired_ratio(slow: list[float], fast: list[float]) -> float:
    """Return the median over turns of slow / fast."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def repetitions(seconds: float, shortest_turn: float) -> int:
    """Return how often a run of `seconds` must be repeated to fill a turn."""
    return max(1, min(MOST_REPETITIONS, math.ceil(shortest_turn / seconds)))


def take_turns(
    contenders: Mapping[str, Contender],
    turns: int,
    *,
    shortest_turn: float = SHORTEST_TURN,
) -> Timings:
    """Time the contenders in rotation, after a warm-up of each.

    All are repeated equally often within a turn, as often as the fastest needs to fill one.
    """
    single: dict[str, float] = {}
    for name, contender in contenders.items():
        with contender.within():
            for _ in range(2):  # the first may compile
                contender.prepare()
                single[name] = _seconds(contender.run, 1)
    repeated = repetitions(min(single.values()), shortest_turn)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    others = Others()
    for _ in range(turns):
        for name, contender in contenders.items():
            wait_for_idle_threads()
            with contender.within():
                contender.prepare()
                if single[name] < LONGEST_WARM_UP:
                    _warm_up(contender)
                    contender.prepare()
                seconds[name].append(_seconds(contender.run, repeated))
    return Timings(seconds, repeated, others.cpus())


def _warm_up(contender: Contender) -> None:
    """Run once; with several threads, until each has found a CPU of its own."""
    deadline = time.perf_counter() + (SPREADING if numba.get_num_threads() > 1 else 0.0)
    contender.run()
    while time.perf_counter() < deadline:
        contender.run()


def _seconds(run: Callable[[], Any], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - started) / times


def wait_for_idle_threads() -> None:
    """Wait until the threads of the contender before sleep.

    Idle workers of OpenMP spin for 10 ms and those of OpenBLAS for 100 ms, on the CPU that the next
    contender needs.
    """
    deadline = time.perf_counter() + LONGEST_SPIN
    while time.perf_counter() < deadline:
        before = time.process_time()
        time.sleep(0.012)  # of threads that run, Linux counts the time once in up to 10 ms
        if time.process_time() - before < 0.002:
            return


def touch(*arrays: Any) -> None:
    """Read the arrays, the last one last: what fits into the caches is there then."""
    for array in arrays:
        np.max(array)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let Numba, BLAS and every OpenMP runtime, torch's too, use `count` threads."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    with threadpool_limits(count), cpu.workers(count):
        if torch:
            torch.set_num_threads(count)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


def in_threads(count: int) -> str:
    """Return "1 thread", "2 threads"."""
    return f"{count} thread{'s' * (count != 1)}"
