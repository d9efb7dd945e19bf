"""Jobs in processes of their own: results, errors, stops; no process outlives them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pytest
from process_jobs import JobError, do
from small_runs import write_small_set

from fastfood_np.experiments.training_processes import results


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    assert multiprocessing.active_children() == []
    yield
    assert multiprocessing.active_children() == []


def never() -> bool:
    return False


def run(folder: Path, jobs: list[Any], processes: int = 1, interrupted: Any = never) -> list[Any]:
    """Return what comes back; every process loads the data set in `folder`."""
    write_small_set(folder / "data", train=7)
    settings = {"note": "a note", "folder": str(folder)}
    data = "mnist", str(folder / "data")
    return list(results(do, settings, jobs, data, processes, interrupted))


def test_results(tmp_path: Path) -> None:
    """All of them, one process for many jobs, in which the set is loaded."""
    found = run(tmp_path, [1, 2, 3, 4])
    assert sorted(row[0] for row in found) == [1, 2, 3, 4]
    assert {row[1:4] for row in found} == {("a note", "mnist", 7)}
    (process,) = {row[4] for row in found}
    assert process != os.getpid()


def test_nothing_to_do(tmp_path: Path) -> None:
    assert run(tmp_path, []) == []


def test_an_error_reaches_the_caller_and_stops_the_others(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="with a note"):
        run(tmp_path, ["wait", "fail", 1, 2], processes=2)


def test_a_process_that_dies(tmp_path: Path) -> None:
    with pytest.raises(BrokenExecutor):
        run(tmp_path, ["die", 1])


def test_interrupted(tmp_path: Path) -> None:
    """What comes to its end all the same is kept, what waits is not begun."""
    found = run(
        tmp_path,
        [1, "end at the stop", "wait", 2],
        interrupted=lambda: (tmp_path / "waiting").exists(),
    )
    assert [row[0] for row in found[:1]] == [1] and found[1:] == ["ended"]


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals are not held back")
def test_ctrl_c_is_the_parents(tmp_path: Path) -> None:
    """A terminal sends it to all processes, to one that only just begins too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    ((blocked, handler),) = run(tmp_path, ["signals"])
    assert signal.SIGINT in blocked and handler == signal.SIG_IGN
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_left_alone_the_jobs_are_stopped(tmp_path: Path) -> None:
    """A caller that takes one result and no more."""
    write_small_set(tmp_path / "data")
    settings = {"note": "", "folder": str(tmp_path)}
    source = results(do, settings, [1, "wait", 2], ("mnist", str(tmp_path / "data")), 1, never)
    assert next(source)[0] == 1
    source.close()
