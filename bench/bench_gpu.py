"""fwht and fused Fastfood on a GPU against copies of the same bytes and dense products.

    python bench/bench_gpu.py [--smoke] [--turns N] [--json FILE] [--only NAMES] [--limit SECONDS]

All results are checked against float64 before they are timed, into memory full of NaN, and results
on whole numbers against the CPU's bits. "of the copy" is the time of the fastest device-to-device
copy of as many bytes over ours. Where there is no GPU it says so and does nothing; --smoke also
runs on the simulator (NUMBA_ENABLE_CUDASIM=1), where it shows that all of this still works.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from gpu_arrays import TORCH
from gpu_device import absence, description
from gpu_fastfood import BACKWARD, EPILOGUE_JOBS, FORWARD, WIDE, fastfood_rows
from gpu_fwht import fwht_rows
from gpu_launch import launch_rows
from gpu_run import Run
from gpu_timing import clock
from harness import option_parser
from report import print_verdict, verdict

SECTIONS: Mapping[str, Sequence[Callable[[Run], None]]] = {
    "fwht": [fwht_rows],
    "forward": [partial(fastfood_rows, FORWARD)],
    "backward": [partial(fastfood_rows, BACKWARD)],
    "wide": [partial(fastfood_rows, WIDE)],
    "epilogues": [partial(fastfood_rows, job) for job in EPILOGUE_JOBS],
    "launch": [launch_rows],
}
LIMIT = 420.0  # seconds
SHORTEST_JUDGED = 64
ERROR_TARGET = 2


def main() -> int:
    """Check, time, print."""
    parser = option_parser(__doc__ or "")
    parser.add_argument(
        "--only",
        type=_sections,
        default=tuple(SECTIONS),
        metavar="NAMES",
        help=f"some of {','.join(SECTIONS)} (all)",
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=LIMIT,
        metavar="SECONDS",
        help=f"what has not begun by then is not measured ({LIMIT:g})",
    )
    options = parser.parse_args()
    why = absence(options.smoke)
    if why is not None:
        print(f"no GPU here: {why}")
        return 0
    _measure(options)
    return 0


def _measure(options: argparse.Namespace) -> None:
    started = time.monotonic()
    gpu = description()
    for name, value in gpu.items():
        print(f"{name}: {value}")
    turns = 1 if options.smoke else options.turns
    run = Run(clock(), turns, options.smoke, started + options.limit, options.json, gpu)
    print(f"timed by {run.clock.name}")
    if TORCH is None:
        print("PyTorch is not installed, or without CUDA: no dense products to compare with")
    for name in options.only:
        for work in SECTIONS[name]:
            work(run)
        print(f"{time.monotonic() - started:.0f} s so far")
    for what in ("fwht", FORWARD.what, BACKWARD.what):
        judge_errors(run, what)
    print_verdict(run.rows)


def judge_errors(run: Run, what: str) -> None:
    """Keep a row on our errors beside those of dense products in float32.

    Not for the shortest lengths, where a dense sum has fewer roundings than Fastfood has factors.
    """
    ratios = [
        next(iter(row["contenders"].values()))["error"] / row["dense_error"]
        for row in run.named(what)
        if row["dense_error"] and row["d"] >= SHORTEST_JUDGED
    ]
    if ratios:
        title = f"{what}: largest error, in those of the dense product in float32"
        judged = verdict(title, max(ratios), ERROR_TARGET, at_most=True)
        run.keep({"what": "error", "of": what, **judged})


def _sections(text: str) -> tuple[str, ...]:
    names = text.split(",")
    if not set(names) <= SECTIONS.keys():
        raise argparse.ArgumentTypeError(f"must be some of {','.join(SECTIONS)}, got {text!r}")
    return tuple(name for name in SECTIONS if name in names)


if __name__ == "__main__":
    sys.exit(main())
