"""Jobs for other processes, which find them here by name; a job is what it is to do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastfood_np.datasets import Dataset


class JobError(Exception):
    """What a job may raise."""


def do(
    settings: dict[str, Any], dataset: Dataset, job: str | int, stopped: Callable[[], bool]
) -> Any:
    """Do what `job` says; a number is given back with what the process knows."""
    if job == "fail":
        raise JobError(f"with {settings['note']}")
    if job == "die":
        os._exit(3)
    if job == "signals":
        return signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGINT)
    if job == "pid":
        return Path(settings["folder"], "pid").write_text(str(os.getpid()))
    if job == "wait":
        Path(settings["folder"], "waiting").touch()
        deadline = time.monotonic() + 60
        while not stopped():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return None
    if job == "end at the stop":
        do(settings, dataset, "wait", stopped)
        return "ended"
    return job, settings["note"], dataset.name, len(dataset.train_labels), os.getpid()
