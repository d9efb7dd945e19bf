"""The benchmarks' own parts: a wrong harness shows wrong speeds."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import coretype
import harness
import numba
import numpy as np
import others
import pytest
from bench_fwht import target
from crossover import crossover
from harness import (
    Contender,
    WrongResultError,
    check,
    in_threads,
    option_parser,
    paired_ratio,
    repetitions,
    take_turns,
    threads,
    touch,
    wait_for_idle_threads,
)
from optional import imported
from report import Table, figures, print_verdict, read_rows, save_report, verdict
from threadpoolctl import threadpool_info


def test_paired_ratio_is_the_median_of_quotients() -> None:
    assert paired_ratio([2.0, 30.0, 4.0], [1.0, 10.0, 4.0]) == 2.0
    assert paired_ratio([1.0], [4.0]) == 0.25
    with pytest.raises(ValueError):
        paired_ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("seconds", "shortest", "count"),
    [(1e-3, 1e-3, 1), (2.0, 1e-3, 1), (3e-4, 1e-3, 4), (1e-9, 1e-3, 10_000), (1e-6, 0.0, 1)],
)
def test_short_runs_are_repeated(seconds: float, shortest: float, count: int) -> None:
    assert repetitions(seconds, shortest) == count


class TestCheck:
    truth = np.array([1.0, -4.0, 2.0])

    def test_returns_the_error_relative_to_the_largest_entry(self) -> None:
        assert check("ours", self.truth, self.truth) == 0
        assert check("ours", self.truth + np.array([0, 0, 4e-14]), self.truth) == pytest.approx(
            1e-14, 0.05
        )
        assert check("ours", np.float32(self.truth), self.truth) == 0

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("wrong", [1e-4, np.nan, np.inf])
    def test_refuses_a_wrong_result(self, wrong: float, dtype: type) -> None:
        result = self.truth.astype(dtype)
        result[2] += wrong
        with pytest.raises(WrongResultError, match=r"ours: off by .* of the largest true float"):
            check("ours", result, self.truth)

    def test_refuses_another_shape(self) -> None:
        with pytest.raises(WrongResultError, match=r"shape \(1, 3\) where \(3,\) is right"):
            check("ours", self.truth[None], self.truth)


class TestTurns:
    def test_contenders_rotate_each_prepared_in_its_own_context(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(harness, "wait_for_idle_threads", lambda: events.append("wait"))
        monkeypatch.setattr(harness, "LONGEST_WARM_UP", 0.0)
        events: list[str] = []

        @contextmanager
        def context() -> Iterator[None]:
            events.append("(")
            yield
            events.append(")")

        contenders = {
            "a": Contender(lambda: events.append("a"), lambda: events.append("A"), context),
            "b": Contender(lambda: events.append("b")),
        }
        timings = take_turns(contenders, 3, shortest_turn=0.0)
        warm_up, turn = ["(", "A", "a", "A", "a", ")", "b", "b"], ["wait", "(", "A", "a", ")"]
        assert events == warm_up + 3 * [*turn, "wait", "b"]
        assert {name: len(seconds) for name, seconds in timings.seconds.items()} == {"a": 3, "b": 3}
        assert timings.repetitions == 1

    def test_short_contenders_run_once_untimed_before_each_turn(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(harness.numba, "get_num_threads", lambda: 1)
        runs: list[str] = []
        contender = Contender(lambda: runs.append("run"), lambda: runs.append("prepare"))
        take_turns({"a": contender}, 2, shortest_turn=0.0)
        assert runs == ["prepare", "run"] * 2 + ["prepare", "run", "prepare", "run"] * 2

    def test_all_are_repeated_as_often_as_the_fastest_needs(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(harness.numba, "get_num_threads", lambda: 1)
        counts = {"fast": 0, "slow": 0}
        now = 0.0

        def run(name: str, seconds: float) -> None:
            nonlocal now
            counts[name] += 1
            now += seconds

        monkeypatch.setattr(time, "perf_counter", lambda: now)
        monkeypatch.setattr(harness, "wait_for_idle_threads", lambda: None)
        contenders = {
            "fast": Contender(lambda: run("fast", 0.001)),
            "slow": Contender(lambda: run("slow", 0.004)),
        }
        timings = take_turns(contenders, 5, shortest_turn=0.0025)
        assert timings.repetitions == 3
        assert counts["fast"] == counts["slow"] == 2 + 5 * (1 + 3)
        assert timings.median("fast") == pytest.approx(0.001)
        assert timings.ratio("slow", "fast") == pytest.approx(4)

    def test_several_threads_are_given_time_to_spread(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(harness.numba, "get_num_threads", lambda: 2)
        runs: list[float] = []
        take_turns({"a": Contender(lambda: runs.append(time.perf_counter()))}, 1, shortest_turn=0.0)
        assert runs[-1] - runs[2] >= harness.SPREADING

    def test_waiting_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wait_for_idle_threads()
        monkeypatch.setattr(harness, "LONGEST_SPIN", 0.01)
        ticks = iter(range(1000))
        monkeypatch.setattr(time, "process_time", lambda: float(next(ticks)))  # always busy
        started = time.perf_counter()
        wait_for_idle_threads()
        assert time.perf_counter() - started < 1


def test_threads_are_set_everywhere_and_back() -> None:
    def counts() -> list[int]:
        return [numba.get_num_threads(), *(each["num_threads"] for each in threadpool_info())]

    before = counts()
    with threads(1):
        assert set(counts()) == {1}
    assert counts() == before
    assert (in_threads(1), in_threads(2)) == ("1 thread", "2 threads")


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="told by Linux only")
def test_work_of_others_is_told_from_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([(10.0, 1.0, 0.0), (12.5, 1.5, 4.0)])  # of all, of ours, of the clock
    monkeypatch.setattr(others, "_busy_own_now", lambda: next(moments))
    assert others.Others().cpus() == pytest.approx(0.5)
    monkeypatch.undo()
    measured = others.Others()
    busy = time.perf_counter() + 0.2
    while time.perf_counter() < busy:
        pass
    ours_not_counted = measured.cpus()
    assert ours_not_counted is not None and 0 <= ours_not_counted < 2 * (os.cpu_count() or 1)
    monkeypatch.setattr(others, "_busy_own_now", lambda: None)
    assert others.Others().cpus() is None


def test_touch_changes_nothing() -> None:
    array = np.arange(3.0)
    touch(array, array[::-1])
    np.testing.assert_array_equal(array, [0, 1, 2])


@pytest.mark.parametrize(
    ("form", "dtype", "targets"),
    [
        ("avx512", "float32", [1.8, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.5]),
        ("avx512", "float64", [1.25, 1.25, 1.25, 2.0, 2.0, 2.0, 1.25, 1.25]),
        ("avx2", "float32", [None, None, 1.25, 1.25, 1.25, 1.25, None, None]),
        ("avx2", "float64", [None] * 8),
        ("plain", "float32", [None, None, None, 0.8, 0.8, 0.8, 0.8, 0.8]),
        ("plain", "float64", [None] * 8),
    ],
)
def test_targets_of_fwht(form: str, dtype: str, targets: list[float | None]) -> None:
    lengths = (16, 64, 256, 1024, 4096, 16384, 65536, 1 << 20)
    assert [target(dtype, d, form) for d in lengths] == targets


@pytest.mark.parametrize(
    ("speedups", "smallest"),
    [
        ({8: 0.5, 16: 1.0, 32: 2.0}, 16),
        ({8: 1.5, 16: 0.9, 32: 2.0}, 32),
        ({8: 3.0, 16: 2.0, 32: 0.99}, None),
        ({8: 1.0}, 8),
    ],
)
def test_crossover(speedups: dict[int, float], smallest: int | None) -> None:
    assert crossover(speedups) == smallest


@pytest.mark.parametrize(
    ("asked", "vectors", "blas", "child"),
    [
        (None, "avx512", "openblas Haswell", "SkylakeX"),
        (None, "avx512", "openblas SkylakeX", None),
        (None, "avx2", "openblas Haswell", None),
        ("none", "avx512", "openblas Haswell", None),
        ("Zen", "avx2", "openblas Haswell", "Zen"),
    ],
)
def test_when_another_blas_kernel_is_asked_for(
    asked: str | None,
    vectors: str,
    blas: str,
    child: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(coretype, "natural_vectors", lambda: vectors)
    assert coretype.coretype_of_child(asked, blas) == child
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")  # this is the child, or the user chose
    assert coretype.coretype_of_child(asked, blas) is None


def test_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        verdict("fast", 2.5, 2.0),
        verdict("slow", 1.5, 2.0),
        verdict("cheap", 2.0, 3.0, at_most=True),
        verdict("dear", 4.0, 3.0, at_most=True),
        verdict("alone", None, 2.0),
        verdict("no target", 2.0, None),
    ]
    assert [row["met"] for row in rows] == [True, False, True, False, None, None]
    print_verdict([*rows, {"cpus_of_others": 0.05}, {"cpus_of_others": None}])
    told = "\n2 of 4 targets met:\n  slow: 1.5, target 2\n  dear: 4, target 3\n"
    assert capsys.readouterr().out == told
    print_verdict([*rows, {"cpus_of_others": 0.5}, {"cpus_of_others": 0.9}])
    assert capsys.readouterr().out == (
        told + "Other processes kept up to 0.9 CPUs busy meanwhile.\n"
    )
    print_verdict([])


def test_figures() -> None:
    contenders = {
        "ours": Contender(lambda: None, flop=6e9, moved=2e9),
        "theirs": Contender(lambda: None),
    }
    seconds = {"ours": [2.0, 1.0, 9.0], "theirs": [4.0, 4.0, 4.0]}
    rows = figures(contenders, harness.Timings(seconds, 1), 10**9, {"ours": 1e-7})
    assert rows["ours"] == {
        "seconds": 2.0,
        "ns_per_element": 2.0,
        "gb_per_s": pytest.approx(1.0),
        "gflop_per_s": pytest.approx(3.0),
        "flop_per_byte": 3.0,
        "error": 1e-7,
    }
    assert rows["theirs"] == {"seconds": 4.0, "ns_per_element": 4.0}


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("Title", [("d", "d"), ("x floor", ".2f"), ("a long heading", "s")])
    table.row(16, 1.234, "avx2")
    table.row(1 << 20, None, "plain")
    title, *lines = capsys.readouterr().out.strip().splitlines()
    assert title == "Title"
    assert [line.split() for line in lines[1:]] == [
        ["16", "1.23", "avx2"],
        ["1048576", "-", "plain"],
    ]
    assert len({len(line) for line in lines}) == 1


def test_report(tmp_path: Path) -> None:
    save_report(None, "none", [])
    save_report(tmp_path / "some.json", "some", [{"d": 16}])
    assert read_rows(tmp_path / "some.json") == [{"d": 16}]
    assert [path.name for path in tmp_path.iterdir()] == ["some.json"]


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (["--turns", "0"], "must be an integer of at least 1, got '0'"),
        (["--turns", "x"], "must be an integer of at least 1, got 'x'"),
        (["--json", "nowhere/at/all.json"], "no such folder: nowhere/at"),
    ],
)
def test_wrong_options(
    arguments: list[str], saying: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        option_parser("").parse_args(arguments)
    assert end.value.code == 2 and saying in capsys.readouterr().err


def test_options() -> None:
    assert option_parser("").parse_args([]) == argparse.Namespace(smoke=False, turns=15, json=None)


def test_packages_may_be_missing() -> None:
    assert imported("numpy") is np
    assert imported("no_such_package_at_all") is None
