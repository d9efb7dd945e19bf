"""A run of `bench_gpu`: what holds for all rows, and rows kept, printed and saved as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_arrays import free_memory
from gpu_entries import Entry, Measured, measure
from gpu_timing import Clock
from report import save_report, verdict

Row = dict[str, Any]


@dataclass
class Run:
    """One run.

    Attributes
    ----------
    clock : tells the time
    turns : of each contender, fewer for slow ones
    smoke : tiny and quick
    deadline : of `time.monotonic`; what has not begun by then is not measured
    path : where the report goes, after every row anew, so that a killed run leaves what it has
    gpu : what the report says of the device
    rows : all so far
    """

    clock: Clock
    turns: int
    smoke: bool
    deadline: float
    path: Path | None
    gpu: Mapping[str, Any]
    rows: list[Row] = field(default_factory=list)

    def keep(self, row: Row) -> Row:
        """Add a row to the report and save that."""
        self.rows.append(row)
        save_report(self.path, "gpu", self.rows, gpu=self.gpu)
        return row

    def attempt(self, what: str, title: str, work: Callable[[], Row]) -> Row | None:
        """Keep and return the row that `work` measures; if it fails, keep why, return None.

        Its "took_seconds" are for all of it: compiling, checking, timing.
        """
        started = time.monotonic()
        try:
            if started > self.deadline:
                raise TimeoutError("the time given to the benchmark is up")
            free_memory()
            row = work()
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            print(f"  not measured: {title}: {why}", flush=True)
            self.keep({"what": what, "not_measured": why, **verdict(title, None, None)})
            return None
        return self.keep(row | {"took_seconds": time.monotonic() - started})

    def measure(self, entries: Mapping[str, Entry], ours: str, elements: int) -> Measured:
        """Check and time the entries."""
        return measure(entries, ours, elements, self.turns, self.clock)

    def named(self, what: str) -> list[Row]:
        """Return the rows about `what` that were measured."""
        return [row for row in self.rows if row["what"] == what and "not_measured" not in row]
