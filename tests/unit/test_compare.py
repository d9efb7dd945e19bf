"""compare as a user calls it: what it prints, writes, goes on with, and how it is stopped."""

from __future__ import annotations

import json
import multiprocessing
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from small_runs import (
    contents,
    empty_pictures,
    main,
    needs_compiled_kernels,
    start,
    write_small_cifar10,
    write_small_set,
)

from fastfood_np.datasets import load
from fastfood_np.experiments import comparison_run
from fastfood_np.experiments.comparison import train

OPTIONS = ("--steps", "2", "--batch", "8", "--layers", "circulant,dense", "--budgets", "2000")
FILES = ["error-against-weights.png", "results.json", "runs.json", "table.md", "time-against-d.png"]
JOBS: list[Any] = [("reference", None, 0), ("dense", 2000, 0), ("circulant", 2000, 0)]


@pytest.fixture(scope="module", autouse=True)
def short_lengths() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison_run, "LENGTHS", (16, 32))
        yield


def one_after_the_other(
    train: Any, settings: Any, jobs: Any, data: Any, processes: int, interrupted: Any
) -> Iterator[Any]:
    """Do the jobs in this process; kernels in plain Python are too slow in another one."""
    dataset = load(*data)
    for job in jobs:
        result = train(settings, dataset, job, interrupted)
        if result is not None:
            yield result


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(comparison_run, "results", one_after_the_other)
    with empty_pictures():
        yield


quick = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Count what is asked for; nothing is trained."""
    asked: list[Any] = []

    def counted(train: Any, settings: Any, jobs: Any, *others: Any) -> Iterator[Any]:
        asked.extend(jobs)
        return iter(())

    monkeypatch.setattr(comparison_run, "results", counted)
    return asked


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small data set in "data" and a finished comparison in "run"."""
    folder = tmp_path_factory.mktemp("compare")
    data = write_small_set(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison_run, "results", one_after_the_other)
        arguments = ("--data", data, *OPTIONS, "--seeds", "1", "--out", folder / "run")
        assert main("compare", *arguments) == 0
    return folder


def stored_runs(folder: Path) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads((folder / "runs.json").read_text())["runs"]
    return runs


def jobs_of(runs: list[dict[str, Any]]) -> list[tuple[str, int | None, int]]:
    return [(run["layer"], run["budget"], run["seed"]) for run in runs]


