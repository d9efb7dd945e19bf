"""Contenders on a GPU: how they are called, checked, and measured side by side."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpu_arrays import poison, same_bits, snapshot, view
from gpu_timing import Clock, take_turns
from harness import Contender, Timings, WrongResultError
from report import figures

TOLERANCES = {"float16": 1e-3, "float32": 3e-6, "float64": 1e-14}  # of ||wrong|| / ||true||


@dataclass(frozen=True)
class Entry:
    """One way of doing the work.

    Attributes
    ----------
    calls : one for each set of buffers
    outputs : the arrays that the first call writes
    error : returns the relative error of what these hold
    tolerance : how large it may be
    moved : bytes that a call must at least read and write
    flop : additions and multiplications of a call, None where they are not counted
    repeatable : whether a second call must give the same bits
    """

    calls: Sequence[Callable[[], Any]]
    outputs: Sequence[Any]
    error: Callable[[], float]
    tolerance: float
    moved: float
    flop: float | None = None
    repeatable: bool = False

    def contender(self) -> Contender:
        """Return what is timed: each run takes the next set of buffers."""
        turns = itertools.cycle(self.calls)
        return Contender(lambda: next(turns)(), flop=self.flop, moved=self.moved)


@dataclass
class Measured:
    """What came out: seconds, errors, and who fell out and why."""

    timings: Timings
    contenders: dict[str, dict[str, float]]
    errors: dict[str, float]
    failures: dict[str, str] = field(default_factory=dict)

    def entries_of_row(self) -> dict[str, Any]:
        """Return what a row of the report says of it."""
        row: dict[str, Any] = {
            "turns": len(next(iter(self.timings.seconds.values()))),
            "repetitions": self.timings.repetitions,
            "contenders": self.contenders,
        }
        return row | ({"failures": self.failures} if self.failures else {})

    def best(self, names: Sequence[str]) -> str | None:
        """Return the fastest of those that were measured."""
        there = [name for name in names if name in self.timings.seconds]
        return min(there, key=self.timings.median, default=None)

    def speedups(self, names: Sequence[str], ours: str) -> dict[str, float]:
        """Return how many times longer than ours those take that were measured."""
        there = [name for name in names if name in self.timings.seconds]
        return {name: self.timings.ratio(name, ours) for name in there}


def check(name: str, entry: Entry) -> float:
    """Return the error of a call into poisoned outputs; where asked, repeat it to the bit.

    Raises
    ------
    WrongResultError
        The error is larger than tolerated, or NaN, or a second call gives other bits.
    """
    _call_poisoned(entry)
    error = entry.error()
    if not error <= entry.tolerance:  # NaN is wrong too
        raise WrongResultError(f"{name}: error {error:.2g}, tolerated {entry.tolerance:.2g}")
    if entry.repeatable:
        first = [snapshot(array) for array in entry.outputs]
        _call_poisoned(entry)
        for before, array in zip(first, entry.outputs, strict=True):
            if not same_bits(before, view(array)):
                raise WrongResultError(f"{name}: a second call gives other bits")
    return error


def _call_poisoned(entry: Entry) -> None:
    for array in entry.outputs:
        poison(array)
    entry.calls[0]()


def measure(
    entries: Mapping[str, Entry], ours: str, elements: int, turns: int, clock: Clock
) -> Measured:
    """Check all entries, then time those that are right; `elements` as in `report.figures`.

    A peer that fails falls out; if `ours` fails, so does all of it.
    """
    errors, failures = {}, {}
    for name, entry in sorted(entries.items(), key=lambda item: item[0] != ours):
        try:
            errors[name] = check(name, entry)
        except Exception as error:
            if name == ours:
                raise
            failures[name] = f"{type(error).__name__}: {error}"
    contenders = {name: entries[name].contender() for name in entries if name in errors}
    timings = take_turns(contenders, turns, clock)
    measured = figures(contenders, timings, elements, errors)
    for name, why in failures.items():
        print(f"  not measured: {name}: {why}", flush=True)
    return Measured(timings, measured, errors, failures)
