"""Every picture, in one style. Functions return Figures; nothing here opens a window or a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

COLOURS = ("#1f4e79", "#d1652b", "#3a7d44", "#7b4b94", "#8a6d3b", "#5f6b73")


def figure(width: float, height: float) -> Figure:
    """Return an empty figure of that size in inches, at 150 dots an inch."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def tidy(axes: Any, xlabel: str, ylabel: str, title: str) -> None:
    """Label `axes`, lighten its grid and drop the frame's upper and right side."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.grid(True, color="#d9dde1", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def learning_curves(
    names: Sequence[str],
    losses: Sequence[Sequence[float]],
    held_out: Sequence[Sequence[tuple[int, float]]],
    kind: str,
    intervals: Sequence[tuple[float, float]],
) -> Figure:
    """Draw the training loss of each model by step, and its held-out error by epoch.

    Parameters
    ----------
    names : one a model
    losses : loss of every step
    held_out : (step, error in percent) pairs
    kind : "validation" or "test", what the errors were measured on
    intervals : 95 % interval of the final test error, in percent, drawn at the right edge
    """
    drawing = figure(10.5, 4.2)
    left, right = drawing.subplots(1, 2)
    for colour, name, loss in zip(COLOURS, names, losses, strict=False):
        smooth, steps = _smoothed(np.asarray(loss, np.float64))
        left.plot(np.arange(1, len(loss) + 1), loss, color=colour, alpha=0.12, linewidth=0.5)
        left.plot(steps, smooth, color=colour, linewidth=1.6, label=name)
    if any(value > 0 for loss in losses for value in loss):
        smoothed = np.concatenate([_smoothed(np.asarray(loss))[0] for loss in losses])
        left.set_yscale("log")
        left.set_ylim(max(smoothed.min() / 3, 1e-7), max(4.0, 1.3 * smoothed.max()))
    tidy(left, "step", "cross-entropy", "Training loss")
    left.legend(frameon=False)

    last_step = max((len(loss) for loss in losses), default=1)
    for i, (colour, name, points, interval) in enumerate(
        zip(COLOURS, names, held_out, intervals, strict=False)
    ):
        right.plot(
            [step for step, _ in points],
            [error for _, error in points],
            "o-",
            color=colour,
            markersize=3.5,
            linewidth=1.4,
            label=name,
        )
        centre = last_step * (1.03 + 0.025 * i)
        right.plot([centre, centre], interval, color=colour, linewidth=4, alpha=0.45)
    if any(error > 0 for points in held_out for _, error in points):
        right.set_yscale("log")
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter("{x:g}")
    right.tick_params(axis="y", which="both", labelsize=8)
    tidy(right, "step", "error, %", f"{kind.capitalize()} error; bars: 95 % interval at the end")
    right.legend(frameon=False)
    return drawing


def _smoothed(
    loss: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return running means over a fiftieth of the run, and the steps they are centred on."""
    width = max(1, len(loss) // 50)
    smooth = np.convolve(loss, np.ones(width) / width, mode="valid") if len(loss) else loss
    return smooth, np.arange(len(smooth), dtype=np.float64) + (width + 1) / 2


def mistakes(
    images: npt.NDArray[Any],
    labels: Sequence[int],
    predictions: Sequence[int],
    confidences: Sequence[float],
    title: str,
) -> Figure:
    """Draw images (N, h, w) in a grid, each with what it is, what was predicted and how surely."""
    columns = min(8, max(1, len(images)))
    rows = max(1, -(-len(images) // columns))
    drawing = figure(1.25 * columns, 1.55 * rows + 0.5)
    drawing.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    grid = drawing.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, label, predicted, sure in zip(
        grid.flat, images, labels, predictions, confidences, strict=False
    ):
        axes.imshow(image, cmap="gray_r", interpolation="nearest")
        axes.set_title(f"{label}, taken for {predicted}\n({100 * sure:.0f} % sure)", fontsize=7)
    return drawing