def without_times(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs in the order of the jobs, without what a clock measured."""
    kept = [{key: run[key] for key in run if key != "train_seconds"} for run in runs]
    return sorted(kept, key=lambda run: JOBS.index((run["layer"], run["budget"], run["seed"])))


def copy_of(place: Path, folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Return a folder with runs.json alone, as `change` leaves it."""
    folder.mkdir()
    stored = json.loads((place / "run" / "runs.json").read_text())
    change(stored)
    (folder / "runs.json").write_text(json.dumps(stored))
    return folder


def test_what_is_written(place: Path) -> None:
    assert sorted(path.name for path in (place / "run").iterdir()) == FILES
    assert jobs_of(stored_runs(place / "run")) == JOBS
    text = (place / "run" / "results.json").read_text()
    results = json.loads(text)
    assert (results["dataset"], results["network"]) == ("mnist", "LeNet")
    assert (results["steps"], results["seeds"]) == (2, 1)
    assert [(row["layer"], row["d"]) for row in results["times"]] == [
        (layer, d) for layer in ("dense", "circulant") for d in (16, 32)
    ]
    assert str(place) not in text
    assert [row["layer"] for row in results["rows"]] == ["reference", "dense", "circulant"]
    for name in ("error-against-weights", "time-against-d"):
        picture = matplotlib.image.imread(place / "run" / f"{name}.png")
        assert min(picture.shape[:2]) > 400 and np.ptp(picture[..., :3]) > 0.5


@quick
def test_what_is_printed(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--data", place / "data", *OPTIONS, "--seeds", 1, "--out", tmp_path / "a run")
    assert main("compare", *arguments) == 0
    printed, errors = capsys.readouterr()
    assert errors == "" and "\r" not in printed and "\x1b" not in printed
    done = re.findall(r"^ +(\d) of 3  (.*), seed 0: (?:\d+\.\d\d %) in \d+ s$", printed, re.M)
    assert done == [("1", "reference"), ("2", "dense at 2,000"), ("3", "circulant at 2,000")]
    assert "at most 2,000 weights in the head" in printed and "Student's t" in printed
    assert f"time-against-d.png are in {tmp_path / 'a run'}.\n" in printed
    table = (tmp_path / "a run" / "table.md").read_text()
    assert len(re.findall(r"^\| (reference|dense|circulant) ", table, re.M)) == 3


@needs_compiled_kernels
def test_in_processes_of_their_own(place: Path, tmp_path: Path) -> None:
    """The results are those of one process."""
    before = set(multiprocessing.active_children())
    arguments = ("--data", place / "data", *OPTIONS, "--seeds", 1, "--processes", 2)
    with empty_pictures():
        assert main("compare", *arguments, "--out", tmp_path / "run") == 0
    ours, theirs = stored_runs(tmp_path / "run"), stored_runs(place / "run")
    assert without_times(ours) == without_times(theirs)
    assert set(multiprocessing.active_children()) <= before


@quick
def test_colour_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_small_cifar10(tmp_path / "data")
    arguments = ("--dataset", "cifar10", "--data", data, *OPTIONS, "--seeds", 1, "--augment")
    assert main("compare", *arguments, "--steps", 1, "--out", tmp_path / "run") == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (results["dataset"], results["network"]) == ("cifar10", "cifar10_quick")
    reference, dense, circulant = results["rows"]
    assert (reference["weights"], reference["head_weights"]) == (145_376, 65_536 + 640)
    assert dense["weights"] == 79_200 + 1034 and circulant["head_weights"] == 1024 + 97 * 10


@quick
def test_divergence_is_told(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--layers", "dense", "--lr", "1e30", "--no-reference", "--steps", 9)
    arguments = ("--data", place / "data", *OPTIONS, *options, "--seeds", 2)
    with np.errstate(all="ignore"):
        assert main("compare", *arguments, "--out", tmp_path / "run") == 0
    printed = capsys.readouterr().out
    assert printed.count("dense at 2,000, seed") == printed.count(": diverged in") == 2
    assert [run["test_error"] for run in stored_runs(tmp_path / "run")] == [None, None]


# ---------------------------------------------------------------------------------- go on


@pytest.mark.usefixtures("in_this_process")
def test_a_finished_comparison_is_reported_again(
    place: Path, tmp_path: Path, no_training: list[Any]
) -> None:
    out = copy_of(place, tmp_path / "run", lambda stored: None)
    assert main("compare", "--resume", out) == 0
    assert no_training == []
    assert sorted(contents(out)) == FILES
    assert stored_runs(out) == stored_runs(place / "run")
    ours, theirs = (
        json.loads((folder / "results.json").read_text())["runs"] for folder in (out, place / "run")
    )
    assert ours == theirs


@quick
@pytest.mark.parametrize("number", range(3))
def test_one_run_is_missing(
    place: Path, tmp_path: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy_of(place, tmp_path / "run", lambda stored: stored["runs"].pop(number))
    assert main("compare", "--resume", out, "--data", place / "data") == 0
    whole = stored_runs(place / "run")
    assert jobs_of(stored_runs(out)) == [*JOBS[:number], *JOBS[number + 1 :], JOBS[number]]
    assert without_times(stored_runs(out)) == without_times(whole)
    printed = capsys.readouterr().out
    assert printed.count(" of 3 ") == 1 and f"  3 of 3  {JOBS[number][0]}" in printed


@quick
def test_into_another_folder(place: Path, tmp_path: Path, no_training: list[Any]) -> None:
    before = contents(place / "run")
    other = tmp_path / "other"
    assert main("compare", "--resume", place / "run", "--seeds", 1, "--out", other) == 0
    assert contents(place / "run") == before and no_training == []
    assert stored_runs(other) == stored_runs(place / "run")


def test_the_folder_is_not_another_ones(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy_of(place, tmp_path / "mine", lambda stored: None)
    before = contents(tmp_path)
    assert main("compare", "--resume", place / "run", "--out", out) == 2
    assert "argument --out:" in capsys.readouterr().err and contents(tmp_path) == before


def test_other_data(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = copy_of(place, tmp_path / "run", lambda stored: stored.update(data=1))
    before = contents(tmp_path)
    assert main("compare", "--resume", out) == 2
    error = capsys.readouterr().err
    assert "the data must be those of the comparison resumed, of checksum 1, got" in error
    assert contents(tmp_path) == before


# ----------------------------------------------------------------------------------- stops


@quick
def test_ctrl_c_keeps_what_is_finished(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the middle of the third run; gone on with, all is as if it had not been."""
    out = tmp_path / "a run"

    def pressed(settings: Any, dataset: Any, job: Any, stopped: Any) -> Any:
        if job.layer == JOBS[2][0]:
            signal.raise_signal(signal.SIGINT)
        return train(settings, dataset, job, stopped)

    monkeypatch.setattr(comparison_run, "train", pressed)
    arguments = ("--data", place / "data", *OPTIONS, "--seeds", 1, "--out", out)
    assert main("compare", *arguments) == 130
    hint = f"fastfood-np compare: stopped; go on with: fastfood-np compare --resume '{out}'\n"
    assert capsys.readouterr().err == hint
    assert [path.name for path in out.iterdir()] == ["runs.json"]
    assert without_times(stored_runs(out)) == without_times(stored_runs(place / "run")[:2])
    monkeypatch.setattr(comparison_run, "train", train)
    assert main("compare", "--resume", out) == 0
    assert without_times(stored_runs(out)) == without_times(stored_runs(place / "run"))


@quick
def test_a_process_that_dies(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dies(*arguments: Any) -> Any:
        raise BrokenProcessPool("killed")

    monkeypatch.setattr(comparison_run, "train", dies)
    arguments = ("--data", place / "data", *OPTIONS, "--seeds", 1, "--out", tmp_path / "run")
    assert main("compare", *arguments) == 1
    assert capsys.readouterr().err == (
        "fastfood-np compare: a training process ended unasked, perhaps for lack of memory "
        "(--processes 1?); go on with: "
        f"fastfood-np compare --resume {tmp_path / 'run'}\n"
    )
    assert stored_runs(tmp_path / "run") == []


@needs_compiled_kernels
def test_the_signal_itself(place: Path, tmp_path: Path) -> None:
    """Of six runs, some are finished and one is under way in a process of its own."""
    out = tmp_path / "run"
    given = ("--data", place / "data", *OPTIONS, "--no-reference", "--steps", 300, "--seeds", 3)
    process = start("compare", *given, "--processes", 1, "--out", out)
    deadline = time.monotonic() + 120
    while not (out / "runs.json").exists() or not stored_runs(out):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    go_on = f"go on with: fastfood-np compare --resume {out}\n"
    assert errors == f"fastfood-np compare: stopped; {go_on}"
    runs = stored_runs(out)
    assert 1 <= len(runs) < 6 and printed.count(" of 6 ") == len(runs)
    assert [path.name for path in out.iterdir()] == ["runs.json"]
