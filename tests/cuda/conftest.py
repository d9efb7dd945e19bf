"""Tests of the CUDA backend, in two kinds of process, of which neither needs a GPU.

With NUMBA_ENABLE_CUDASIM=1, set before Python starts, kernels run in the simulator of numba-cuda;
without it the compiler makes GPU code of them. One process cannot do both, so a test marked
`simulated` or `compiled` is skipped in processes of the other kind, and one marked `gpu` where
there is none. With FASTFOOD_NP_NO_SKIPS=1 every other skip is a failure, so that none goes unseen.
"""

import importlib.util
import os

import numba
import pytest

NO_SKIPS = os.environ.get("FASTFOOD_NP_NO_SKIPS", "0") != "0"
INSTALLED = importlib.util.find_spec("numba_cuda") is not None

if numba.config.ENABLE_CUDASIM:
    ELSEWHERE, HINT = "compiled", "needs the compiler: run without NUMBA_ENABLE_CUDASIM"
else:
    ELSEWHERE, HINT = "simulated", "needs the simulator: run with NUMBA_ENABLE_CUDASIM=1"


def pytest_configure(config):
    config.addinivalue_line("markers", "compiled: needs a process with the CUDA compiler")
    config.addinivalue_line("markers", "simulated: needs a process with the CUDA simulator")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if item.get_closest_marker(ELSEWHERE):
        pytest.skip(HINT)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item):
    report = yield
    expected = any(map(item.get_closest_marker, (ELSEWHERE, "gpu")))
    return report if expected or hasattr(report, "wasxfail") else unless_unwanted(report)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    """Skip the files of this folder, which import numba-cuda, where it is missing."""
    report = yield
    if isinstance(collector, pytest.File) and not INSTALLED:
        reason = 'the package numba-cuda is not installed: pip install "fastfood_np[cuda]"'
        where = (str(collector.path), 0, reason)
        report = pytest.CollectReport(collector.nodeid, "skipped", where, [])
    return unless_unwanted(report)


def unless_unwanted(report):
    """Make a skip that nobody wants a failure."""
    if NO_SKIPS and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, with FASTFOOD_NP_NO_SKIPS set: {report.longrepr[2]}"
    return report
