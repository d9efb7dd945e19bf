"""What is shown while training."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from fastfood_np.training import TrainingState
from fastfood_np.training.progress import TrainingProgress, training_progress


def shown(terminal: bool, width: int = 80) -> str:
    """Return what a run of 100 steps prints up to step 75."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=width, color_system=None)
    with training_progress(console) as progress:
        line = TrainingProgress(progress, "fried", 100, 30, 0)
        state = TrainingState(step=0, losses=[], seconds=0.0)
        for step in range(1, 76):
            state.step, state.seconds = step, step / 20
            state.losses.append(9.0 if step <= 25 else 0.25)
            if step == 60:
                line.held_out_error("validation", 12.345)
            line.step(state)
        progress.refresh()
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 200])
def test_all_is_shown_on_a_terminal(width: int) -> None:
    last = re.split(r"[\r\n]|\x1b\[\S*?[A-Za-z]", shown(True, width).rstrip())
    line = next(part for part in reversed(last) if "fried" in part)
    assert len(line) <= width
    for part in ("fried", "epoch  2.5", " 20 steps/s", "loss 0.2500", "validation error 12.35 %"):
        assert part in line
    assert re.search(r"\d:\d\d:\d\d *$", line)


def test_before_the_first_step() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100, color_system=None)
    with training_progress(console) as progress:
        TrainingProgress(progress, "lenet", 10, 5, 3)
    assert re.search(r"lenet .*epoch +- +- steps/s loss - -", text.getvalue())


def test_nothing_off_a_terminal() -> None:
    assert shown(False) == ""
