"""Fused Fastfood on the GPU against copies and dense products: a part of `bench_gpu`.

"x float32" and so on are the dense product's time over ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from crossover import crossover
from gpu_arrays import TORCH, free_memory
from gpu_copies import COPIES, copies_of
from gpu_dense import PRECISIONS
from gpu_device import SIMULATED, free_bytes
from gpu_entries import Entry
from gpu_fastfood_work import WHOLE_ROWS, GpuWork, check_whole_numbers
from gpu_run import Row, Run
from report import Table, verdict

LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
WIDE_LENGTHS = (64, 256, 1024, 4096, 8192)  # of n = 4 d
EPILOGUE_LENGTHS = (256, 1024, 4096)
EPILOGUES = ("none", "relu", "cos_sin")
SMOKE_LENGTHS = (16,)
ROWS, SMOKE_ROWS = 65536, 2
COPY_TARGET, LONGEST_NEAR_COPY = 0.8, 4096
CROSSOVERS = {"float32": 128, "tf32": 1024, "bf16": 2048}
JUDGED_LENGTH = 4096
SPEEDUPS = {"float32": 35.0, "tf32": 5.0, "bf16": 3.0}


@dataclass(frozen=True)
class Job:
    """One of the things that are measured."""

    what: str
    lengths: tuple[int, ...]
    entries: Callable[[GpuWork], dict[str, Entry]]
    blocks: int = 1
    share: float | None = None  # of the copy's speed that is aimed at, up to LONGEST_NEAR_COPY


def forward(work: GpuWork) -> dict[str, Entry]:
    """Enter the layer's forward and the dense ones."""
    ours, ys = work.forward()
    return {"fastfood": ours} | _dense(lambda name: work.dense(name).forward(work.xs, ys))


def backward(work: GpuWork) -> dict[str, Entry]:
    """Enter the layer's backward and the dense ones."""
    ours, dys, dxs = work.backward()
    return {"fastfood": ours} | _dense(lambda name: work.dense(name).backward(work.xs, dys, dxs))


def _dense(enter: Callable[[str], Entry]) -> dict[str, Entry]:
    return {} if TORCH is None else {name: enter(name) for name in PRECISIONS}


def epilogue(nonlinearity: str, work: GpuWork) -> dict[str, Entry]:
    """Enter the transform with a nonlinearity."""
    return {"fastfood": work.transform(nonlinearity)}


FORWARD = Job("forward", LENGTHS, forward, share=COPY_TARGET)
BACKWARD = Job("backward", LENGTHS, backward)
WIDE = Job("forward, n = 4 d", WIDE_LENGTHS, forward, blocks=4, share=COPY_TARGET)
EPILOGUE_JOBS = tuple(
    Job(f"transform, {name}", EPILOGUE_LENGTHS, partial(epilogue, name), share=COPY_TARGET)
    for name in EPILOGUES
)


def fastfood_rows(job: Job, run: Run) -> None:
    """Measure a job at all its lengths, and where it begins to beat dense products."""
    table = _table(f"Fastfood {job.what}, float32, m = {SMOKE_ROWS if run.smoke else ROWS}")
    for d in SMOKE_LENGTHS if run.smoke else job.lengths:
        title = f"{job.what}, d = {d}"
        _print(table, run.attempt(job.what, title, partial(_row, job, run, title, d)))
    if job in (FORWARD, BACKWARD):
        _judge_speedups(job, run)


def rows_that_fit(d: int, n: int) -> int:
    """Return how many rows are taken: fewer where memory is short.

    Beside x, dy, y and dx there are copies of half the length for bf16, snapshots, and what
    compares them.
    """
    free_memory()
    m = ROWS
    while 4 * m * (5 * d + 5 * n) + 24 * n * d + (1 << 30) > free_bytes() and m > 1024:
        m //= 2
    return m


def _row(job: Job, run: Run, title: str, d: int) -> Row:
    n = d * (min(job.blocks, 2) if run.smoke else job.blocks)
    rows = 2 if SIMULATED else WHOLE_ROWS
    check_whole_numbers(d, n, rows, backward=job.entries is backward)
    m = SMOKE_ROWS if run.smoke else rows_that_fit(d, n)
    work = GpuWork(m, d, n)
    entries = job.entries(work)
    moved = int(entries["fastfood"].moved)
    measured = run.measure(entries | copies_of(moved), "fastfood", m * n)
    copy = measured.best(COPIES)
    of_copy = measured.timings.ratio(copy, "fastfood") if copy else None
    share = job.share if 64 <= d <= LONGEST_NEAR_COPY else None
    return {
        "what": job.what,
        "dtype": "float32",
        "m": m,
        "d": d,
        "n": n,
        "sets": len(work.xs),
        **measured.entries_of_row(),
        "copy": copy,
        "of_copy": of_copy,
        "speedups": measured.speedups(list(PRECISIONS), "fastfood"),
        "dense_error": measured.errors.get("float32"),
        **verdict(f"{title}: of the copy's speed", of_copy, share),
    }


def _judge_speedups(job: Job, run: Run) -> None:
    """Keep and print what the job's rows say of each kind of dense product."""
    by_length = {row["d"]: row["speedups"] for row in run.named(job.what)}
    for name in PRECISIONS:
        speedups = {d: ratios[name] for d, ratios in by_length.items() if name in ratios}
        if speedups:
            run.keep(_crossover_row(job, name, speedups))
        if JUDGED_LENGTH in speedups:
            title = f"{job.what}, d = {JUDGED_LENGTH}: {name} product / ours"
            judged = verdict(title, speedups[JUDGED_LENGTH], SPEEDUPS[name])
            run.keep({"what": "speed-up", "of": job.what, "against": name, **judged})


def _crossover_row(job: Job, name: str, speedups: Mapping[int, float]) -> Row:
    smallest = crossover(speedups)
    title = f"{job.what}: not slower than the {name} product from d"
    row = verdict(title, smallest, CROSSOVERS[name], at_most=True)
    if smallest is None:
        row["met"] = False
    print(f"  {title} = {smallest or 'never'} on (target: {CROSSOVERS[name]})")
    return {"what": "crossover", "of": job.what, "against": name, **row}


def _table(title: str) -> Table:
    times = [("d", "d"), ("m", "d"), ("us", ".1f"), ("GB/s", ".0f"), ("copy GB/s", ".0f")]
    judged = [("of the copy", ".2f"), ("target", "g")]
    ratios = [(f"x {name}", ".2f") for name in PRECISIONS]
    errors = [("error", ".1e"), ("dense error", ".1e"), ("took s", ".1f")]
    return Table(title, [*times, *judged, *ratios, *errors])


def _print(table: Table, row: Row | None) -> None:
    if row is None:
        return
    mine: dict[str, Any] = row["contenders"]["fastfood"]
    table.row(
        row["d"],
        row["m"],
        1e6 * mine["seconds"],
        mine["gb_per_s"],
        row["contenders"].get(row["copy"], {}).get("gb_per_s"),
        row["of_copy"],
        row["target"],
        *(row["speedups"].get(name) for name in PRECISIONS),
        mine["error"],
        row["dense_error"],
        row["took_seconds"],
    )
