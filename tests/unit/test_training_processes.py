"""Jobs in processes of their own: results, errors, stops; no process outlives them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pytest
from process_jobs import JobError, do
from small_runs import write_small_set

from fastfood_np.experiments.training_processes import results


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    before = set(multiprocessing.active_children())  # joblib's may wait for further work, or end
    yield
    assert set(multiprocessing.active_children()) <= before


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


PROGRAM = """
import sys
from process_jobs import do
from fastfood_np.experiments.training_processes import results
if __name__ == "__main__":
    settings = {"note": "", "folder": sys.argv[1]}
    list(results(do, settings, ["pid", "wait"], ("mnist", sys.argv[1] + "/data"), 1, lambda: False))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_nobody_outlives_a_killed_parent(tmp_path: Path) -> None:
    write_small_set(tmp_path / "data", train=7)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    paths = [str(Path(__file__).parents[1]), *sys.path]
    parent = subprocess.Popen(
        [sys.executable, str(program), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    try:
        assert within(60, (tmp_path / "waiting").exists)
    finally:
        parent.kill()
        parent.wait()
    child = int((tmp_path / "pid").read_text())
    assert within(20, lambda: not alive(child))


def within(seconds: float, happened: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.05)
    return happened()


def alive(process: int) -> bool:
    """Whether it runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False
