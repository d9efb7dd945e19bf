"""The circulant layer (float32, d = n) against the dense product and against fused Fastfood.

    python bench/bench_circulant.py [--smoke] [--turns N] [--json FILE] [--coretype NAME]

All results are checked against float64 before they are timed. Backward is a training step's: the
gradients of X and of the layer's parameters. Beside powers of two there are other lengths, 1009 a
prime number; Fastfood pads them. "x floor" is our time over that of a streaming pass over the same
bytes; the other ratios are their time over ours: dense is NumPy with its BLAS.

Targets are meant on one thread against the AVX-512 kernel of OpenBLAS. Where the processor has
AVX-512 and NumPy's BLAS picked another kernel, all is done again in a child process with
OPENBLAS_CORETYPE=SkylakeX; where it has none, dense is a slower product than the targets' was, and
this is said.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numba
from circulant_work import CirculantWork, backward_entries, forward_entries
from coretype import add_coretype, coretype_of_child, is_child, rows_with_coretype
from crossover import Search, crossover_rows
from dense_work import NUMPY, DenseWork, Library
from fastfood_work import Entry, Work
from forward_memory import LAYERS, measured_in_child
from harness import SHORTEST_TURN, in_threads, option_parser, threads
from layer_rows import Run, measure
from report import (
    OTHERS,
    Table,
    blas_kernel,
    natural_vectors,
    print_machine,
    print_threads,
    print_verdict,
    save_report,
)

from fastfood_np.transforms.circulant_fft import fft_threads

POWERS = (256, 512, 1024, 2048, 4096, 8192, 16384)
OTHER_LENGTHS = (800, 1000, 1009, 3000, 9216)  # 1009 is a prime number
ROWS = 1024
FEWER_ROWS = {16384: 256}  # of which a dense product takes as long as of 1024 at d = 8192
CROSSOVER_LENGTHS = (32, 64, 96, 128, 192, 256, 384, 512)
MEMORY_ROWS, MEMORY_LENGTH = 16384, 4096
TARGETS = {256: 0.9, 1024: 3.8, 4096: 9.5}  # of both jobs, on one thread


@dataclass(frozen=True)
class Job:
    """One of the things that are compared."""

    title: str
    ours: Callable[[CirculantWork], Entry]
    fastfood: Callable[[Work], Entry]
    dense: Callable[[DenseWork, Library], Entry]


JOBS = (
    Job("forward", CirculantWork.forward, Work.forward, DenseWork.forward),
    Job("backward", CirculantWork.backward, Work.backward, DenseWork.backward),
)
SEARCHES = (
    Search("a circulant forward", forward_entries, CROSSOVER_LENGTHS, {"forward": None}),
    Search("a circulant backward", backward_entries, CROSSOVER_LENGTHS, {"backward": None}),
)


def thread_counts() -> Sequence[int]:
    """Return one and, where there are more, as many as Numba may use."""
    return sorted({1, numba.config.NUMBA_NUM_THREADS})


def job_rows(job: Job, lengths: Sequence[int], run: Run) -> Iterator[dict[str, Any]]:
    """Yield a row for each length and number of threads, printing it."""
    table = Table(
        f"circulant {job.title}, float32, d = n; BLAS: {run.blas}",
        [
            ("d", "d"),
            ("m", "d"),
            ("threads", "d"),
            ("of FFT", "d"),
            ("ns/element", ".3f"),
            ("x floor", ".2f"),
            ("dense GFLOP/s", ".1f"),
            ("dense/ours", ".2f"),
            ("target (AVX-512 sgemm)", "g"),
            ("fastfood/ours", ".2f"),
            OTHERS,
        ],
    )
    for d in lengths:
        work = Work(d, min(run.rows, FEWER_ROWS.get(d, run.rows)))
        entries = {
            "circulant": job.ours(CirculantWork(work)),
            "fastfood": job.fastfood(work),
            "dense": job.dense(DenseWork(work), NUMPY),
        }
        for count in thread_counts():
            target = TARGETS.get(d) if count == 1 else None
            with threads(count):
                of_fft = fft_threads(work.x.size)
                row = measure(job.title, work, entries, count, run, target)
            row |= {"fft_threads": of_fft, "padded": work.layer.perm.shape[1]}
            table.row(
                d,
                work.m,
                count,
                of_fft,
                row["contenders"]["circulant"]["ns_per_element"],
                row["over_floor"],
                row["contenders"]["dense"]["gflop_per_s"],
                row["speedups"]["dense"],
                target,
                row["speedups"]["fastfood"],
                row["cpus_of_others"],
            )
            yield row


def memory_rows(m: int, d: int) -> Iterator[dict[str, Any]]:
    """Yield what layers hold, and what a forward takes beyond X and Y, measured in children."""
    table = Table(
        f"memory in MiB, m = {m}, d = n = {d}; X and Y have {m * d * 4 / 2**20:g} each",
        [("layer", "s"), ("threads", "d"), ("parameters", ".3f"), ("forward beyond X, Y", ".2f")],
    )
    for name, make in LAYERS.items():
        layer = make(d)
        parameters = sum(param.nbytes for param in layer.params.values())
        constants = sum(constant.nbytes for constant in layer.constants.values())
        for count in thread_counts():
            used = measured_in_child(m, d, count, name)
            if isinstance(used, str):
                print(f"{name}, {in_threads(count)}: not measured ({used})")
                continue
            table.row(name, count, (parameters + constants) / 2**20, used / 2**20)
            yield {
                "what": "memory",
                "layer": name,
                "dtype": "float32",
                "m": m,
                "d": d,
                "threads": count,
                "parameter_bytes": parameters,
                "constant_bytes": constants,
                "forward_bytes": used,
            }


def print_dense_caveat(blas: str) -> None:
    """Say so where the dense product is not the one that the targets were meant against."""
    if natural_vectors() != "avx512":
        print(
            f"The targets were meant against an AVX-512 sgemm; this processor has none, and dense "
            f"here ({blas}) is an sgemm with {natural_vectors()} vectors."
        )


def main() -> int:
    """Check, time, print."""
    parser = option_parser(__doc__ or "")
    add_coretype(parser)
    options = parser.parse_args()
    print_machine()
    peers = {"dense": NUMPY}
    if options.smoke:
        run = Run(peers, 1, 0.0, 64, blas_kernel())
    else:
        run = Run(peers, options.turns, SHORTEST_TURN, ROWS, blas_kernel())
    print_dense_caveat(run.blas)
    for count in thread_counts():
        with threads(count):
            print_threads()
    rows: list[dict[str, Any]] = []
    for job in JOBS:
        rows += job_rows(job, (256, 300) if options.smoke else (*POWERS, *OTHER_LENGTHS), run)
    for search in SEARCHES:
        rows += crossover_rows(search, run.turns, run.blas, options.smoke)
    if not is_child():  # the child's would be the same
        rows += memory_rows(MEMORY_ROWS // (8 if options.smoke else 1), MEMORY_LENGTH)
    print_verdict(rows)
    coretype = coretype_of_child(options.coretype, run.blas)
    if coretype is not None:
        rows += rows_with_coretype(__file__, coretype, options.turns, options.smoke)
    save_report(options.json, "circulant", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
