"""The command ``bench``: which scripts it runs, what it writes, draws and returns."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmark_reports import (
    circulant_report,
    fastfood_report,
    fwht_report,
    kernel_approximation_report,
    lenet_report,
    quantized_report,
)
from matplotlib.figure import Figure
from small_runs import contents, empty_pictures, main

from fastfood_np.experiments import benchmarks
from fastfood_np.experiments.benchmark_pictures import pictures

SCRIPT = """
import json, sys
from pathlib import Path
import fastfood_np
arguments = sys.argv[1:]
report = Path(arguments[arguments.index("--json") + 1])
print("measured")
if {writes}:
    report.write_text({report!r})
report.with_suffix(".arguments").write_text(json.dumps(arguments))
sys.exit({code})
"""

REPORTS = {
    "fwht": fwht_report(),
    "fastfood": fastfood_report(),
    "circulant": circulant_report(),
    "quantized": quantized_report(),
    "lenet": lenet_report(),
    "kernel_approximation": kernel_approximation_report(),
}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose benchmarks write a report at once."""
    folder = tmp_path / "checkout" / "bench"
    folder.mkdir(parents=True)
    (folder / "harness.py").touch()
    for name in REPORTS:
        write_script(folder, name)
    (folder / "bench_gpu.py").write_text('print("no GPU here")')
    monkeypatch.setattr(benchmarks, "scripts_folder", lambda: folder)
    return folder


def write_script(folder: Path, name: str, code: int = 0, writes: bool = True) -> None:
    text = SCRIPT.format(code=code, writes=writes, report=json.dumps(REPORTS[name]))
    (folder / f"bench_{name}.py").write_text(text)


def arguments_of(out: Path, name: str) -> list[str]:
    """Return the arguments that a script was given."""
    arguments: list[str] = json.loads((out / f"{name}.arguments").read_text())
    return arguments


