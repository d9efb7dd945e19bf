"""One row alone: the kernel without the call, and what the public call costs besides.

Part of `bench_fwht`. Rows of zeros are timed: they stay zeros however often they are transformed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numba
import numpy as np
from fwht_peers import FFHT, Transform
from harness import Contender, check, take_turns, threads
from report import Table, figures, natural_vectors, verdict

from fastfood_np import fwht
from fastfood_np.backends.cpu.hadamard import fwht_row
from fastfood_np.backends.cpu.simd import U, flat
from fastfood_np.backends.cpu.widths import lanes

TARGETS = {1024: 1.3, 65536: 2.0}
ELEMENTS_PER_RUN = 1 << 22
MOST_OVERHEAD = 3.0  # microseconds
CALLS_PER_RUN = 1000
Repeated = Callable[[Any, int], None]


@numba.njit(nogil=True)
def _repeated(lanes: Any, row: Any, times: int) -> None:
    for _ in range(times):
        fwht_row(lanes, flat(row), U(row.size))


def repeat_kernel(rows: Any, times: int) -> None:
    """Transform the one row `times` times in place, serially, in compiled code."""
    _repeated(lanes(rows.dtype, rows.shape[1]), rows[0], times)


def one_row_rows(
    peers: Mapping[str, Transform], turns: int, smoke: bool = False
) -> list[dict[str, Any]]:
    """Measure and print the rows; with one thread throughout."""
    loops: dict[str, Repeated] = {"kernel": repeat_kernel}
    for name, peer in peers.items():
        if isinstance(peer, FFHT):
            loops[name] = peer.repeated
        else:
            loops[f"{name} call"] = _looped_in_python(peer)
    with threads(1):
        table = Table(
            "one row, float32, looped in compiled code (fht-cpu: its call, looped in Python)",
            [
                ("d", "d"),
                ("kernel us", ".3f"),
                ("FFHT us", ".3f"),
                ("fht-cpu call us", ".3f"),
                ("FFHT/kernel", ".2f"),
                ("target", "g"),
            ],
        )
        rows = []
        for d, aim in TARGETS.items():
            times = max(1, (1 << 12 if smoke else ELEMENTS_PER_RUN) // d)
            rows.append(_kernels(loops, d, times, aim, turns))
            microseconds = {
                name: 1e-3 * d * measured["ns_per_element"]
                for name, measured in rows[-1]["contenders"].items()
            }
            table.row(
                d,
                *(microseconds.get(name) for name in ("kernel", "FFHT", "fht-cpu call")),
                rows[-1]["value"],
                aim,
            )
        rows.append(_overhead(10 if smoke else CALLS_PER_RUN, turns))
    print(
        f"the public call's own overhead: {rows[-1]['value']:.2f} us "
        f"(target: at most {MOST_OVERHEAD:g})"
    )
    return rows


def _looped_in_python(peer: Transform) -> Repeated:
    def repeated(rows: Any, times: int) -> None:
        for _ in range(times):
            peer(rows, 1)

    return repeated


def _kernels(
    loops: Mapping[str, Repeated], d: int, times: int, aim: float, turns: int
) -> dict[str, Any]:
    source = np.random.default_rng(d).standard_normal((1, d), np.float32)
    truth = fwht(source.astype(np.float64), backend="reference")
    errors = {}
    for name, repeated in loops.items():
        row = source.copy()
        repeated(row, 1)
        errors[name] = check(f"{name}, one row, d = {d}", row, truth)

    def contender(repeated: Repeated) -> Contender:
        zeros = np.zeros((1, d), np.float32)
        return Contender(run=lambda: repeated(zeros, times), prepare=lambda: zeros.fill(0))

    contenders = {name: contender(repeated) for name, repeated in loops.items()}
    timings = take_turns(contenders, turns)
    speedups = {name: timings.ratio(name, "kernel") for name in loops if name != "kernel"}
    return {
        "what": "one row",
        "dtype": "float32",
        "m": 1,
        "d": d,
        "threads": 1,
        "vectors": natural_vectors(),
        "turns": turns,
        "cpus_of_others": timings.others,
        "contenders": figures(contenders, timings, d * times, errors),
        "speedups": speedups,
        **verdict(f"one row, d = {d}", speedups.get("FFHT"), aim),
    }


def _overhead(calls: int, turns: int) -> dict[str, Any]:
    zeros = np.zeros((1, 16), np.float32)

    def call() -> None:
        for _ in range(calls):
            fwht(zeros, out=zeros)

    contenders = {
        "call": Contender(call),
        "kernel": Contender(lambda: repeat_kernel(zeros, calls)),
    }
    seconds = take_turns(contenders, turns).seconds
    pairs = zip(seconds["call"], seconds["kernel"], strict=True)
    microseconds = 1e6 * statistics.median(call - kernel for call, kernel in pairs) / calls
    return {
        "what": "call overhead",
        "dtype": "float32",
        "m": 1,
        "d": 16,
        "threads": 1,
        **verdict("us of the public call", microseconds, MOST_OVERHEAD, at_most=True),
    }
