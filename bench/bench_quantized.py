"""Products with a product-quantised matrix by look-up tables, against NumPy's with the matrix.

    python bench/bench_quantized.py [--smoke] [--turns N] [--json FILE]

The matrix has the size of AlexNet's largest, 9216 to 4096 numbers, in float32: 144 MiB, which one
row's product (sgemv) has to read. All results are checked against float64 before they are timed.
Ratios are dense over ours, in time and in bytes held; "x floor" is our time over that of a
streaming pass over the same bytes. Targets are set for one row, and for one of the settings.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numba
from dense_work import NUMPY
from harness import SHORTEST_TURN, option_parser, threads
from layer_rows import Run, measure
from quantized_work import QuantizedWork, Setting
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

AIMED_AT = Setting(8, 16, shared=False)
SETTINGS = (
    AIMED_AT,
    Setting(4, 16, shared=False),
    Setting(8, 16, shared=True),
    Setting(4, 16, shared=True),
    Setting(8, 256, shared=True),
    Setting(4, 256, shared=True),
    Setting(8, 256, shared=False),
)
SIZE = 9216, 4096
SMALL_SIZE = 288, 200
BATCHES = (1, 8, 64)
FASTER, SMALLER = 4.0, 40.0


def thread_counts() -> Sequence[int]:
    """Return one and, where there are more, as many as Numba may use."""
    return sorted({1, numba.config.NUMBA_NUM_THREADS})


def memory_row(work: QuantizedWork) -> dict[str, Any]:
    """Return what the layer holds, and what the matrix is."""
    target = SMALLER if work.setting == AIMED_AT else None
    return {
        "what": "memory",
        **described(work),
        "bytes": work.nbytes,
        "dense_bytes": work.W.nbytes,
        **verdict(f"memory, {work.setting}", work.W.nbytes / work.nbytes, target),
    }


def described(work: QuantizedWork) -> dict[str, Any]:
    """Return the entries of a row that say which layer it is about."""
    return {"d": work.d, "n": work.n, **vars(work.setting)}


def forward_rows(work: QuantizedWork, table: Table, run: Run) -> Iterator[dict[str, Any]]:
    """Yield a row for each batch and number of threads, printing it."""
    for m in BATCHES:
        batch = work.batch(m)
        entries = {"quantized": batch.quantized(), "dense": batch.dense()}
        for count in thread_counts():
            target = FASTER if m == 1 and work.setting == AIMED_AT else None
            title = f"forward, {work.setting}, m = {m}"
            with threads(count):
                row = measure(title, batch, entries, count, run, target)
            row |= {"what": "forward", **described(work)}
            table.row(
                work.setting.length,
                work.setting.n_centroids,
                "one" if work.setting.shared else "each",
                work.W.nbytes / work.nbytes,
                m,
                count,
                1e3 * row["contenders"]["quantized"]["seconds"],
                row["over_floor"],
                1e3 * row["contenders"]["dense"]["seconds"],
                row["contenders"]["dense"]["gb_per_s"],
                row["speedups"]["dense"],
                target,
                row["cpus_of_others"],
            )
            yield row


def main() -> int:
    """Check, time, print."""
    options = option_parser(__doc__ or "").parse_args()
    print_machine()
    turns, shortest = (1, 0.0) if options.smoke else (options.turns, SHORTEST_TURN)
    run = Run({"dense": NUMPY}, turns, shortest, 0, blas_kernel())
    for count in thread_counts():
        with threads(count):
            print_threads()
    d, n = SMALL_SIZE if options.smoke else SIZE
    table = Table(
        f"forward, float32, d = {d}, n = {n}; BLAS: {run.blas}; a matrix this many times smaller "
        f"(target with runs of {AIMED_AT.length}, {AIMED_AT.n_centroids} centroids: {SMALLER:g})",
        [
            ("run", "d"),
            ("centroids", "d"),
            ("codebooks", "s"),
            ("dense/ours bytes", ".1f"),
            ("m", "d"),
            ("threads", "d"),
            ("ms", ".3f"),
            ("x floor", ".2f"),
            ("dense ms", ".3f"),
            ("dense GB/s", ".1f"),
            ("dense/ours", ".2f"),
            ("target", "g"),
            OTHERS,
        ],
    )
    rows: list[dict[str, Any]] = []
    for setting in SETTINGS:
        work = QuantizedWork(d, n, setting)
        rows.append(memory_row(work))
        rows += forward_rows(work, table, run)
    print_verdict(rows)
    save_report(options.json, "quantized", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
