"""Kernels touch nothing beside their arrays: bounds checks do not see the loads of vectors."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import guarded_memory
import numpy as np
import pytest
from guarded_memory import DTYPES, FAULTS, FORMS, SIDES, BetweenCanaries, call_all

from fastfood_np.backends.cpu import jit

every_form = pytest.mark.parametrize("form", FORMS)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)
with_pages = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="written for Linux's mprotect"),
    pytest.mark.skipif(jit.disabled(), reason="plain Python cannot leave an array"),
]


def run(what, form):
    return subprocess.run(
        [sys.executable, guarded_memory.__file__, what, form],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


@pytest.fixture(scope="module")
def ends():
    """How the calls at pages end: first of "portable", whose kernels the others load."""
    portable = run("calls", "portable")
    with ThreadPoolExecutor() as threads:
        others = {form: threads.submit(run, "calls", form) for form in ("avx512", "avx2")}
    return {"portable": portable, **{form: other.result() for form, other in others.items()}}


@every_form
class TestAtPages:
    pytestmark = with_pages

    def test_no_call_touches_a_page_beside_its_arrays(self, ends, form):
        end = ends[form]
        assert end.returncode == 0, end.stdout.rpartition("fast")[2] + end.stderr[-2000:]

    def test_an_access_that_does_ends_the_process(self, form):
        end = run("faults", form)
        expected = [f"{fault}: {-signal.SIGSEGV * (fault != 'none')}" for fault in FAULTS]
        assert end.stdout.splitlines() == expected * len(SIDES), end.stderr


@every_form
@both_dtypes
def test_canaries_beside_the_arrays_survive(dtype, form):
    call_all(BetweenCanaries(), dtype, form)


@pytest.mark.parametrize("side", [0, 1])
def test_a_dead_canary_is_noticed(side):
    memory = BetweenCanaries()
    memory.blank((2, 3), DTYPES[0]).fill(0)
    margin = memory.margins[side]
    margin[-side] = 0  # of both margins the byte that is far from, or next to, the array
    with pytest.raises(AssertionError):
        memory.check()


def test_a_changed_input_is_noticed():
    memory = BetweenCanaries()
    memory.given(np.zeros(3, np.float32))[1] = 1
    with pytest.raises(AssertionError):
        memory.check()
