"""How kernels are compiled, and when their parallel form runs.

A driver is a function whose outer loop is a ``prange`` over rows or chunks of rows. `Twins`
compiles it twice: serially, and with that loop on Numba's threads. Both add in the same order,
so both give the same bits.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FunctionType
from typing import Any

import numba

# A parallel region costs 2.5 us warm and about 50 us after idling: below this many elements the
# serial form is faster.
PARALLEL_MIN_ELEMENTS = 1 << 15

_serial_only: ContextVar[bool] = ContextVar("fastfood_np_serial", default=False)
_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


# Numba's OpenMP layer does not survive fork(): a child computes serially.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


@contextmanager
def serial() -> Iterator[None]:
    """Make every kernel called by this thread within the block take its serial form."""
    token = _serial_only.set(True)
    try:
        yield
    finally:
        _serial_only.reset(token)


@contextmanager
def workers(count: int) -> Iterator[None]:
    """Let kernels within the block use at most `count` of Numba's threads."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    try:
        yield
    finally:
        numba.set_num_threads(before)


def goes_parallel(elements: int) -> bool:
    """Whether work on this many elements should use Numba's threads.

    Only the main thread does: Numba's workqueue layer aborts when two Python threads enter it.
    """
    return (
        elements >= PARALLEL_MIN_ELEMENTS
        and not _serial_only.get()
        and not _forked
        and threading.current_thread() is threading.main_thread()
        and numba.get_num_threads() > 1
    )


def disabled() -> bool:
    """Whether NUMBA_DISABLE_JIT makes kernels run as plain Python."""
    return bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]


def jit(function: Any, **options: Any) -> Callable[..., Any]:
    """Compile lazily, without the GIL, cached on disk where a folder for that is writable."""
    function = _renamed(function, f"_{SOURCES}")
    try:
        return numba.njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # "no locator available": nowhere to write the cache
        return numba.njit(nogil=True, **options)(function)


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# Numba's cache of a kernel does not notice a change of a kernel in another file that it calls.
SOURCES = _digest_of_sources()


def _renamed(function: FunctionType, suffix: str) -> FunctionType:
    """A copy under another name, by which Numba's cache knows it."""
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__
    )
    copy.__qualname__ = function.__qualname__ + suffix
    copy.__module__ = function.__module__
    copy.__doc__ = function.__doc__
    return copy


class Twins:
    """The serial and the parallel form of one driver."""

    def __init__(self, driver: Any) -> None:
        self.serial = jit(driver)
        self.parallel = jit(_renamed(driver, "_parallel"), parallel=True)  # options are no key

    def for_work(self, elements: int) -> Callable[..., Any]:
        """The form to call for work on this many elements."""
        return self.parallel if goes_parallel(elements) else self.serial
