"""Every benchmark runs small, finds all results right, and writes figures that can be drawn."""

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
from small_runs import write_small_set

from fastfood_np.experiments import benchmarks

BENCH = Path(__file__).parents[2] / "bench"
VERDICT = {"title", "value", "target", "met"}
X86 = platform.machine().lower() in ("x86_64", "amd64")

pytestmark = pytest.mark.skipif(
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


FLOPS = ("gflop_per_s", "flop_per_byte")  # 0 of the streaming pass


def draws(folder: Path, name: str) -> list[str]:
    """Return the names of the pictures drawn from a report, and see that they are there."""
    drawn = benchmarks.draw([name], folder)
    assert all(path.stat().st_size > 10_000 for path in drawn)
    return [path.name for path in drawn]


def test_bench_fwht(tmp_path: Path) -> None:
    printed = run("bench_fwht.py", "--json", tmp_path / "fwht.json")
    assert "no native FFHT given" in printed and "targets met" in printed
    rows = rows_of(tmp_path / "fwht.json")
    assert rows.keys() == {"fwht", "one row", "call overhead"}
    natural = rows["one row"][0]["vectors"]
    forms = ["avx512", "avx2", "portable"]
    forms = forms[forms.index(natural) :]
    assert [(row["threads"], row["dtype"], row["d"], row["vectors"]) for row in rows["fwht"]] == [
        (threads, dtype, d, form)
        for threads in (1, 2)
        for dtype in ("float32", "float64")
        for d in (16, 1024)
        for form in forms
    ]
    for row in rows["fwht"]:
        assert {"fwht", "floor", "dense"} <= row["contenders"].keys() and row.keys() >= VERDICT
        assert row["contenders"]["fwht"]["gb_per_s"] > 0 and row["over_floor"] > 0
        if row["vectors"] == "portable":
            has_target = row["dtype"] == "float32" and row["d"] == 1024
            assert row["target"] == (0.8 if has_target else None)
            assert row["value"] is None and row["met"] is None
    assert [(row["d"], row["target"]) for row in rows["one row"]] == [(1024, 1.3), (65536, 2.0)]
    assert rows["call overhead"][0]["target"] == 3 and rows["call overhead"][0]["value"] > 0
    assert {"fwht-times.png", "roofline.png"} <= set(draws(tmp_path, "fwht"))


def test_bench_fastfood(tmp_path: Path) -> None:
    options = ("--coretype", "Haswell") if X86 else ()
    printed = run("bench_fastfood.py", "--json", tmp_path / "fastfood.json", *options)
    assert "crossover" in printed and "targets met" in printed
    rows = rows_of(tmp_path / "fastfood.json")
    assert rows.keys() == {"forward", "backward", "cos+sin", "crossover", "memory"}
    targets = {"forward": 4.5, "backward": 5, "cos+sin": 3}
    for what, target in targets.items():
        assert {(row["d"], row["threads"], row["target"]) for row in rows[what]} == {
            (64, 1, None),
            (64, 2, None),
            (256, 1, target),
            (256, 2, target),
        }
        for row in rows[what]:
            assert {"fastfood", "floor", "dense"} <= row["contenders"].keys()
            assert row["value"] == row["speedups"]["dense"] and row["over_floor"] > 0
        assert len(rows[what]) == (8 if X86 else 4)
    for row in rows["crossover"]:
        assert list(row["speedups"]) == ["8", "16", "32", "64", "128"]
        assert row["m"] in (64, 1024) and row["of"] in ("kernel", "layer")
        assert row["target"] == (32 if row["of"] == "kernel" else None)
        if row["of"] == "kernel":
            assert row["met"] == (row["value"] is not None and row["value"] <= 32)
    for row in rows["memory"]:
        assert row["target"] == 2**20 + row["threads"] * 2 * 16 * 4096 * 4
        assert row["value"] >= 0
    pictures = ["fastfood-times.png", "fastfood-speedups.png", "roofline.png"]
    assert draws(tmp_path, "fastfood") == pictures


@pytest.mark.torch
def test_bench_lenet_runs_and_its_losses_equal_those_of_torch(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
    run("bench_lenet.py", "--json", tmp_path / "lenet.json")
    rows = rows_of(tmp_path / "lenet.json")
    ((differences,), steps) = rows.values()
    assert differences["largest_loss_difference"] <= 1e-4
    assert [row["threads"] for row in steps] == [1, 2]
    for row in steps:
        assert row["speedups"].keys() == {"lenet", "fried"}
        assert row["targets"] == {"lenet": 1.0, "fried": 1.3}
        assert row["milliseconds"].keys() == {"lenet", "torch", "fried"}
    assert draws(tmp_path, "lenet") == ["lenet-speedups.png"]


def test_bench_kernel_approximation(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn (extra 'sklearn') is not installed")
    folder = write_small_set(tmp_path / "mnist", train=300, test=50)
    report = tmp_path / "kernel_approximation.json"
    printed = run("bench_kernel_approximation.py", "--json", report, "--mnist", folder)
    assert "to reach" in printed and "targets met" in printed
    rows = rows_of(report)
    assert {"transform", "memory", "error", "uniform", "theorem 11", "regression"} <= rows.keys()
    assert {"ridge on digits", "equal error", "mnist"} <= rows.keys()
    for row in rows["transform"]:
        assert row["speedups"].keys() == {"sorf", "rff", "rbfsampler"}
        assert row["value"] == row["speedups"]["rbfsampler"] and row["bytes"]["fastfood"] > 0
    for row in rows["error"]:
        assert row["errors"].keys() == {"fastfood", "rff", "orf", "sorf"}
        if row["kernel"] == "Gaussian":  # others have heavier tails than two seeds can average
            assert 0.4 < row["errors"]["rff"] / row["theory"] < 2
    assert {row["map"] for row in rows["mnist"]} == {"fastfood", "rbfsampler"}
    for row in rows["mnist"]:
        assert 0 <= row["error_percent"] <= 100 and row["peak_bytes"] > 2**20
        assert row["transform_seconds"] + row["fit_seconds"] < row["seconds"]
    assert draws(tmp_path, "kernel_approximation") == [
        "kernel-approximation-errors.png",
        "kernel-approximation-uniform.png",
        "kernel-approximation-times.png",
        "kernel-approximation-digits.png",
    ]


def test_mnist_features_reports_a_missing_folder(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn (extra 'sklearn') is not installed")
    command = [sys.executable, "mnist_features.py", "fastfood", "--data", str(tmp_path)]
    result = subprocess.run(command, cwd=BENCH, capture_output=True, text=True)
    assert result.returncode == 2 and str(tmp_path) in result.stderr
    assert "Traceback" not in result.stderr
