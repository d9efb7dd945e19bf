"""The Walsh-Hadamard transform of 2^22 numbers, in place, against fht-cpu, FFHT and dense.

    python bench/bench_fwht.py [--smoke] [--turns N] [--json FILE] [--ffht LIB]

All results are checked against a float64 reference before they are timed. "x floor" is our time
over that of a streaming pass over the same bytes; the other ratios are a peer's time over ours.
Targets are meant against the faster peer (in the portable form: against FFHT).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from floor import streaming_pass
from fwht_peers import HOW_TO_BUILD, Transform, fwht_peers
from harness import SHORTEST_TURN, Contender, check, in_threads, option_parser, take_turns, threads
from one_row import one_row_rows
from report import (
    FLOOR,
    OTHERS,
    Table,
    figures,
    natural_vectors,
    print_machine,
    print_threads,
    print_verdict,
    save_report,
    verdict,
)

from fastfood_np import fwht
from fastfood_np.backends import cpu

LENGTHS = (16, 64, 256, 1024, 4096, 16384, 65536, 1 << 20)
ELEMENTS = 1 << 22
LONGEST_DENSE = 1024  # beyond, a dense product takes seconds
CHECKED_ELEMENTS = 1 << 18
PATTERN = 1 << 12  # short enough to be read from the first cache while data are refilled

FORMS = ("avx512", "avx2", "portable")
PEERS = ("fht-cpu", "FFHT")
RATIOS = (*PEERS, "dense")


def target(dtype: str, d: int, form: str) -> float | None:
    """Return the speed-up aimed at against the faster peer, in the portable form against FFHT."""
    if form == "avx512":
        if dtype == "float64":
            return 2.0 if 1024 <= d <= 16384 else 1.25
        return {16: 1.8, 1 << 20: 1.5}.get(d, 2.0)
    if form == "avx2":
        return 1.25 if dtype == "float32" and 256 <= d <= 16384 else None
    return 0.8 if dtype == "float32" and d >= 1024 else None


def own_forms() -> tuple[str, ...]:
    """Return the processor's own vectors, and the narrower forms, which can be forced."""
    return FORMS[FORMS.index(natural_vectors()) :]


class Entry(NamedTuple):
    """A contender, where it takes its input from, and where it leaves its result."""

    contender: Contender
    x: Any
    y: Any


def in_place(transform: Transform, source: Any, count: int, **options: Any) -> Entry:
    """Enter a transform with data like `source`, which it refills before each turn."""
    data = np.empty_like(source)
    m, d = data.shape
    pattern = np.random.default_rng(0).standard_normal(PATTERN).astype(data.dtype)
    parts = data.reshape(-1, PATTERN)
    contender = Contender(
        run=lambda: transform(data, count),
        prepare=lambda: np.copyto(parts, pattern),
        flop=float(m * d * (d.bit_length() - 1)),
        moved=2.0 * data.nbytes,
        **options,
    )
    return Entry(contender, data, data)


def ours(form: str, source: Any, count: int) -> Entry:
    """Enter our transform in one of its forms."""

    def transform(rows: Any, count: int) -> None:
        fwht(rows, out=rows, workers=count)

    return in_place(transform, source, count, within=lambda: cpu.vectors(form))


def dense(source: Any) -> Entry:
    """Enter the product with the dense matrix H by NumPy's BLAS."""
    m, d = source.shape
    H = fwht(np.eye(d, dtype=source.dtype), backend="reference")
    x, y = source.copy(), np.empty_like(source)
    contender = Contender(
        run=lambda: np.matmul(x, H, out=y),
        prepare=lambda: (y.fill(0), np.max(x)),
        flop=2.0 * m * d * d,
        moved=2.0 * x.nbytes + H.nbytes,
    )
    return Entry(contender, x, y)


