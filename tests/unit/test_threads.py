"""Threads change no bit: Numba's, of every layer, and Python's; nor does fork()."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import thread_program
from thread_program import count_shared_out, digest, fastfood, transform

from fastfood_np.backends import cpu
from fastfood_np.backends.cpu import jit, kernel
from fastfood_np.transforms import fwht, ifwht

pytestmark = pytest.mark.skipif(jit.disabled(), reason="plain Python uses no threads")

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork() on this system")


@pytest.fixture
def teams(monkeypatch):
    """A list of the numbers of threads among which work is shared out from now on."""
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("Numba has one thread only")
    monkeypatch.setattr(kernel, "_share_out", kernel._share_out)  # put back at the end
    before = numba.get_num_threads()
    numba.set_num_threads(2)
    yield count_shared_out()
    numba.set_num_threads(before)


# ------------------------------------------------------------------- the same bits every time

# Rows shorter than a vector, shorter and longer than a block, and one that threads have to share.
WORKS = {
    f"fwht {m} x {d}": functools.partial(transform, m, d)
    for m, d in ((4096, 8), (512, 256), (5, 2**15), (1, 2**18))
}
WORKS["Fastfood"] = functools.partial(fastfood, 300, 100, 300)
WORKS["Fastfood of few rows"] = functools.partial(fastfood, 3, 5000, 9000)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("work", WORKS)
def test_bits_do_not_depend_on_the_threads(work, dtype, teams):
    compute = WORKS[work]
    with cpu.workers(1):
        alone = digest(compute(dtype))
    assert not teams
    for _ in range(20):
        assert digest(compute(dtype)) == alone
    assert teams.count(2) >= 20


# ----------------------------------------------------------------------- how many threads

SOME = np.ones((64, 1024))


@pytest.mark.parametrize("transform", [fwht, ifwht])
def test_workers_of_the_transform(transform, teams):
    transform(SOME)
    assert set(teams) == {2}
    teams.clear()
    transform(SOME, workers=1)
    assert not teams and numba.get_num_threads() == 2
    numba.set_num_threads(1)
    transform(SOME, workers=2)
    assert set(teams) == {2} and numba.get_num_threads() == 1


def test_numba_set_num_threads_is_followed(teams):
    numba.set_num_threads(1)
    fwht(SOME)
    assert not teams
    numba.set_num_threads(2)
    fwht(SOME)
    assert set(teams) == {2}


def test_workers_end_with_an_error(teams, monkeypatch):
    during = []

    def fail(x, out):
        during.append(numba.get_num_threads())
        raise KeyError("in the kernel")

    monkeypatch.setattr(cpu, "fwht", fail)
    with pytest.raises(KeyError, match="in the kernel"):
        fwht(SOME, workers=1)
    assert during == [1] and numba.get_num_threads() == 2


# ------------------------------------------------------- each layer, in a process of its own


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Compiled once for all processes, by the first of them."""
    return tmp_path_factory.mktemp("cache")


def python(*arguments, **variables):
    """Run Python with this process's path."""
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=thread_program.LIMIT + 30,
        env={**os.environ, "PYTHONPATH": path, **variables},
    )


@pytest.fixture(scope="module", params=["omp", "workqueue", "tbb"])
def layer(request):
    loaded = python(
        "-c", "import numba; numba.get_num_threads()", NUMBA_THREADING_LAYER=request.param
    )
    if loaded.returncode:
        assert "No threading layer could be loaded" in loaded.stderr
        pytest.skip(f"this installation of Numba cannot load its layer {request.param}")
    return request.param


@pytest.mark.parametrize(
    "case",
    ["crowd", pytest.param("fork", marks=needs_fork), pytest.param("early_fork", marks=needs_fork)],
)
def test_process(case, layer, cache):
    """`thread_program` checks its bits itself; here they are compared with this process's."""
    ended = python(
        Path(thread_program.__file__),
        case,
        NUMBA_THREADING_LAYER=layer,
        NUMBA_NUM_THREADS="3",
        NUMBA_CACHE_DIR=str(cache),
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"layer": layer, "digests": thread_program.digests(0)}
