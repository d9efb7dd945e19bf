"""From which d on a layer is not slower than a dense product: a part of other benchmarks.

Small sizes are a matter of microseconds. Of Fastfood there are two rows for each batch: the
compiled kernel alone, as NumPy calls its BLAS, and the layer's public call with its checks and its
cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dense_work import NUMPY, DenseWork
from fastfood_work import Entry, Work, check_all
from harness import SHORTEST_TURN, Timings, in_threads, take_turns, threads
from report import Table, verdict

BATCHES = (64, 1024)


@dataclass(frozen=True)
class Search:
    """Whose crossover is looked for, and among which lengths.

    Attributes
    ----------
    title : what is compared with the dense product
    entries : makes the contenders for d and m; "dense" is among them
    targets : of each of the other contenders, from which d on it should not be slower
    """

    title: str
    entries: Callable[[int, int], Mapping[str, Entry]]
    lengths: tuple[int, ...]
    targets: Mapping[str, int | None]


def _fastfood_entries(d: int, m: int) -> dict[str, Entry]:
    work = Work(d, m)
    dense = DenseWork(work).forward(NUMPY)
    return {"kernel": work.kernel(), "layer": work.forward(), "dense": dense}


FASTFOOD = Search(
    "a Fastfood forward", _fastfood_entries, (8, 16, 32, 64, 128), {"kernel": 32, "layer": None}
)


def crossover(speedups: Mapping[int, float]) -> int | None:
    """Return the smallest d that is, with all larger ones, not slower; None if there is none."""
    smallest = None
    for d in sorted(speedups, reverse=True):
        if speedups[d] < 1:
            break
        smallest = d
    return smallest


def crossover_rows(
    search: Search, turns: int, blas: str, smoke: bool = False
) -> list[dict[str, Any]]:
    """Measure and print rows for each batch size and number of threads."""
    columns = [(f"d = {d}", ".2f") for d in search.lengths]
    table = Table(
        f"crossover: time of NumPy's dense product over {search.title}; BLAS: {blas}",
        [
            ("m", "d"),
            ("threads", "d"),
            ("of", "s"),
            *columns,
            ("crossover", "d"),
            ("target", "d"),
        ],
    )
    rows = []
    for m in BATCHES:
        for count in (1, 2):
            with threads(count):
                timings = {d: _timings(search, d, m, turns, smoke) for d in search.lengths}
            for what, target in search.targets.items():
                rows.append(_row(timings, m, count, what, target, turns, blas))
                speedups, smallest = rows[-1]["speedups"], rows[-1]["value"]
                table.row(m, count, what, *speedups.values(), smallest, target)
    return rows


def _row(
    timings: Mapping[int, Timings],
    m: int,
    count: int,
    what: str,
    target: int | None,
    turns: int,
    blas: str,
) -> dict[str, Any]:
    speedups = {d: each.ratio("dense", what) for d, each in timings.items()}
    smallest = crossover(speedups)
    title = f"crossover of the {what}, m = {m}, {in_threads(count)}, {blas}"
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


def _timings(search: Search, d: int, m: int, turns: int, smoke: bool) -> Timings:
    entries = search.entries(d, m)
    check_all(entries, f"crossover, d = {d}, m = {m}")
    contenders = {name: entry.contender for name, entry in entries.items()}
    return take_turns(contenders, turns, shortest_turn=0.0 if smoke else SHORTEST_TURN)
