"""What is told of a comparison: numbers over seeds, tables, pictures, files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from rich.console import Console
from small_runs import BACKEND, empty_pictures

from fastfood_np import backends
from fastfood_np.experiments import comparison_report as module
from fastfood_np.experiments.comparison import ComparisonSettings, Job
from fastfood_np.experiments.comparison_report import (
    HEADINGS,
    markdown,
    pictures,
    report,
    tables,
)
from fastfood_np.experiments.comparison_statistics import differences, interval, summaries
from fastfood_np.experiments.layer_times import LayerTimes
from fastfood_np.experiments.networks import LENET
from fastfood_np.plotting import GREY
from fastfood_np.training import error_interval

pytestmark = pytest.mark.filterwarnings("error")

TESTED = 10_000
LAYERS, BUDGETS = ("circulant", "dense"), (2000, 6656)
KEYS = [("reference", None), *((layer, budget) for budget in BUDGETS for layer in LAYERS)]
TIMES = {key: LayerTimes(1e-3 + 1e-6 * i, 2e-3) for i, key in enumerate(KEYS)}


def settings(**given: Any) -> ComparisonSettings:
    known: dict[str, Any] = {"data": "/home/someone/mnist", "layers": LAYERS, "budgets": BUDGETS}
    return ComparisonSettings("mnist", **known | {"seeds": 3, "steps": 5} | given)


def run(job: Job, error: float | None, seconds: float = 1.0) -> dict[str, Any]:
    weights = job.budget or 405_000
    numbers = {"n_out": 7, "head_weights": weights, "weights": weights + 25_500}
    row = {**job._asdict(), **numbers, "head_bytes": 4 * weights}
    return row | {"test_error": error, "train_seconds": seconds}


def runs(errors: Any = (0.7, 0.8, 0.75), **given: Any) -> list[dict[str, Any]]:
    return [run(job, errors[job.seed], 1.0 + job.seed**2) for job in settings(**given).jobs]


def results(rows: list[dict[str, Any]], **given: Any) -> dict[str, Any]:
    """Return what results.json holds, but for measured times."""
    return {
        **{"dataset": "mnist", "network": "LeNet", "conv_relu": False, "augment": False},
        **{"trained_steps": 5000, "batch": 64, "seeds": 3},
        "rows": summaries(settings(**given), rows, TIMES, TESTED),
        "differences": differences(rows),
        "times": [
            {"layer": layer, "d": d, "forward_us": 1.0 * d, "training_us": 3.0 * d}
            for layer in LAYERS
            for d in (128, 256)
        ],
    }


# ---------------------------------------------------------------------------------- numbers


def test_student_t_by_hand() -> None:
    """Mean 0.75, deviation 0.05; 2 degrees of freedom: t = 4.302653 (tables: 4.303)."""
    half = 4.302652729911275 * 0.05 / math.sqrt(3)
    assert interval([0.7, 0.8, 0.75], TESTED, 3) == pytest.approx([0.75 - half, 0.75 + half])
    # One degree of freedom: t is the tangent of 0.475 pi; the deviation of 1 and 3 is sqrt(2).
    half = math.tan(0.475 * math.pi)
    assert interval([1.0, 3.0], TESTED, 3) == pytest.approx([2 - half, 2 + half])
    assert interval([0.5, 0.5, 0.5], TESTED, 3) == [0.5, 0.5]


@pytest.mark.parametrize(("error", "tested", "wrong"), [(0.87, 10_000, 87), (85.0, 20, 17)])
def test_one_seed_is_wilsons(error: float, tested: int, wrong: int) -> None:
    assert interval([error], tested, 1) == list(error_interval(wrong, tested))


def test_no_interval_of_a_single_survivor() -> None:
    assert interval([0.8], TESTED, 3) is None and interval([], TESTED, 1) is None


def test_differences_by_hand() -> None:
    """Six pairs: 0.1, 0.2, 0.3 twice. Their deviation is 0.1 sqrt(4 / 5); t of 5 is 2.570582."""
    rows = runs((0.7, 0.8, 0.6))
    for row in rows:
        if row["layer"] == "circulant":
            row["test_error"] += 0.1 * (1 + row["seed"])
    (found,) = differences(rows)
    assert (found["layer"], found["against"], found["pairs"]) == ("circulant", "dense", 6)
    half = 2.5705818356 * 0.1 * math.sqrt(4 / 5) / math.sqrt(6)
    assert found["difference"] == pytest.approx(0.2)
    assert found["interval"] == pytest.approx([0.2 - half, 0.2 + half])
    text = markdown(results(rows))
    assert f"| circulant | 6 | +0.20 points | {0.2 - half:+.2f} to {0.2 + half:+.2f} |" in text
    assert "**against dense, all budgets**" in text


def test_the_terminal_has_the_differences_too() -> None:
    rows = runs((0.7, 0.8, 0.6))
    for row in rows:
        if row["layer"] == "circulant":
            row["test_error"] += 0.1 * (1 + row["seed"])
    *_, last = tables(results(rows))
    console = Console(width=120)
    with console.capture() as capture:
        console.print(last)
    printed = capture.get()
    assert "against dense, all budgets" in printed and "+0.20 points" in printed


def test_differences_need_two_layers_and_two_pairs() -> None:
    rows = runs()
    assert differences([row for row in rows if row["layer"] != "dense"]) == []
    assert differences([row for row in rows if row["budget"] in (None, 2000)][:3]) == []
    rows[1]["test_error"] = None  # one of circulant diverged
    assert differences(rows) == []


def test_summaries() -> None:
    rows = summaries(settings(), runs(), TIMES, TESTED)
    assert [(row["layer"], row["budget"]) for row in rows] == KEYS
    for key, row in zip(KEYS, rows, strict=True):
        assert (row["runs"], row["diverged"], row["n_out"]) == (3, 0, 7)
        assert row["test_error"] == pytest.approx(0.75)
        assert row["interval"] == pytest.approx([0.6257929, 0.8742071], abs=1e-6)
        assert row["train_seconds"] == 2.0  # the median of 1, 2, 5
        assert row["forward_us"] == pytest.approx(1e6 * TIMES[key].forward)
        assert row["training_us"] == pytest.approx(2000)
        assert row["head_bytes"] == 4 * row["head_weights"] == 4 * (row["budget"] or 405_000)
    json.dumps(rows)


def test_some_and_all_diverged() -> None:
    rows = runs((None, 0.8, None))
    for row in rows:
        if row["layer"] == "dense":
            row["test_error"] = None
    found = {
        (row["layer"], row["budget"]): row for row in summaries(settings(), rows, TIMES, TESTED)
    }
    assert found["circulant", 2000]["diverged"] == 2
    assert found["circulant", 2000]["test_error"] == 0.8
    assert found["circulant", 2000]["interval"] is None
    dense = found["dense", 6656]
    assert (dense["runs"], dense["diverged"]) == (3, 3)
    assert dense["test_error"] is None and dense["interval"] is None


def test_what_was_not_run_has_no_row() -> None:
    rows = summaries(settings(reference=False), runs(reference=False)[:3], TIMES, TESTED)
    assert [(row["layer"], row["budget"]) for row in rows] == KEYS[1:4]


# ----------------------------------------------------------------------------------- tables


def test_markdown_has_a_row_a_layer() -> None:
    text = markdown(results(runs(reference=True)) | {"differences": []})
    lines = [line for line in text.splitlines() if line.startswith("|")]
    parts = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(cells) for cells in parts} == {len(HEADINGS)}
    body = [cells for cells in parts if cells[0] not in ("layer", "---")]
    assert [cells[0] for cells in body] == [layer for layer, _ in KEYS]
    reference = "reference 7 405,000 430,500 1,620,000 0.75 % 0.63 to 0.87 % 1,000 us 2,000 us 2 s"
    assert " ".join(body[0]) == reference
    titles = [line for line in text.splitlines() if line.startswith("**")]
    assert titles == [
        "**the network's own layer**",
        "**at most 2,000 weights in the head**",
        "**at most 6,656 weights in the head**",
    ]
    assert text.endswith(module.NOTE + "\n")


def test_cells_of_diverged_runs() -> None:
    some, none = runs((None, 0.8, 0.6)), runs((None, None, None))
    assert "0.70 % (1 of 3 diverged)" in markdown(results(some))
    text = markdown(results(none))
    assert "| diverged | - |" in text and "of 3 diverged" not in text
    # An interval that goes below nothing, or above all, is cut there.
    assert "0.00 to" in markdown(results(runs((0.1, 1.9, 0.2))))
    assert "to 100.00 %" in markdown(results(runs((60.0, 90.0, 99.0))))


def test_tables_of_the_terminal_are_not_cut() -> None:
    rows = runs((None, 80.0, 60.0))
    for row in rows:
        row["train_seconds"] += 1e4
    found = list(tables(results(rows)))
    assert [table.row_count for table in found] == [1, 2, 2]
    console = Console(width=120)
    with console.capture() as capture:
        for table in found:
            console.print(table)
    printed = capture.get()
    assert "…" not in printed
    # In a line of its own where the line is full.
    assert printed.count("70.00 % (1 of") == printed.count("diverged)") == 5
    for heading in (*HEADINGS, "1,620,000", "10002 s"):
        assert heading in printed


# --------------------------------------------------------------------------------- pictures


def test_pictures() -> None:
    found = pictures(results(runs()))
    assert found.keys() == {"error-against-weights", "time-against-d"}
    assert all(isinstance(picture, Figure) for picture in found.values())
    (errors,) = found["error-against-weights"].axes
    assert len(errors.containers) == len(LAYERS)
    assert [container.get_label() for container in errors.containers] == list(LAYERS)
    legend = [text.get_text() for text in errors.get_legend().get_texts()]
    assert sorted(legend) == ["circulant", "dense", "reference, 405,000 weights"]
    (line,) = [line for line in errors.lines if line.get_color() == GREY]
    assert set(line.get_ydata()) == {0.75}
    assert [tick.get_text() for tick in errors.get_xticklabels()] == ["2,000", "6,656"]
    for times, factor in zip(found["time-against-d"].axes, (1, 3), strict=True):
        assert [line.get_label() for line in times.lines] == list(LAYERS)
        for line in times.lines:
            assert line.get_xydata().tolist() == [[d, 1e-3 * factor * d] for d in (128, 256)]


@pytest.mark.parametrize("errors", [(None, None, None), (0.0, 0.0, 0.0), (None, 100.0, 0.0)])
def test_pictures_of_odd_runs(errors: Any, tmp_path: Path) -> None:
    for picture in pictures(results(runs(errors))).values():
        picture.savefig(tmp_path / "picture.png")
    for picture in pictures(results(runs(errors)[1:2])).values():
        picture.savefig(tmp_path / "picture.png")


def test_titles_name_the_network() -> None:
    stored = results(runs()) | {"conv_relu": True}
    title = pictures(stored)["error-against-weights"].get_suptitle().replace("\n", " ")
    assert title.endswith("LeNet, ReLU convolutions, mnist, 5,000 steps of 64 images, seeds 0 to 2")


# ------------------------------------------------------------------------------------ files


def test_report(tmp_path: Path) -> None:
    """Layers are timed, and nothing that is written names a folder."""
    given = {"layers": ("dense",), "budgets": (2000,), "seeds": 1}
    with backends.using(BACKEND), empty_pictures():
        found = report(settings(**given), LENET, runs(**given), (640, TESTED), tmp_path, (16, 32))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "error-against-weights.png",
        "results.json",
        "table.md",
        "time-against-d.png",
    ]
    text = (tmp_path / "results.json").read_text()
    assert json.loads(text) == json.loads(json.dumps(found))
    assert "someone" not in text and str(tmp_path) not in text
    assert (tmp_path / "table.md").read_text() == markdown(found)
    assert [(row["layer"], row["budget"]) for row in found["rows"]] == [KEYS[0], ("dense", 2000)]
    assert [(row["layer"], row["d"]) for row in found["times"]] == [("dense", 16), ("dense", 32)]
    for row in (*found["rows"], *found["times"]):
        assert row["forward_us"] > 0 and row["training_us"] > 0
    assert found["runs"] == runs(**given)
