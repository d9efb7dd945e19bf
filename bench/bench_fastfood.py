"""The fused Fastfood layer (float32, d = n) against the dense product of the same shapes.

    python bench/bench_fastfood.py [--smoke] [--turns N] [--json FILE] [--coretype NAME]

All results are checked against float64 before they are timed. "x floor" is our time over that of a
streaming pass over the same bytes; the other ratios are the dense product's time over ours: dense
is NumPy with its BLAS, torch is PyTorch. Targets are meant against the AVX-512 kernel of OpenBLAS;
where the processor has AVX-512 and NumPy's BLAS picked another kernel, all is done again in a child
process with OPENBLAS_CORETYPE=SkylakeX, and ratios are taken within each process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coretype import add_coretype, coretype_of_child, is_child, rows_with_coretype
from crossover import FASTFOOD, crossover_rows
from dense_work import DenseWork, Library, libraries
from fastfood_work import Entry, Work
from forward_memory import measured_in_child
from harness import SHORTEST_TURN, in_threads, option_parser, threads
from layer_rows import Run, measure
from report import (
    OTHERS,
    Table,
    blas_kernel,
    print_machine,
    print_threads,
    print_verdict,
    save_report,
    verdict,
)

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
                row = measure(job.title, work, entries, count, run, job.targets.get(d))
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


def memory_rows(m: int, d: int) -> Iterator[dict[str, Any]]:
    """Yield what a forward takes beyond X and Y on one and two threads, measured in children."""
    print(f"\nmemory of a forward beyond X and Y, m = {m}, d = n = {d}")
    for count in (1, 2):
        used, limit = measured_in_child(m, d, count), (1 << 20) + count * 2 * 16 * d * 4
        if isinstance(used, str):
            print(f"  {in_threads(count)}: not measured ({used})")
            continue
        print(f"  {in_threads(count)}: {used / 2**20:.2f} MiB (at most {limit / 2**20:.2f} MiB)")
        title = f"bytes of a forward beyond X and Y, {in_threads(count)}"
        row = {"what": "memory", "dtype": "float32", "m": m, "d": d, "threads": count}
        yield row | verdict(title, used, limit, at_most=True)


def main() -> int:
    """Check, time, print."""
    parser = option_parser(__doc__ or "")
    add_coretype(parser)
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
    rows += crossover_rows(FASTFOOD, run.turns, run.blas, options.smoke)
    if not is_child():  # the child's would be the same
        rows += memory_rows(MEMORY_ROWS // (8 if options.smoke else 1), MEMORY_LENGTH)
    print_verdict(rows)
    coretype = coretype_of_child(options.coretype, run.blas)
    if coretype is not None:
        rows += rows_with_coretype(__file__, coretype, options.turns, options.smoke)
    save_report(options.json, "fastfood", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
