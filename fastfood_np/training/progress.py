"""How a run is shown while it trains: one line on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fastfood_np.training.trainer import TrainingState

SMOOTHED_STEPS = 50


class TrainingProgress:
    """Updates the line: epoch, steps a second, loss (smoothed), held-out error, time left."""

    def __init__(
        self, progress: Progress, name: str, steps: int, per_epoch: int, done: int
    ) -> None:
        self._progress = progress
        self._per_epoch = per_epoch
        self._held_out = "-"
        self._penalties = ""
        self._task = progress.add_task(name, total=steps, completed=done, **self._fields(None))

    def _fields(self, state: TrainingState | None) -> dict[str, Any]:
        if state is None or not state.losses:
            return {"epoch": "-", "rate": "-", "loss": "-"} | self._notes()
        recent = state.losses[-SMOOTHED_STEPS:]
        return {
            "epoch": f"{state.step / self._per_epoch:.1f}",
            "rate": f"{state.step / state.seconds:.0f}",
            "loss": f"{sum(recent) / len(recent):.4f}",
        } | self._notes()

    def _notes(self) -> dict[str, str]:
        return {"held_out": ", ".join(filter(None, (self._held_out, self._penalties)))}

    def step(self, state: TrainingState) -> None:
        """Show the state after a step."""
        self._progress.update(self._task, completed=state.step, **self._fields(state))

    def held_out_error(self, kind: str, percent: float) -> None:
        """Show an error measured on held-out images ("validation" or "test")."""
        self._held_out = f"{kind} error {percent:.2f} %"

    def penalties(self, progress: str) -> None:
        """Show how far penalised weights have come; "" where there are none."""
        self._penalties = progress


@contextmanager
def training_progress(console: Console) -> Iterator[Progress]:
    """Open the display on a terminal; where there is none, nothing is printed.

    The line fits 80 columns, the bar taking what is left.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("epoch {task.fields[epoch]:>4}"),
        TextColumn("{task.fields[rate]:>3} steps/s"),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("{task.fields[held_out]}"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console, disable=not console.is_terminal)
    with progress if console.is_terminal else nullcontext():
        yield progress
