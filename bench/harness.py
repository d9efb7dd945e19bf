"""What every benchmark shares: interleaved timing, the machine's description, the JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastfood_np.experiments.environment import environment


def arguments(description: str) -> argparse.Namespace:
    """Parse the options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--smoke", action="store_true", help="tiny and quick: does it still run?")
    parser.add_argument("--turns", type=int, default=15, help="timed turns of each contender (15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser.parse_args()


def interleaved(contenders: Mapping[str, Callable[[], Any]], turns: int) -> dict[str, list[float]]:
    """Return the seconds of each contender's turns, taken in rotation after one warm-up each."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    for _ in range(turns):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def paired_ratio(slow: list[float], fast: list[float]) -> float:
    """Return the median over turns of slow / fast: neighbours in time share the noise."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def machine() -> dict[str, Any]:
    """Return what a reader needs to place the figures."""
    return {"cpu": _cpu_name(), "cpus": os.cpu_count(), **dict(environment())}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")


def write_json(path: Path | None, benchmark: str, rows: list[dict[str, Any]]) -> None:
    """Write the rows beside the machine's description."""
    if path is not None:
        report = {"benchmark": benchmark, "machine": machine(), "rows": rows}
        path.write_text(json.dumps(report, indent=2) + "\n")
