"""fwht on the GPU against a copy of the same bytes: a part of `bench_gpu`."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from gpu_arrays import TORCH, double, empty, free_memory, random, sets_for, view
from gpu_copies import COPIES, copies
from gpu_device import SIMULATED, cuda, free_bytes
from gpu_entries import TOLERANCES, Entry
from gpu_run import Row, Run
from gpu_truth import Difference, fwht_error
from harness import WrongResultError
from optional import imported
from report import Table, verdict

from fastfood_np import fwht

ELEMENTS = 1 << 28
LENGTHS = {
    "float32": (*(1 << k for k in range(4, 16)), 1 << 18, 1 << 20, 1 << 24),
    "float64": (64, 1024, 8192, 1 << 18, 1 << 20),
    "float16": (64, 1024, 8192),
}
ONE_ROW = (1024, 1 << 15, 1 << 20)
SMOKE_LENGTHS = {"float32": (16, 64), "float64": (16,), "float16": (16,)}
SMOKE_ELEMENTS = 128
WHOLE_ELEMENTS = 1 << 16
LONGEST_DENSE = 4096
DENSE_ROWS = 1024
TRI_DAO = "fast_hadamard_transform"


def target(dtype: str, d: int) -> float | None:
    """Return the share of a copy's speed that is aimed at."""
    if dtype != "float32" or d < 64:
        return None
    return 0.9 if d <= 4096 else 0.8 if d == 8192 else 0.45


def peer_target(d: int) -> float | None:
    """Return the speed aimed at, as a multiple of that of fast_hadamard_transform."""
    if not 256 <= d <= 1 << 15:
        return None
    return 1.0 if d <= 8192 else 0.5


