"""From which d on Fastfood is not slower than a dense product: a part of `bench_fastfood`.

Small sizes are a matter of microseconds, so there are two rows for each batch: the compiled kernel
alone, as NumPy calls its BLAS, and the layer's public call with its checks and its cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dense_work import NUMPY, DenseWork
from fastfood_work import Work, check_all
from harness import SHORTEST_TURN, Timings, in_threads, take_turns, threads
from report import Table, verdict

LENGTHS = (8, 16, 32, 64, 128)
BATCHES = (64, 1024)
TARGET = 32  # of the kernel
OURS = ("kernel", "layer")


def crossover(speedups: Mapping[int, float]) -> int | None:
    """Return the smallest d that is, with all larger ones, not slower; None if there is none."""
    smallest = None
    for d in sorted(speedups, reverse=True):
        if speedups[d] < 1:
            break
        smallest = d
    return smallest


def crossover_rows(turns: int, blas: str, smoke: bool = False) -> list[dict[str, Any]]:
    """Measure and print rows for each batch size and number of threads."""
    columns = [(f"d = {d}", ".2f") for d in LENGTHS]
    table = Table(
        f"crossover: time of NumPy's dense product over a Fastfood forward; BLAS: {blas}",
        [
            ("m", "d"),
            ("threads", "d"),
            ("Fastfood", "s"),
            *columns,
            ("crossover", "d"),
            ("target", "d"),
        ],
    )
    rows = []
    for m in BATCHES:
        for count in (1, 2):
            with threads(count):
                timings = {d: _timings(d, m, turns, smoke) for d in LENGTHS}
            for what in OURS:
                rows.append(_row(timings, m, count, what, turns, blas))
                speedups, smallest = rows[-1]["speedups"], rows[-1]["value"]
                target = rows[-1]["target"]
                table.row(m, count, what, *speedups.values(), smallest, target)
    return rows


def _row(
    timings: Mapping[int, Timings], m: int, count: int, what: str, turns: int, blas: str
) -> dict[str, Any]:
    speedups = {d: each.ratio("dense", what) for d, each in timings.items()}
    smallest = crossover(speedups)
    title = f"crossover of the {what}, m = {m}, {in_threads(count)}, {blas}"
    target = TARGET if what == "kernel" else None
    row = {
        "what": "crossover",
        "of": what,
        "dtype": "float32",
        "m": m,
        "threads": count,
        "blas": blas,
        "turns": turns,
        "cpus_of_others": max(each.others or 0 for each in timings.values()),
        "speedups": {str(d): ratio for d, ratio in speedups.items()},
        **verdict(title, smallest, target, at_most=True),
    }
    if target is not None and smallest is None:
        row["met"] = False
    return row


def _timings(d: int, m: int, turns: int, smoke: bool) -> Timings:
    work = Work(d, m)
    entries = {
        "kernel": work.kernel(),
        "layer": work.forward(),
        "dense": DenseWork(work).forward(NUMPY),
    }
    check_all(entries, f"crossover, d = {d}, m = {m}")
    contenders = {name: entry.contender for name, entry in entries.items()}
    return take_turns(contenders, turns, shortest_turn=0.0 if smoke else SHORTEST_TURN)