def check_all(entries: Mapping[str, Entry], source: Any) -> dict[str, float]:
    """Return each contender's error on some rows of `source`, the first and the last among them."""
    m, d = source.shape
    rows = np.unique(np.linspace(0, m - 1, max(2, CHECKED_ELEMENTS // d)).astype(int))
    truth = fwht(source[rows].astype(np.float64), backend="reference")
    errors = {}
    for name, (contender, x, y) in entries.items():
        x[...] = source
        with contender.within():
            contender.run()
        errors[name] = check(f"{name}, {source.dtype}, d = {d}", y[rows], truth)
    return errors


def measure(
    source: Any, count: int, peers: Mapping[str, Transform], turns: int, shortest_turn: float
) -> Iterator[dict[str, Any]]:
    """Check and time all contenders on `count` threads; yield a row for each of our forms."""
    m, d = source.shape
    forms = own_forms()
    entries = {form: ours(form, source, count) for form in forms}
    entries |= {name: in_place(peer, source, count) for name, peer in peers.items()}
    if d <= LONGEST_DENSE:
        entries["dense"] = dense(source)
    errors = check_all(entries, source)
    contenders = {name: entry.contender for name, entry in entries.items()}
    contenders[FLOOR] = streaming_pass(2 * source.nbytes, source.dtype, count)
    timings = take_turns(contenders, turns, shortest_turn=shortest_turn)
    measured = figures(contenders, timings, source.size, errors)
    others = {name: measured[name] for name in measured if name not in forms}
    for form in forms:
        speedups = {name: timings.ratio(name, form) for name in others if name != FLOOR}
        judged = PEERS if form != "portable" else PEERS[1:]
        slower_than_us = [speedups[name] for name in judged if name in speedups]
        title = f"fwht, {source.dtype}, d = {d}, {form}, {in_threads(count)}"
        aim = target(source.dtype.name, d, form)
        yield {
            "what": "fwht",
            "dtype": source.dtype.name,
            "m": m,
            "d": d,
            "threads": count,
            "vectors": form,
            "turns": turns,
            "repetitions": timings.repetitions,
            "cpus_of_others": timings.others,
            "contenders": {"fwht": measured[form], **others},
            "over_floor": timings.ratio(form, FLOOR),
            "speedups": speedups,
            **verdict(title, min(slower_than_us, default=None), aim),
        }


def measure_all(
    lengths: tuple[int, ...],
    elements: int,
    peers: Mapping[str, Transform],
    turns: int,
    shortest_turn: float,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of all lengths, dtypes and numbers of threads, printing each."""
    for count in (1, 2):
        with threads(count):
            for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
                title = f"fwht, {dtype}, {elements} numbers in place, {in_threads(count)}"
                table = _table(title)
                for d in lengths:
                    rng = np.random.default_rng(d)
                    source = rng.standard_normal((elements // d, d), dtype)
                    for row in measure(source, count, peers, turns, shortest_turn):
                        _print(table, row)
                        yield row
            print_threads()


def _table(title: str) -> Table:
    ours = [("vectors", "s"), ("ns/element", ".3f"), ("GB/s", ".1f"), ("x floor", ".2f")]
    peers = [(f"{name}/fwht", ".2f") for name in RATIOS]
    judged = [("faster peer", ".2f"), ("target", "g"), OTHERS]
    return Table(title, [("d", "d"), *ours, *peers, *judged])


def _print(table: Table, row: Mapping[str, Any]) -> None:
    mine = row["contenders"]["fwht"]
    ours = (row["vectors"], mine["ns_per_element"], mine["gb_per_s"], row["over_floor"])
    peers = (row["speedups"].get(name) for name in RATIOS)
    table.row(row["d"], *ours, *peers, row["value"], row["target"], row["cpus_of_others"])


def main() -> int:
    """Check, time, print."""
    parser = option_parser(__doc__ or "")
    parser.add_argument(
        "--ffht", type=_library, metavar="LIB", help=f"a native FFHT; to build: {HOW_TO_BUILD}"
    )
    options = parser.parse_args()
    print_machine()
    peers = fwht_peers(options.ffht)
    lengths, elements = ((16, 1024), 1 << 14) if options.smoke else (LENGTHS, ELEMENTS)
    turns, shortest_turn = (1, 0.0) if options.smoke else (options.turns, SHORTEST_TURN)
    rows = list(measure_all(lengths, elements, peers, turns, shortest_turn))
    rows += one_row_rows(peers, turns, options.smoke)
    print_verdict(rows)
    save_report(options.json, "fwht", rows)
    return 0


def _library(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"no such file: {text}")
    return Path(text)


if __name__ == "__main__":
    sys.exit(main())