def fwht_rows(run: Run) -> None:
    """Measure all lengths and dtypes, then single rows."""
    if imported(TRI_DAO) is None:
        print(f"{TRI_DAO} is not installed: not among the contenders")
    for dtype, lengths in (SMOKE_LENGTHS if run.smoke else LENGTHS).items():
        elements = SMOKE_ELEMENTS if run.smoke else elements_that_fit(dtype)
        table = _table(f"fwht, {dtype}, {elements} numbers from one array to another")
        for d in lengths:
            title = f"fwht, {dtype}, d = {d}"
            work = partial(_row, run, "fwht", title, dtype, elements // d, d, target(dtype, d))
            _print(table, run.attempt("fwht", title, work))
            _judge_peer(run, title, d)
    table = _table("fwht, float32, one row alone (latency; what is short is in the cache)")
    for d in (16,) if run.smoke else ONE_ROW:
        title = f"fwht, one row of {d}"
        work = partial(_row, run, "one row", title, "float32", 1, d, None)
        _print(table, run.attempt("one row", title, work))


def elements_that_fit(dtype: str) -> int:
    """Return how many numbers are transformed: fewer where memory is short.

    Beside x and y there is a snapshot of y, what compares it, and chunks of float64.
    """
    free_memory()
    elements = ELEMENTS
    while 6 * elements * np.dtype(dtype).itemsize > free_bytes() and elements > 1 << 24:
        elements //= 2
    return elements


def _row(run: Run, what: str, title: str, dtype: str, m: int, d: int, share: float | None) -> Row:
    check_whole_numbers(dtype, d)
    sets = sets_for(2 * m * d * np.dtype(dtype).itemsize)
    xs = [random(m, d, dtype=dtype, seed=d + i) for i in range(sets)]
    ys = [empty(m, d, dtype=dtype) for _ in xs]
    entries = {"fwht": ours(xs, ys), **peer(xs), **copies(xs, ys)}
    measured = run.measure(entries, "fwht", m * d)
    copy = measured.best(COPIES)
    of_copy = measured.timings.ratio(copy, "fwht") if copy else None
    return {
        "what": what,
        "dtype": dtype,
        "m": m,
        "d": d,
        "sets": sets,
        **measured.entries_of_row(),
        "copy": copy,
        "of_copy": of_copy,
        "speedups": measured.speedups([TRI_DAO], "fwht"),
        "dense_error": dense_error(xs[0]),
        **verdict(f"{title}: of the copy's speed", of_copy, share),
    }


def ours(xs: list[Any], ys: list[Any]) -> Entry:
    """Enter the public call, on Numba's arrays."""
    m, d = xs[0].shape
    return Entry(
        [partial(fwht, x, norm="ortho", out=y) for x, y in zip(xs, ys, strict=True)],
        [ys[0]],
        lambda: fwht_error(xs[0], ys[0], 1 / math.sqrt(d)),
        TOLERANCES[xs[0].dtype.name],
        moved=2.0 * m * d * xs[0].dtype.itemsize,
        flop=float(m * d * (d.bit_length() - 1)),
        repeatable=True,
    )


def peer(xs: list[Any]) -> dict[str, Entry]:
    """Enter the CUDA kernel of Dao, where it is installed and covers the data."""
    library, (m, d), dtype = imported(TRI_DAO), xs[0].shape, xs[0].dtype.name
    if library is None or TORCH is None or d > 1 << 15 or dtype == "float64":
        return {}
    scale = 1 / math.sqrt(d)

    def error() -> float:
        return fwht_error(xs[0], library.hadamard_transform(view(xs[0]), scale), scale)

    entry = Entry(
        [partial(library.hadamard_transform, view(x), scale) for x in xs],
        [],
        error,
        TOLERANCES[dtype],
        moved=2.0 * m * d * xs[0].dtype.itemsize,
    )
    return {TRI_DAO: entry}


def check_whole_numbers(dtype: str, d: int) -> None:
    """See that sums which no rounding touches have the bits that the CPU gives."""
    m = max(1, (SMOKE_ELEMENTS if SIMULATED else WHOLE_ELEMENTS) // d)
    host = np.random.default_rng(d).integers(-1, 2, (m, d))
    x = cuda.to_device(host.astype(dtype))
    fwht(x, out=x)
    exact = np.float64 if dtype == "float64" else np.float32
    truth = fwht(host.astype(exact), backend="reference").astype(dtype)
    if x.copy_to_host().tobytes() != truth.tobytes():
        raise WrongResultError(f"fwht of whole numbers, {dtype}, d = {d}: not the CPU's bits")


def dense_error(x: Any) -> float | None:
    """Return the error of the dense product of some rows with H in float32, if it is feasible."""
    d = x.shape[1]
    if TORCH is None or x.dtype != np.float32 or d > LONGEST_DENSE:
        return None
    TORCH.set_float32_matmul_precision("highest")
    X = view(x)[:DENSE_ROWS]
    H = TORCH.as_tensor(fwht(np.eye(d, dtype=np.float32), backend="reference")).to(X.device)
    difference = Difference()
    difference.add(X @ H, double(X) @ double(H))
    return difference.error


def _judge_peer(run: Run, title: str, d: int) -> None:
    """Keep a row on what we are against the peer, where both were measured and it has a target."""
    row = run.rows[-1]
    if TRI_DAO in row.get("speedups", ()) and row["dtype"] == "float32":
        judged = verdict(f"{title}: {TRI_DAO} / ours", row["speedups"][TRI_DAO], peer_target(d))
        run.keep({"what": "fwht against its peer", "d": d, **judged})


def _table(title: str) -> Table:
    times = [("d", "d"), ("us", ".2f"), ("GB/s", ".0f"), ("copy GB/s", ".0f")]
    judged = [("of the copy", ".2f"), ("target", "g"), ("Dao/ours", ".2f")]
    errors = [("error", ".1e"), ("dense error", ".1e"), ("took s", ".1f")]
    return Table(title, [*times, *judged, *errors])


def _print(table: Table, row: Row | None) -> None:
    if row is None:
        return
    mine, copy = row["contenders"]["fwht"], row["contenders"].get(row["copy"], {})
    table.row(
        row["d"],
        1e6 * mine["seconds"],
        mine["gb_per_s"],
        copy.get("gb_per_s"),
        row["of_copy"],
        row["target"],
        row["speedups"].get(TRI_DAO),
        mine["error"],
        row["dense_error"],
        row["took_seconds"],
    )
