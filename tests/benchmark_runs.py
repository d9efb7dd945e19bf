"""Benchmarks run small, their reports read and drawn."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastfood_np.experiments import benchmarks

BENCH = Path(__file__).parents[1] / "bench"
VERDICT = {"title", "value", "target", "met"}
FLOPS = ("gflop_per_s", "flop_per_byte")  # 0 of the streaming pass
X86 = platform.machine().lower() in ("x86_64", "amd64")

compiled = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="timings of plain Python mean nothing"
)


def run(script: str, *options: object) -> str:
    """Run a script small, in a process of its own; return what it prints."""
    result = subprocess.run(
        [sys.executable, script, "--smoke", *map(str, options)],
        cwd=BENCH,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def numbers(value: Any) -> Iterator[float]:
    """Yield every number in nested dicts and lists."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def rows_of(report: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a report by what they are about; every number in them is sound."""
    content = json.loads(report.read_text())
    assert content["machine"]["cpu"] and content["machine"]["cpus"] >= 1
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in content["rows"]:
        rows.setdefault(row.get("what", ""), []).append(row)
        assert all(math.isfinite(number) for number in numbers(row))
        for figures in row.get("contenders", {}).values():
            assert all(value > 0 for key, value in figures.items() if key not in ("error", *FLOPS))
            assert figures.get("error", 0) < 1e-5
        assert all(ratio > 0 for ratio in row.get("speedups", {}).values())
    return rows


def draws(folder: Path, name: str) -> list[str]:
    """Return the names of the pictures drawn from a report, and see that they are there."""
    drawn = benchmarks.draw([name], folder)
    assert all(path.stat().st_size > 10_000 for path in drawn)
    return [path.name for path in drawn]
