"""How busy other processes keep the machine: figures taken beside them mean little."""

from __future__ import annotations

import os
import time
from pathlib import Path

IDLE = slice(3, 5)  # of /proc/stat's first line: idle and waiting for files


class Others:
    """Counts the CPUs that other processes keep busy, from its making on."""

    def __init__(self) -> None:
        self._before = _busy_own_now()

    def cpus(self) -> float | None:
        """Return their mean number; None where the system (no Linux) does not tell."""
        now = _busy_own_now()
        if now is None or self._before is None:
            return None
        busy, own, wall = (b - a for a, b in zip(self._before, now, strict=True))
        return max(0.0, (busy - own) / wall) if wall > 0 else 0.0


def _busy_own_now() -> tuple[float, float, float] | None:
    """Return the seconds that all CPUs, and this process, have worked so far, and the time."""
    try:
        line = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return None
    ticks = [int(word) for word in line.split()[1:9]]
    busy = (sum(ticks) - sum(ticks[IDLE])) / os.sysconf("SC_CLK_TCK")
    return busy, time.process_time(), time.perf_counter()
