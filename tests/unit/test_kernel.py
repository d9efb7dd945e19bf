"""Kernels: who does which units, what is compiled when, and when threads are used."""

import os
import threading

import numba
import numpy as np
import pytest

from fastfood_np.backends.cpu import jit, kernel
from fastfood_np.backends.cpu.kernel import Kernel, usual
from fastfood_np.backends.cpu.simd import EIGHT, FOUR, ONE, TWO

LARGE = 1 << 30
COUNT = ONE

compiled_only = pytest.mark.skipif(jit.disabled(), reason="nothing is compiled")


@pytest.fixture
def four_threads(monkeypatch):
    """Let work be shared out among four, however many threads there are to do it."""
    monkeypatch.setattr(numba, "get_num_threads", lambda: 4)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    """Keep what the tests below compile apart, so that their first calls compile in every run."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def files(folder):
    return sorted(path.name for path in folder.rglob("*.nb?"))


# ------------------------------------------------------------------------- who does which units


def note_body(lanes, times, teams, team, first, last):
    for unit in range(first, last):
        times[unit] += 1
        teams[unit] = team


# Of the whole module, and so compiled only once.
noted = Kernel(note_body)

every_number_of_teams = pytest.mark.parametrize("teams", [1, 2, 3, 7, 64])


@every_number_of_teams
@pytest.mark.parametrize("units", [0, 1, 2, 5, 64, 1000])
def test_each_unit_is_done_once_and_teams_do_as_many(monkeypatch, units, teams):
    monkeypatch.setattr(numba, "get_num_threads", lambda: teams)
    times, by = np.zeros((2, units + 1), np.int64)
    noted(teams, units, (), times, by)
    assert times[:units].tolist() == [1] * units and times[units] == 0
    assert sorted(by[:units]) == by[:units].tolist()
    parts = np.bincount(by[:units])
    assert len(parts) == min(units, teams)
    assert units == 0 or np.ptp(parts) <= 1


@every_number_of_teams
def test_the_loop_of_teams_leaves_no_gap(monkeypatch, teams):
    """The loop itself, in Python: the compiled one is what the test before runs."""
    parts = []
    monkeypatch.setattr(kernel, "_call", lambda *arguments: parts.append(arguments))
    kernel._shared_out(123, 64, teams, EIGHT, ("x", 5))
    assert [part[:4] for part in parts] == [(123, EIGHT, ("x", 5), team) for team in range(teams)]
    assert np.concatenate([range(*part[4:]) for part in parts]).tolist() == list(range(64))


def test_one_team_does_all_units_of_small_work(four_threads):
    for work, teams in ((0, 1), (LARGE, 4)):
        times, by = np.zeros((2, 10), np.int64)
        noted(jit.teams(work), 10, (), times, by)
        assert times.tolist() == [1] * 10 and set(by) == set(range(teams))
        assert jit.teams(work) == teams


def test_serial_and_shared_out_give_the_same_bits(four_threads):
    def rows_body(lanes, x, factor, y, team, first, last):
        for i in range(first, last):
            total = x.dtype.type(0)
            for value in x[i]:
                total += factor * value
            y[i] = total / len(lanes)

    by_rows = Kernel(rows_body)
    x = np.random.default_rng(0).standard_normal((37, 50)).astype(np.float32)
    alone, shared = np.zeros((2, 37), np.float32)
    by_rows(1, 37, EIGHT, x, np.float32(0.3), alone)
    by_rows(4, 37, EIGHT, x, np.float32(0.3), shared)
    assert alone.all()
    np.testing.assert_array_equal(alone, shared)
    np.testing.assert_allclose(alone, x.sum(axis=1) * 0.3 / 8, rtol=1e-4, atol=1e-5)


def sum_body(lanes, given, times, team, first, last):
    for unit in range(first, last):
        times[unit] += 1 + given[unit]


def test_read_only_arguments_can_be_made_usual(four_threads):
    times, by = np.zeros((2, 10), np.int64)
    given = by.view()
    given.flags.writeable = False
    summed = Kernel(sum_body)
    for teams in (1, 4):
        summed(teams, 10, (), usual(given), times)
    assert not given.flags.writeable and times.tolist() == [2] * 10
    assert jit.disabled() or len(summed.serial.signatures) == 1


# ------------------------------------------------------------------------ what is compiled when


def write_count_body(lanes, out, team, first, last):
    for i in range(first, last):
        out[i] = 100 * len(COUNT) + len(lanes)


@compiled_only
def test_one_compilation_for_each_type_serves_both_ways(four_threads):
    write_count = Kernel(write_count_body)
    assert write_count.serial.signatures == []

    def run(dtype, lanes=FOUR, step=1):
        for teams in (1, 4, 4):
            out = np.zeros(step * np.random.default_rng(0).integers(5, 9), dtype)[::step]
            write_count(teams, 5, lanes, out)
            assert out[:5].tolist() == [100 + len(lanes)] * 5
        addresses = write_count._addresses.values()
        assert len(set(addresses)) == len(write_count.serial.signatures)
        return len(set(addresses))

    assert run(np.float32) == run(np.float32) == 1
    assert run(np.float64) == 2
    assert run(np.float64, TWO) == 3
    assert run(np.float64, TWO, step=2) == 4
    assert run(np.float32) == 4


def test_kernels_with_other_constants_are_other_kernels(four_threads, cache_folder):
    for turn in range(2):  # compiled, then from the disk
        kernels = {1: Kernel(write_count_body)}
        kernels |= {len(n): Kernel(write_count_body, COUNT=n) for n in (TWO, EIGHT)}
        for teams in (1, 4):
            for n, one in kernels.items():
                out = np.zeros(6)
                one(teams, 6, FOUR, out)
                assert out.tolist() == [100 * n + 4] * 6
                if not jit.disabled():
                    assert sum(one.serial.stats.cache_hits.values()) == turn
    assert COUNT == ONE
    if not jit.disabled():
        names = [name.split("-")[0] for name in files(cache_folder) if name.endswith(".nbi")]
        body = "test_kernel.write_count_body"
        assert [name.endswith(f"_{jit.SOURCES}") for name in names] == [True] * 3
        expected = {body, f"{body}_COUNT_2", f"{body}_COUNT_8"}
        assert {name.removesuffix(f"_{jit.SOURCES}") for name in names} == expected


def add_offset(x, y=3):
    """Add."""
    return x + y + len(COUNT)


def test_renamed():
    copy = jit.renamed(add_offset, "_far", COUNT=EIGHT)
    assert (copy(1), copy(1, 2), add_offset(1)) == (12, 11, 5)
    assert (copy.__qualname__, copy.__name__) == ("add_offset_far", "add_offset")
    assert (copy.__module__, copy.__doc__) == (add_offset.__module__, "Add.")
    assert jit.renamed(add_offset, "_far").__globals__ is add_offset.__globals__
    assert add_offset.__qualname__ == "add_offset"


@compiled_only
def test_what_is_compiled_is_kept_on_disk(cache_folder):
    for hits in (0, 1):
        compiled = jit.jit(add_offset)
        assert compiled(1) == 5
        assert sum(compiled.stats.cache_hits.values()) == hits
        assert len(files(cache_folder)) == 2


@compiled_only
def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(cache_folder):
    """As in a package in a read-only folder, without a home: here a function without a file."""
    scope = {}
    exec(compile("def double(x):\n    return 2 * x", cache_folder / "none.py", "exec"), scope)
    with pytest.raises(RuntimeError, match="no locator available"):
        numba.njit(cache=True)(scope["double"])
    double = jit.jit(scope["double"])
    assert double(21) == 42 and double.signatures
    assert files(cache_folder) == []


def test_a_change_of_any_source_changes_the_names_in_the_cache(tmp_path, monkeypatch):
    (tmp_path / "deeper").mkdir()
    for name in ("jit.py", "deeper/other.py"):
        (tmp_path / name).write_text("a = 1\n")
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    before = jit._digest_of_sources()
    (tmp_path / "deeper" / "notes.txt").write_text("no source")
    assert jit._digest_of_sources() == before
    (tmp_path / "deeper" / "other.py").write_text("a = 2\n")
    assert jit._digest_of_sources() != before


# ----------------------------------------------------------------------------- when threads pay


def test_only_large_work_goes_parallel(four_threads):
    assert jit.teams(jit.PARALLEL_MIN_ELEMENTS) > 1
    assert jit.teams(jit.PARALLEL_MIN_ELEMENTS - 1) == 1


def test_one_thread_shares_nothing_out(monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: 1)
    assert jit.teams(LARGE) == 1


def test_serial_ends_with_its_block_and_binds_one_thread(four_threads):
    with jit.serial():
        assert jit.teams(LARGE) == 1
        with pytest.raises(KeyError), jit.serial():
            raise KeyError
        assert jit.teams(LARGE) == 1
    assert jit.teams(LARGE) > 1


def test_other_threads_are_serial(four_threads):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(jit.teams(LARGE) > 1))
    thread.start()
    thread.join()
    assert answers == [False]


def test_a_forked_child_is_serial(four_threads, monkeypatch):
    monkeypatch.setattr(jit, "_forked", False)
    assert jit.teams(LARGE) > 1
    jit._note_fork()
    assert jit.teams(LARGE) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork() on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork_is_noted(four_threads):
    child = os.fork()
    if child == 0:
        os._exit(int(jit.teams(LARGE) > 1))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert jit.teams(LARGE) > 1


def test_workers_bounds_the_threads(monkeypatch):
    before, there_are = numba.get_num_threads(), numba.config.NUMBA_NUM_THREADS
    with pytest.raises(KeyError), jit.workers(1):
        assert numba.get_num_threads() == 1 and jit.teams(LARGE) == 1
        with jit.workers(10_000):
            assert numba.get_num_threads() == there_are
        assert numba.get_num_threads() == 1
        raise KeyError
    assert numba.get_num_threads() == before
