"""Every benchmark runs small, finds all results right, and writes figures that can be drawn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from benchmark_runs import BENCH, VERDICT, X86, compiled, draws, rows_of, run
from small_runs import write_small_set

pytestmark = compiled


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
