"""The fused Fastfood layer (float32, d = n) against the dense product of the same shapes.

    python bench/bench_fastfood.py [--smoke] [--turns N] [--json FILE] [--coretype NAME]

All results are checked against float64 before they are timed. "x floor" is our time over that of a
streaming pass over the same bytes; the other ratios are the dense product's time over ours: dense
is NumPy with its BLAS, torch is PyTorch. Targets are meant against the AVX-512 kernel of OpenBLAS;
where the processor has AVX-512 and NumPy's BLAS picked another kernel, all is done again in a child
process with OPENBLAS_CORETYPE=SkylakeX, and ratios are taken within each process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossover import crossover_rows
from dense_work import DenseWork, Library, libraries
from fastfood_work import Entry, Work, check_all
from floor import streaming_pass
from harness import SHORTEST_TURN, in_threads, option_parser, take_turns, threads
from report import (
    FLOOR,
    OTHERS,
    Table,
    blas_kernel,
    figures,
    natural_vectors,
    print_machine,
    print_threads,
    print_verdict,
    read_rows,
    save_report,
    verdict,
)

CORETYPE = "OPENBLAS_CORETYPE"
ROWS = 1024
MEMORY_ROWS, MEMORY_LENGTH = 16384, 4096


@dataclass(frozen=True)
class Job:
    """One of the things that are compared."""

    title: str
    ours: Callable[[Work], Entry]
    dense: Callable[[DenseWork, Library], Entry]
    lengths: tuple[int, ...]
    targets: Mapping[int, float]


JOBS = (
    Job(
        "forward",
        Work.forward,
        DenseWork.forward,
        (64, 128, 256, 512, 1024, 2048, 4096, 8192),
        {256: 4.5, 512: 10, 1024: 18, 2048: 25, 4096: 46, 8192: 90},
    ),
    Job(
        "backward",
        Work.backward,
        DenseWork.backward,
        (128, 256, 512, 1024, 2048, 4096),
        {256: 5, 512: 10, 1024: 18, 2048: 27, 4096: 48},
    ),
    Job(
        "cos+sin",
        Work.cos_sin,
        DenseWork.cos_sin,
        (128, 256, 512, 1024, 2048, 4096),
        {256: 3, 512: 7, 1024: 14, 2048: 19, 4096: 34},
    ),
)


@dataclass(frozen=True)
class Run:
    """What holds for all rows of this process."""

    peers: Mapping[str, Library]
    turns: int
    shortest_turn: float
    rows: int
    blas: str


def job_rows(job: Job, lengths: Sequence[int], run: Run) -> Iterator[dict[str, Any]]:
    """Yield a row for each length and number of threads, printing it."""
    ratios = [(f"{name}/ours", ".2f") for name in run.peers]
    table = Table(
        f"Fastfood {job.title}, float32, m = {run.rows}, d = n; BLAS: {run.blas}",
        [
            ("d", "d"),
            ("threads", "d"),
            ("ns/element", ".3f"),
            ("GB/s", ".1f"),
            ("x floor", ".2f"),
            ("dense GFLOP/s", ".1f"),
            *ratios,
            ("target (AVX-512 sgemm)", "g"),
            OTHERS,
        ],
    )
    for d in lengths:
        work = Work(d, run.rows)
        dense = DenseWork(work)
        entries = {"fastfood": job.ours(work)}
        entries |= {name: job.dense(dense, library) for name, library in run.peers.items()}
        for count in (1, 2):
            with threads(count):
                row = measure(job, work, entries, count, run)
            ours, product = row["contenders"]["fastfood"], row["contenders"]["dense"]
            table.row(
                d,
                count,
                ours["ns_per_element"],
                ours["gb_per_s"],
                row["over_floor"],
                product.get("gflop_per_s"),
                *row["speedups"].values(),
                row["target"],
                row["cpus_of_others"],
            )
            yield row


def measure(
    job: Job, work: Work, entries: Mapping[str, Entry], count: int, run: Run
) -> dict[str, Any]:
    """Check and time all contenders."""
    title = f"{job.title}, d = {work.d}, {in_threads(count)}, {run.blas}"
    errors = check_all(entries, title)
    contenders = {name: entry.contender for name, entry in entries.items()}
    moved = int(contenders["fastfood"].moved or 0)
    contenders[FLOOR] = streaming_pass(moved, work.x.dtype, count)
    timings = take_turns(contenders, run.turns, shortest_turn=run.shortest_turn)
    speedups = {name: timings.ratio(name, "fastfood") for name in run.peers}
    return {
        "what": job.title,
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
        "over_floor": timings.ratio("fastfood", FLOOR),
        "speedups": speedups,
        **verdict(title, speedups["dense"], job.targets.get(work.d)),
    }


def memory_rows(m: int, d: int) -> Iterator[dict[str, Any]]:
    """Yield what a forward takes beyond X and Y on one and two threads, measured in children."""
    print(f"\nmemory of a forward beyond X and Y, m = {m}, d = n = {d}")
    for count in (1, 2):
        script = Path(__file__).with_name("forward_memory.py")
        command = [sys.executable, str(script), str(m), str(d), str(count)]
        child = subprocess.run(command, capture_output=True, text=True)
        if child.returncode:
            print(f"  {in_threads(count)}: not measured ({child.stderr.strip()})")
            continue
        used, limit = int(child.stdout), (1 << 20) + count * 2 * 16 * d * 4
        print(f"  {in_threads(count)}: {used / 2**20:.2f} MiB (at most {limit / 2**20:.2f} MiB)")
        title = f"bytes of a forward beyond X and Y, {in_threads(count)}"
        row = {"what": "memory", "dtype": "float32", "m": m, "d": d, "threads": count}
        yield row | verdict(title, used, limit, at_most=True)


def rows_with_coretype(name: str, turns: int, smoke: bool) -> list[dict[str, Any]]:
    """Return the rows of a child process whose OpenBLAS computes as for another processor."""
    print(f"\nThe same with {CORETYPE}={name}, in a process of its own:\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "rows.json"
        command = [sys.executable, __file__, "--turns", str(turns), "--json", str(report)]
        command += ["--smoke"] * smoke
        subprocess.run(command, env=os.environ | {CORETYPE: name}, check=True)
        return read_rows(report)


def coretype_of_child(asked: str | None, blas: str) -> str | None:
    """Return as which processor OpenBLAS is to compute in a child process; None: no child."""
    if CORETYPE in os.environ or asked == "none":
        return None
    if asked is None and natural_vectors() == "avx512" and "SkylakeX" not in blas:
        return "SkylakeX"
    return asked


def main() -> int:
    """Check, time, print."""
    parser = option_parser(__doc__ or "")
    parser.add_argument(
        "--coretype",
        metavar="NAME",
        help=f"{CORETYPE} of the child process, which then runs on every processor; none: no child",
    )
    options = parser.parse_args()
    print_machine()
    if options.smoke:
        run = Run(libraries(), 1, 0.0, 64, blas_kernel())
    else:
        run = Run(libraries(), options.turns, SHORTEST_TURN, ROWS, blas_kernel())
    for count in (1, 2):
        with threads(count):
            print_threads()
    rows: list[dict[str, Any]] = []
    for job in JOBS:
        rows += job_rows(job, (64, 256) if options.smoke else job.lengths, run)
    rows += crossover_rows(run.turns, run.blas, options.smoke)
    if CORETYPE not in os.environ:  # the child's would be the same
        rows += memory_rows(MEMORY_ROWS // (8 if options.smoke else 1), MEMORY_LENGTH)
    print_verdict(rows)
    coretype = coretype_of_child(options.coretype, run.blas)
    if coretype is not None:
        rows += rows_with_coretype(coretype, options.turns, options.smoke)
    save_report(options.json, "fastfood", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
