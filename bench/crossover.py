"""From which d on Fastfood is not slower than a dense product: a part of `bench_fastfood`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dense_work import NUMPY, DenseWork
from fastfood_work import Work, check_all
from harness import SHORTEST_TURN, Timings, in_threads, take_turns, threads
from report import Table, verdict

LENGTHS = (8, 16, 32, 64, 128)
BATCHES = (64, 1024)
TARGET = 32


def crossover(speedups: Mapping[int, float]) -> int | None:
    """Return the smallest d that is, with all larger ones, not slower; None if there is none."""
    smallest = None
    for d in sorted(speedups, reverse=True):
        if speedups[d] < 1:
            break
        smallest = d
    return smallest


def crossover_rows(turns: int, blas: str, smoke: bool = False) -> list[dict[str, Any]]:
    """Measure and print a row for each batch size and number of threads."""
    columns = [(f"d = {d}", ".2f") for d in LENGTHS]
    table = Table(
        f"crossover: time of NumPy's dense product over a Fastfood forward; BLAS: {blas}",
        [("m", "d"), ("threads", "d"), *columns, ("crossover", "d"), ("target", "d")],
    )
    rows = []
    for m in BATCHES:
        for count in (1, 2):
            with threads(count):
                timings = {d: _timings(d, m, turns, smoke) for d in LENGTHS}
            speedups = {d: each.ratio("dense", "fastfood") for d, each in timings.items()}
            smallest = crossover(speedups)
            title = f"crossover, m = {m}, {in_threads(count)}, {blas}"
            row = {
                "what": "crossover",
                "dtype": "float32",
                "m": m,
                "threads": count,
                "blas": blas,
                "turns": turns,
                "cpus_of_others": max(each.others or 0 for each in timings.values()),
                "speedups": {str(d): ratio for d, ratio in speedups.items()},
                **verdict(title, smallest, TARGET, at_most=True),
            }
            if smallest is None:
                row["met"] = False
            table.row(m, count, *speedups.values(), smallest, TARGET)
            rows.append(row)
    return rows


def _timings(d: int, m: int, turns: int, smoke: bool) -> Timings:
    work = Work(d, m)
    entries = {"fastfood": work.forward(), "dense": DenseWork(work).forward(NUMPY)}
    check_all(entries, f"crossover, d = {d}, m = {m}")
    contenders = {name: entry.contender for name, entry in entries.items()}
    return take_turns(contenders, turns, shortest_turn=0.0 if smoke else SHORTEST_TURN)
