"""The benchmark of the GPU runs small on the simulator; where there is no GPU it says so."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastfood_np.experiments import benchmarks

ROOT = Path(__file__).parents[2]
INSTALLED = importlib.util.find_spec("numba_cuda") is not None
JOBS = {"forward", "backward", "forward, n = 4 d"}
EPILOGUES = {"transform, none", "transform, relu", "transform, cos_sin"}


def run(*options: object, **variables: str) -> str:
    """Run the benchmark in a process of its own; return what it prints."""
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"}  # where the tests run on a machine with a GPU
    result = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "bench_gpu.py"), *map(str, options)],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | hidden | variables,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def rows_of(report: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a report by what they are about."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(report.read_text())["rows"]:
        rows.setdefault(row["what"], []).append(row)
    return rows


@pytest.mark.parametrize("options", [(), ("--smoke",)])
def test_without_a_gpu_it_says_so(options: tuple[str, ...], tmp_path: Path) -> None:
    report = tmp_path / "gpu.json"
    printed = run(*options, "--json", report, NUMBA_ENABLE_CUDASIM="0")
    assert printed.startswith("no GPU here: ") and not report.exists()


@pytest.mark.skipif(not INSTALLED, reason="the package numba-cuda is not installed")
def test_the_simulator_is_no_gpu(tmp_path: Path) -> None:
    printed = run(NUMBA_ENABLE_CUDASIM="1")
    assert printed.startswith("no GPU here: the simulator")


@pytest.mark.skipif(not INSTALLED, reason="the package numba-cuda is not installed")
def test_it_runs_on_the_simulator(tmp_path: Path) -> None:
    report = tmp_path / "gpu.json"
    printed = run("--smoke", "--json", report, NUMBA_ENABLE_CUDASIM="1")
    assert "the host's clock" in printed and "targets met" in printed
    rows = rows_of(report)
    assert rows.keys() >= {"fwht", "one row", "launch cost"} | JOBS | EPILOGUES
    assert ("error" in rows) == (
        importlib.util.find_spec("torch") is not None
    )  # against PyTorch's product
    assert [(row["dtype"], row["d"]) for row in rows["fwht"]] == [
        ("float32", 16),
        ("float32", 64),
        ("float64", 16),
        ("float16", 16),
    ]
    assert [row["target"] for row in rows["fwht"]] == [None, 0.9, None, None]
    for row in (row for what in ("fwht", "one row", *JOBS, *EPILOGUES) for row in rows[what]):
        assert "not_measured" not in row and "failures" not in row, row
        assert row["of_copy"] == row["value"] > 0
        for figures in row["contenders"].values():
            assert all(math.isfinite(number) for number in figures.values())
    unavailable = {
        row["title"]: row["not_measured"] for row in rows["launch cost"] if "not_measured" in row
    }
    assert all("does not compute on this device" in why for why in unavailable.values())
    assert "fwht, Numba's array" not in unavailable and len(unavailable) == 3

    drawn = {path.name for path in benchmarks.draw(["gpu"], tmp_path)}
    assert {"gpu-fwht-times.png", "gpu-fastfood-times.png"} <= drawn
    if importlib.util.find_spec("torch") is not None:
        assert "gpu-fastfood-speedups.png" in drawn and len(rows["crossover"]) == 6


@pytest.mark.skipif(not INSTALLED, reason="the package numba-cuda is not installed")
def test_what_fails_or_comes_too_late_is_a_row(tmp_path: Path) -> None:
    report = tmp_path / "gpu.json"
    options = ("--smoke", "--only", "fwht,launch", "--limit", -1, "--json", report)
    printed = run(*options, NUMBA_ENABLE_CUDASIM="1")
    assert "not measured: fwht, float32, d = 16: TimeoutError" in printed
    assert all("is up" in row["not_measured"] for rows in rows_of(report).values() for row in rows)
    assert benchmarks.draw(["gpu"], tmp_path) == []
