"""How kernels are compiled, and when they may use Numba's threads."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FunctionType
from typing import Any

import numba

# A parallel region costs 2.5 us warm and about 50 us after idling: below this many elements the
# serial form is faster.
PARALLEL_MIN_ELEMENTS = 1 << 15

# No index is divided by zero: without Python's checks for that there is less to compile.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

NO_WRAPPERS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

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


def teams(elements: int) -> int:
    """Return among how many of Numba's threads work on this many elements should be shared out.

    Only in the main thread it is: Numba's workqueue layer aborts when two Python threads enter it.
    """
    alone = (
        elements < PARALLEL_MIN_ELEMENTS
        or _serial_only.get()
        or _forked
        or threading.current_thread() is not threading.main_thread()
    )
    return 1 if alone else numba.get_num_threads()


def disabled() -> bool:
    """Whether NUMBA_DISABLE_JIT makes kernels run as plain Python."""
    return bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]


def jit(function: Any, **options: Any) -> Any:
    """Compile lazily, without the GIL, cached on disk where a folder for that is writable."""
    function = renamed(function, f"_{SOURCES}")
    try:
        return numba.njit(cache=True, **OPTIONS, **options)(function)
    except RuntimeError:  # "no locator available": nowhere to write the cache
        return numba.njit(**OPTIONS, **options)(function)


def part(function: Any) -> Any:
    """Compile a function that only kernels call: nothing of its own is kept on disk."""
    return numba.njit(**OPTIONS, **NO_WRAPPERS)(function)


def inlined(function: Any) -> Any:
    """Compile a function into each kernel that calls it.

    LLVM goes over the code of a function again for each of its callers, and for theirs: short
    chains of calls compile in half the time.
    """
    return numba.njit(**OPTIONS, inline="always")(function)


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# Numba's cache of a kernel does not notice a change of a kernel in another file that it calls.
SOURCES = _digest_of_sources()


def renamed(function: FunctionType, suffix: str, **constants: Any) -> FunctionType:
    """A copy under another name, by which Numba's cache knows it, with other module constants."""
    scope = {**function.__globals__, **constants} if constants else function.__globals__
    copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
    copy.__qualname__ = function.__qualname__ + suffix
    copy.__module__ = function.__module__
    copy.__doc__ = function.__doc__
    return copy
