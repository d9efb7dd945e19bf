"""A row of a benchmark of layers: one of ours against others that do the same work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dense_work import Library
from fastfood_work import Entry, Work, check_all
from floor import streaming_pass
from harness import in_threads, take_turns
from report import FLOOR, figures, natural_vectors, verdict


@dataclass(frozen=True)
class Run:
    """What holds for all rows of this process."""

    peers: Mapping[str, Library]
    turns: int
    shortest_turn: float
    rows: int
    blas: str


def measure(
    what: str,
    work: Work,
    entries: Mapping[str, Entry],
    count: int,
    run: Run,
    target: float | None,
) -> dict[str, Any]:
    """Check and time all contenders; the first is ours, the target is against "dense"."""
    title = f"{what}, d = {work.d}, {in_threads(count)}, {run.blas}"
    ours, *others = entries
    errors = check_all(entries, title)
    contenders = {name: entry.contender for name, entry in entries.items()}
    moved = int(contenders[ours].moved or 0)
    contenders[FLOOR] = streaming_pass(moved, work.x.dtype, count)
    timings = take_turns(contenders, run.turns, shortest_turn=run.shortest_turn)
    speedups = {name: timings.ratio(name, ours) for name in others}
    return {
        "what": what,
        "dtype": "float32",
        "m": work.m,
        "d": work.d,
        "threads": count,
        "vectors": natural_vectors(),
        "blas": run.blas,
        "turns": run.turns,
        "repetitions": timings.repetitions,
        "cpus_of_others": timings.others,
        "contenders": figures(contenders, timings, work.x.size, errors),
        "over_floor": timings.ratio(ours, FLOOR),
        "speedups": speedups,
        **verdict(title, speedups["dense"], target),
    }
