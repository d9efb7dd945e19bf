"""Many independent trainings, each on one thread of a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from fastfood_np.datasets import Dataset, load

# Of a worker process.
_dataset: Dataset | None = None
_stopped: Callable[[], bool] | None = None

Train = Callable[[Any, Dataset, Any, Callable[[], bool]], Any]


def results(
    train: Train,
    settings: Any,
    jobs: Sequence[Any],
    data: tuple[str, str | None],
    processes: int,
    interrupted: Callable[[], bool],
) -> Iterator[Any]:
    """Yield ``train(settings, dataset, job, stopped)`` of all jobs, as they come to an end.

    Processes that run at the same time have a core each, and need none of the exchange that
    threads of one training do: the same results in less time.

    Parameters
    ----------
    train : a function of a module; what it returns for a stopped job, None, is not yielded
    settings : its first argument
    jobs : its third
    data : arguments of `datasets.load`, which every process calls once
    processes : how many at a time
    interrupted : asked five times a second; once it is true, `stopped` is true in all processes

    Raises
    ------
    concurrent.futures.BrokenExecutor
        A process ended unasked (killed for its memory, perhaps).
    """
    spawn = multiprocessing.get_context("spawn")  # Numba's threads do not survive a fork
    if not jobs:
        return
    stop = spawn.RawValue("b", 0)  # without a lock, which a killed process could hold for ever
    with ProcessPoolExecutor(min(processes, len(jobs)), spawn, _open, (*data, stop)) as pool:
        try:
            with _interrupt_held_back():
                waiting = {pool.submit(_run, train, settings, job) for job in jobs}
            while waiting:
                if interrupted():
                    stop.value = 1  # what is under way or not begun gives None
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    if result is not None:
                        yield result
        finally:
            stop.value = 1
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """Keep Ctrl-C until the end of the block; processes started in it never get one.

    A terminal sends it to all of them, also to one that has not come to `_open` yet.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _open(name: str, folder: str | None, stop: Any) -> None:
    global _dataset, _stopped
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _dataset, _stopped = load(name, folder), lambda: bool(stop.value)


def _end_with_parent() -> None:
    """End this process when its parent has ended: nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(train: Train, settings: Any, job: Any) -> Any:
    assert _dataset is not None and _stopped is not None
    return None if _stopped() else train(settings, _dataset, job, _stopped)
