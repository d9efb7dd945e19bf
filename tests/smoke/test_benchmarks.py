"""Every benchmark runs small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.torch
@pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="timings of plain Python mean nothing"
)
def test_bench_lenet_runs_and_its_losses_equal_those_of_torch(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
    report = tmp_path / "lenet.json"
    result = subprocess.run(
        [sys.executable, "bench_lenet.py", "--smoke", "--json", str(report)],
        cwd=BENCH,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    differences, *rows = json.loads(report.read_text())["rows"]
    assert differences["largest_loss_difference"] <= 1e-4
    assert [row["threads"] for row in rows] == [1, 2]
