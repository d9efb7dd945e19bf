"""The benchmark of the circulant layer runs small, and refuses a layer that computes wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_circulant import CROSSOVER_LENGTHS, JOBS, OTHER_LENGTHS, POWERS, TARGETS, thread_counts
from benchmark_runs import VERDICT, compiled, draws, rows_of, run
from circulant_work import CirculantWork
from fastfood_work import Work, check_all
from harness import WrongResultError

pytestmark = compiled


def test_bench_circulant(tmp_path: Path) -> None:
    printed = run("bench_circulant.py", "--json", tmp_path / "circulant.json")
    assert "crossover" in printed and "targets met" in printed and "threads: Numba 1" in printed
    rows = rows_of(tmp_path / "circulant.json")
    assert rows.keys() == {"forward", "backward", "crossover", "memory"}
    counts = thread_counts()
    for what in ("forward", "backward"):
        assert [(row["d"], row["threads"], row["target"]) for row in rows[what]] == [
            (d, count, 0.9 if (d, count) == (256, 1) else None)
            for d in (256, 300)
            for count in counts
        ]
        for row in rows[what]:
            assert list(row["contenders"]) == ["circulant", "fastfood", "dense", "floor"]
            assert row["speedups"].keys() == {"fastfood", "dense"} and row.keys() >= VERDICT
            assert row["value"] == row["speedups"]["dense"] and row["over_floor"] > 0
            assert row["padded"] == (256 if row["d"] == 256 else 512)
            assert row["fft_threads"] == 1 and row["m"] == 64
    for row in rows["crossover"]:
        assert list(row["speedups"]) == [str(d) for d in CROSSOVER_LENGTHS]
        assert row["of"] in ("forward", "backward") and row["target"] is None
    for row in rows["memory"]:
        assert row["parameter_bytes"] == 4 * 4096 * {"fastfood": 3, "circulant": 1}.get(
            row["layer"], 4096
        )
        assert row["forward_bytes"] >= 0
    pictures = ["circulant-times.png", "circulant-speedups.png"]
    assert draws(tmp_path, "circulant") == pictures


def test_what_is_measured() -> None:
    assert TARGETS.keys() <= set(POWERS) and not set(POWERS) & set(OTHER_LENGTHS)
    assert {800, 1000, 1009, 3000, 9216} == set(OTHER_LENGTHS)
    assert min(CROSSOVER_LENGTHS) == 32 and max(CROSSOVER_LENGTHS) == 512


@pytest.mark.parametrize("d", [1, 12, 35])
def test_the_truth_is_found_without_an_fft(d: int) -> None:
    work = CirculantWork(Work(d, 20))
    for entry in (work.forward(), work.backward()):
        assert check_all({"circulant": entry}, "small")["circulant"] < 1e-6


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.title)
def test_a_wrong_layer_is_refused(job) -> None:
    work = CirculantWork(Work(24, 20))
    entry = job.ours(work)
    work.layer.params["r"][0, 3] += 0.1
    with pytest.raises(WrongResultError, match=r"circulant, wrong: (y|dx): off by"):
        check_all({"circulant": entry}, "wrong")
