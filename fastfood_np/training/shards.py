"""A batch as four fixed shards, so that results do not depend on the number of threads.

Every batch is cut into the same shards whatever the thread count. The shards run on Python
threads, each with serial kernels and with BLAS at one thread, and their results are handed back
in order.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from typing import Self, TypeVar

from threadpoolctl import threadpool_limits

from fastfood_np import backends
from fastfood_np.validation import check_int

SHARDS = 4

Result = TypeVar("Result")


def shard_bounds(rows: int) -> list[tuple[int, int]]:
    """Return (start, stop) of each non-empty shard, sized as by ``np.array_split``.

    >>> shard_bounds(6), shard_bounds(2)
    ([(0, 2), (2, 4), (4, 5), (5, 6)], [(0, 1), (1, 2)])
    """
    small, larger = divmod(rows, SHARDS)
    starts = [shard * small + min(shard, larger) for shard in range(SHARDS + 1)]
    return [(a, b) for a, b in pairwise(starts) if b > a]


_blas_lock = threading.Lock()
_blas_users = 0
_blas_limit: threadpool_limits | None = None


@contextmanager
def _single_threaded_blas() -> Iterator[None]:
    """Hold BLAS at one thread: a limit of the whole process, which the last user to leave lifts."""
    global _blas_users, _blas_limit
    with _blas_lock:
        if _blas_users == 0:
            _blas_limit = threadpool_limits(1, user_api="blas")
        _blas_users += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users -= 1
            if _blas_users == 0 and _blas_limit is not None:
                _blas_limit.restore_original_limits()


class ShardRunner:
    """Runs a function once per shard. A context manager: BLAS has one thread within it.

    (Where threadpoolctl knows the BLAS; it does not know Apple's Accelerate.)

    Parameters
    ----------
    threads : int, optional
        How many Python threads; the CPU count unless given, and never more than 4.
    """

    def __init__(self, threads: int | None = None) -> None:
        if threads is None:
            threads = os.cpu_count() or 1
        self.threads = min(SHARDS, check_int(threads, "threads", minimum=1))
        self._open = ExitStack()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        self._open.enter_context(_single_threaded_blas())
        if self.threads > 1:
            self._pool = self._open.enter_context(ThreadPoolExecutor(self.threads))
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()
        self._pool = None

    def run(self, function: Callable[[int, int, int], Result], rows: int) -> list[Result]:
        """Return ``function(shard, start, stop)`` of every shard of `rows` rows, in order."""
        tasks = [(shard, start, stop) for shard, (start, stop) in enumerate(shard_bounds(rows))]

        def serially(shard: int, start: int, stop: int) -> Result:
            with backends.select().serial():
                return function(shard, start, stop)

        if self._pool is None:
            return [serially(*task) for task in tasks]
        futures = [
            self._pool.submit(contextvars.copy_context().run, partial(serially, *task))
            for task in tasks
        ]
        return [future.result() for future in futures]