@pytest.mark.compiled_only
def test_all_run_and_are_drawn(
    checkout: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out"
    assert main("bench", "--out", out) == 0
    printed, errors = capfd.readouterr()
    assert errors == "" and printed.count("measured") == 6
    positions = [printed.index(word) for word in (*REPORTS, "no GPU here", "Figures")]
    assert positions == sorted(positions)
    assert f"are in {out}.\n" in printed
    names = [path.name for path in sorted(out.glob("*.[jp][sn]*"))]
    assert names == [
        "circulant-speedups.png",
        "circulant-times.png",
        "circulant.json",
        "fastfood-speedups.png",
        "fastfood-times.png",
        "fastfood.json",
        "fwht-speedups.png",
        "fwht-times.png",
        "fwht.json",
        "kernel-approximation-digits.png",
        "kernel-approximation-errors.png",
        "kernel-approximation-times.png",
        "kernel-approximation-uniform.png",
        "kernel_approximation.json",
        "lenet-speedups.png",
        "lenet.json",
        "quantized-speedups.png",
        "quantized.json",
        "roofline.png",
    ]
    assert all(path.stat().st_size > 5000 for path in out.glob("*.png"))
    assert arguments_of(out, "lenet") == ["--json", str(out / "lenet.json")]


def test_options_reach_the_scripts(checkout: Path, tmp_path: Path) -> None:
    library = tmp_path / "libffht.so"
    library.touch()
    options = ("--smoke", "--turns", 3, "--ffht", library, "--only", "lenet,fwht")
    with empty_pictures():
        assert main("bench", *options, "--out", tmp_path) == 0
    expected = ["--json", str(tmp_path / "lenet.json"), "--smoke", "--turns", "3"]
    assert arguments_of(tmp_path, "lenet") == expected
    assert arguments_of(tmp_path, "fwht")[2:] == ["--smoke", "--turns", "3", "--ffht", str(library)]
    assert not (tmp_path / "fastfood.arguments").exists()
    again = ("--only", "kernel_approximation", "--mnist", tmp_path)
    with empty_pictures():
        assert main("bench", *again, "--out", tmp_path) == 0
    assert arguments_of(tmp_path, "kernel_approximation")[2:] == ["--mnist", str(tmp_path)]


def test_default_folder(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main("bench", "--only", "lenet") == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"bench-\d{4}-\d\d-\d\d-\d{6}", folder.name)


def test_a_failing_script_is_named_and_the_others_run(
    checkout: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_script(checkout, "fastfood", code=3, writes=False)
    (tmp_path / "fastfood.json").write_text("an earlier run's")
    with empty_pictures():
        assert main("bench", "--out", tmp_path) == 1
    printed, errors = capfd.readouterr()
    assert errors == "fastfood-np bench: error: bench_fastfood.py failed (exit code 3)\n"
    assert "lenet-speedups.png" in printed and not (tmp_path / "fastfood.json").exists()


def test_a_script_without_figures_has_no_picture(
    checkout: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_script(checkout, "lenet", writes=False)  # as where torch is missing
    assert main("bench", "--only", "lenet", "--out", tmp_path) == 0
    assert f"Figures are in {tmp_path}.\n" in capfd.readouterr().out
    assert not list(tmp_path.glob("*.png"))


def test_elsewhere_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmarks, "ROOT", tmp_path)
    (tmp_path / "bench").mkdir()  # somebody else's
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    assert main("bench") == 2
    printed, errors = capsys.readouterr()
    assert printed == "" and errors.count("\n") == 1
    assert "bench runs the scripts of a checkout" in errors
    assert contents(tmp_path) == before


def test_the_checkout_is_found() -> None:
    folder = benchmarks.scripts_folder()
    assert folder is not None
    assert folder == Path(__file__).parents[2] / "bench"
    assert all((folder / f"bench_{name}.py").is_file() for name in REPORTS)


def drawn(reports: dict[str, dict[str, Any]]) -> dict[str, Figure]:
    return dict(pictures(reports))


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_times_of_fwht() -> None:
    figure = drawn({"fwht": fwht_report()})["fwht-times"]
    assert titles(figure) == ["float32, 1 thread", "float32, 2 threads"]
    curves = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}
    assert curves == {
        "fwht, avx2": [[16, 1], [1024, 1]],
        "a streaming pass over the same bytes": [[16, 0.5], [1024, 0.5]],
        "dense": [[16, 9], [1024, 9]],
        "fht-cpu": [[16, 3], [1024, 3]],
        "FFHT": [[16, 3], [1024, 3]],
        "fwht, portable": [[16, 2], [1024, 2]],
    }
    assert "1,048,576" in figure.get_suptitle() and "A Processor" in figure.get_suptitle()


def test_speedups_of_fwht_are_those_of_its_own_vectors() -> None:
    (left, _) = drawn({"fwht": fwht_report()})["fwht-speedups"].axes
    assert [bar.get_height() for bar in left.patches] == [3, 3, 3, 3]
    assert "fwht-speedups" not in drawn({"fwht": fwht_report(peers=())})


def test_fastfood_stands_against_each_blas_kernel() -> None:
    figures = drawn({"fastfood": fastfood_report(("openblas Haswell", "openblas SkylakeX"))})
    assert titles(figures["fastfood-times"]) == [
        "forward, 1 thread",
        "forward, 2 threads",
        "backward, 1 thread",
        "backward, 2 threads",
    ]
    lines = {
        line.get_label(): line.get_ydata()[0] for line in figures["fastfood-times"].axes[0].lines
    }
    assert lines == {
        "fused Fastfood": 1,
        "a streaming pass over the same bytes": 0.5,
        "dense, NumPy with openblas Haswell": 40,
        "dense, NumPy with openblas SkylakeX": 20,
        "torch": 30,
    }
    axes = figures["fastfood-speedups"].axes[0]
    tops = sorted(bar.get_y() + bar.get_height() for bar in axes.patches)
    assert tops == [20, 20, 30, 30, 40, 40]


def test_circulant_times_are_those_of_powers_of_two() -> None:
    kernels = ("openblas Haswell", "openblas SkylakeX")
    figure = drawn({"circulant": circulant_report(kernels)})["circulant-times"]
    assert titles(figure) == [
        "forward, 1 thread",
        "forward, 2 threads",
        "backward, 1 thread",
        "backward, 2 threads",
    ]
    assert "m = 1024 (256 at d = 2048): A Processor" in figure.get_suptitle().replace("\n", " ")
    assert {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines} == {
        "circulant": [[1024, 4], [2048, 4]],
        "fused Fastfood": [[1024, 1], [2048, 1]],
        "dense, NumPy with openblas Haswell": [[1024, 40], [2048, 40]],
        "a streaming pass over the same bytes": [[1024, 0.5], [2048, 0.5]],
        "dense, NumPy with openblas SkylakeX": [[1024, 20], [2048, 20]],
    }


def test_circulant_speedups_are_of_all_lengths_in_order() -> None:
    kernels = ("openblas Haswell", "openblas SkylakeX")
    axes = drawn({"circulant": circulant_report(kernels)})["circulant-speedups"].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1000", "1024", "2048"]
    heights = {
        bars.get_label(): [bar.get_y() + bar.get_height() for bar in bars]
        for bars in axes.containers
    }
    assert heights == {
        "fused Fastfood": [0.25] * 3,
        "dense, NumPy with openblas Haswell": [10] * 3,
        "dense, NumPy with openblas SkylakeX": [5] * 3,
    }
    (targets,) = (each for each in axes.collections if each.get_label().startswith("target"))
    assert [segment[0].tolist() for segment in targets.get_segments()] == [[0.56, 3.8]]


def test_speedups_of_look_up_tables() -> None:
    left, right = drawn({"quantized": quantized_report()})["quantized-speedups"].axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["1 thread", "2 threads"]
    labels = [label.get_text() for label in right.get_xticklabels()]
    assert labels == ["8 x 16", "8 x 256\nshared"]
    heights = {
        bars.get_label(): [bar.get_y() + bar.get_height() for bar in bars]
        for bars in right.containers
    }
    assert heights == {"1 row": [16, 16], "8 rows": [2, 2]}
    (targets,) = (each for each in right.collections if each.get_label().startswith("target"))
    assert [segment[0].tolist() for segment in targets.get_segments()] == [[-0.44, 4]]


def test_roofline_takes_its_roofs_from_the_run() -> None:
    figure = drawn({"fwht": fwht_report(), "fastfood": fastfood_report()})["roofline"]
    roofs, *series = figure.axes[0].lines
    _, (ridge, peak), _ = roofs.get_xydata()
    assert peak == pytest.approx(90 * 8 / 9)  # fwht's dense product is the faster one here
    assert peak / ridge == pytest.approx(16)  # GB/s of the streaming pass
    assert [line.get_label() for line in series] == [
        "fwht, d = 16 to 1024",
        "fused Fastfood forward, d = 512 to 1024",
        "fused Fastfood backward, d = 512 to 1024",
        "sgemm, d = 16 to 1024",
    ]
    np_place = series[1].get_xydata()[0].tolist()
    assert np_place == [3.0, 24.0]


def test_speedups_of_lenet() -> None:
    (left, _) = drawn({"lenet": lenet_report()})["lenet-speedups"].axes
    assert [bar.get_height() for bar in left.patches] == [1.2, 1.4]
    assert [label.get_text() for label in left.get_xticklabels()] == ["LeNet", "deep-fried LeNet"]


def test_errors_of_features_stand_beside_the_theory() -> None:
    figures = drawn({"kernel_approximation": kernel_approximation_report()})
    picture = figures["kernel-approximation-errors"]
    assert titles(picture) == ["gaussian, d = 64", "arc-cosine 1, d = 64"]
    lines = {line.get_label(): line for line in picture.axes[0].lines}
    assert lines["FastfoodFeatures"].get_xydata().tolist() == [[64, 1 / 64], [256, 1 / 256]]
    theory = lines["theory for independent frequencies"]
    assert theory.get_linestyle() == "--" and theory.get_ydata()[0] == 0.9 / 64
    (uniform,) = figures["kernel-approximation-uniform"].axes
    assert "4,000" in uniform.get_title(loc="left") and len(uniform.lines) == 3


def test_times_of_features() -> None:
    figures = drawn({"kernel_approximation": kernel_approximation_report()})
    left, right = figures["kernel-approximation-times"].axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["1 thread", "2 threads"]
    assert {line.get_label(): line.get_ydata().tolist() for line in right.lines} == {
        "FastfoodFeatures": [20, 20],
        "scikit-learn's RBFSampler": [400, 400],
    }
    alone, together = figures["kernel-approximation-digits"].axes
    assert alone.lines[0].get_xydata().tolist() == [[0.25, 5], [0.25, 5]]
    assert together.lines[0].get_xydata().tolist() == [[0.75, 5], [0.75, 5]]
    assert together.lines[1].get_xydata().tolist() == [[0.75, 5]]


def test_nothing_measured_is_nothing_drawn() -> None:
    assert drawn({}) == {}
    for name in ("kernel_approximation", "circulant", "quantized"):
        assert drawn({name: {"machine": {}, "rows": []}}) == {}


def test_the_interpreter_is_this_one(checkout: Path, tmp_path: Path) -> None:
    text = "import sys; from pathlib import Path; Path(sys.argv[2]).write_text(sys.executable)"
    (checkout / "bench_lenet.py").write_text(text)
    assert benchmarks.run_script(checkout, "lenet", tmp_path) == 0
    assert (tmp_path / "lenet.json").read_text() == sys.executable
