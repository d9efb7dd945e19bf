"""Every picture, in one style. Functions return Figures; nothing here opens a window or a file."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

COLOURS = (
    *("#1f4e79", "#d1652b", "#3a7d44", "#7b4b94", "#8a6d3b", "#5f6b73"),
    *("#2a9d9d", "#b0413e", "#c2a33a", "#23282d"),
)
GREY = "#8a939b"


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
    """Draw images in a grid, each with what it is, what was predicted and how surely.

    They have shape (N, h, w), or (N, h, w, 3) where red, green and blue come last.
    """
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


class Bars(NamedTuple):
    """Bars side by side: the label below them, a ratio for each name, and what is aimed at."""

    label: str
    ratios: Mapping[str, float]
    target: float | None


def speedup_bars(
    panels: Mapping[str, Sequence[Bars]],
    title: str,
    xlabel: str,
    ylabel: str,
    target: str = "target",
) -> Figure:
    """Draw ratios as bars, a panel for each of `panels`; black lines mark the `target`.

    Where a ratio is large the axis is logarithmic, and bars start at 1: down means slower.
    """
    drawing, grid = _grid(len(panels), title)
    names = _names(bars.ratios for groups in panels.values() for bars in groups)
    colours, width = _colours(["ours", *names]), 0.8 / max(1, len(names))
    for axes, (panel, groups) in zip(grid, panels.items(), strict=False):
        targets = {i: bars.target for i, bars in enumerate(groups) if bars.target is not None}
        ratios = [*targets.values(), *(r for bars in groups for r in bars.ratios.values())]
        logarithmic = max(ratios, default=1) > 8
        bottom = 1 if logarithmic else 0
        for offset, name in enumerate(names):
            heights = {
                i + (offset + 0.5) * width - 0.4: bars.ratios[name] - bottom
                for i, bars in enumerate(groups)
                if name in bars.ratios
            }
            axes.bar(
                list(heights),
                list(heights.values()),
                0.92 * width,
                bottom,
                color=colours[name],
                label=name,
            )
        axes.axhline(1, color=GREY, linewidth=1)
        axes.hlines(
            list(targets.values()),
            [i - 0.44 for i in targets],
            [i + 0.44 for i in targets],
            color="black",
            linewidth=2,
            label=target,
        )
        if logarithmic:
            axes.set_yscale("log")
            axes.set_ylim(0.8 * min(*ratios, 1), 1.5 * max(ratios))
            _plain_numbers(axes.yaxis)
        axes.set_xticks(range(len(groups)), [bars.label for bars in groups], fontsize=8)
        tidy(axes, xlabel, ylabel, panel)
        axes.grid(False, axis="x")
    _common_legend(drawing, grid, last=target)
    return drawing


def curves(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    title: str,
    xlabel: str,
    ylabel: str,
    limit: str = "",
    known: Sequence[str] = (),
) -> Figure:
    """Draw curves over lengths or times, both axes logarithmic, a panel for each of `panels`.

    Parameters
    ----------
    panels : for each title and each name, (x, y) pairs; the first name stands out
    title : of the whole picture
    limit : the name that is drawn as a limit, not as a contender
    known : names whose colours are to be the same in several pictures
    """
    drawing, grid = _grid(len(panels), title)
    names = _names(panels.values())
    contenders = [*known, *(name for name in names if name not in known and name != limit)]
    colours = _colours(contenders) | {limit: GREY}
    for axes, (panel, series) in zip(grid, panels.items(), strict=False):
        for name, points in series.items():
            axes.plot(
                [x for x, _ in points],
                [y for _, y in points],
                "--" if name == limit else "o-",
                color=colours[name],
                markersize=3.5,
                linewidth=2.4 if name == names[0] else 1.4,
                zorder=3 if name == names[0] else 2,
                label=name,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        places = sorted({x for points in series.values() for x, _ in points})
        if all(isinstance(x, int) for x in places):
            axes.set_xticks(places, [length_label(int(x)) for x in places], fontsize=8)
            axes.set_xticks([], minor=True)
        else:
            _plain_numbers(axes.xaxis)
        _plain_numbers(axes.yaxis)
        tidy(axes, xlabel, ylabel, panel)
    _common_legend(drawing, grid)
    return drawing


class Errors(NamedTuple):
    """A mean error of a model of some size, and the limits of its interval."""

    size: float
    error: float
    low: float
    high: float


def errors_by_size(
    series: Mapping[str, Sequence[Errors]],
    sizes: Sequence[int],
    title: str,
    xlabel: str,
    ylabel: str,
    reference: str = "",
) -> Figure:
    """Draw errors with their intervals against sizes, a curve for each of `series`.

    `sizes` are marked on their axis. Intervals that reach far down are cut by the frame.
    Markers of one size stand side by side, so that intervals can be told apart. Of `reference` the
    error is a grey line across, and its interval a band.
    """
    drawing = figure(9.2, 5.4)
    drawing.suptitle(textwrap.fill(title, 84), x=0.01, ha="left", fontsize=12, fontweight="bold")
    axes = drawing.subplots()
    contenders = {name: points for name, points in series.items() if name != reference}
    for i, (name, points) in enumerate(contenders.items()):
        apart = 1.02 ** (i - (len(contenders) - 1) / 2)
        errors = [point.error for point in points]
        low = [point.error - point.low for point in points]
        axes.errorbar(
            [apart * point.size for point in points],
            errors,
            [low, [point.high - point.error for point in points]],
            fmt="os^DvPX*<"[i % 9] + "-",
            color=COLOURS[i % len(COLOURS)],
            markersize=5,
            linewidth=1.4,
            elinewidth=1,
            capsize=2.5,
            label=name,
        )
    for point in series.get(reference, ())[:1]:
        label = f"{reference}, {point.size:,.0f} weights"
        axes.axhline(point.error, color=GREY, linewidth=1.6, label=label)
        axes.axhspan(max(point.low, 0), point.high, color=GREY, alpha=0.18, linewidth=0)
    errors = [point.error for points in series.values() for point in points]
    if min(errors, default=0) > 0:
        axes.set_yscale("log")
        narrow = max(errors) < 5 * min(errors)
        _plain_numbers(axes.yaxis, steps=tuple(range(1, 10)) if narrow else (1, 2, 5))
        limits = [limit for points in series.values() for point in points for limit in point[2:]]
        axes.set_ylim(max(0.6 * min(errors), 0.95 * min(limits)), 1.05 * max(limits))
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xticks([], minor=True)
    tidy(axes, xlabel, ylabel, "")
    if series:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return drawing


def size_error(
    series: Mapping[str, Sequence[tuple[int, float]]], chosen: tuple[int, float] | None, title: str
) -> Figure:
    """Draw validation errors in percent against file sizes in bytes, and mark the chosen one."""
    drawing = figure(8.0, 4.6)
    axes = drawing.subplots()
    for colour, (name, points) in zip(COLOURS, series.items(), strict=False):
        sizes, errors = [point[0] for point in points], [point[1] for point in points]
        axes.plot(sizes, errors, "o-", color=colour, markersize=5, linewidth=1.4, label=name)
    if chosen is not None:
        label = f"chosen: {chosen[0]:,} bytes, {chosen[1]:.2f} %"
        axes.plot(*chosen, "*", color="#b0413e", markersize=15, label=label, zorder=3)
    points = [point for found in series.values() for point in found]
    axes.set_xscale("log")
    _plain_numbers(axes.xaxis, _steps(points, 0), "{x:,.0f}")
    if all(error > 0 for _, error in points):
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis, _steps(points, 1))
    else:
        top = max(1.0, *(error for _, error in points))
        axes.set_ylim(-0.04 * top, 1.1 * top)
    tidy(axes, "size of the file, bytes", "validation error, %", textwrap.fill(title, 80))
    if series or chosen:
        axes.legend(frameon=False)
    return drawing


def _steps(points: Sequence[tuple[float, float]], which: int) -> tuple[float, ...]:
    values = [point[which] for point in points]
    narrow = max(values, default=1) < 5 * min(values, default=1)
    return (1, 1.5, 2, 3, 4, 5, 6, 8) if narrow else (1, 2, 5)


def length_label(d: int) -> str:
    """Return `d` in digits, a long one as a power of two.

    >>> length_label(4096), length_label(65536)
    ('4096', '$2^{16}$')
    """
    return str(d) if d < 1 << 16 else f"$2^{{{d.bit_length() - 1}}}$"


class Roofline(NamedTuple):
    """The two roofs of a machine, and what is below them.

    `points` holds, for each name, (flop per byte, GFLOP/s) pairs.
    """

    gb_per_s: float
    gflop_per_s: float
    points: Mapping[str, Sequence[tuple[float, float]]]


def roofline(panels: Mapping[str, Roofline], title: str) -> Figure:
    """Draw arithmetic speed against arithmetic intensity below both roofs, panel by panel."""
    drawing, grid = _grid(len(panels), title)
    colours = _colours(_names(panel.points for panel in panels.values()))
    for axes, (panel, (gb_per_s, gflop_per_s, points)) in zip(grid, panels.items(), strict=False):
        places = [(x, y) for series in points.values() for x, y in series]
        ridge = gflop_per_s / gb_per_s
        left = min([ridge / 16, *(x / 2 for x, _ in places)])
        right = max([ridge * 8, *(x * 3 for x, _ in places)])
        lowest = min([left * gb_per_s, *(y / 2 for _, y in places)])
        axes.plot([left, ridge, right], [left * gb_per_s, gflop_per_s, gflop_per_s], color=GREY)
        for i, (name, series) in enumerate(points.items()):
            axes.plot(
                [x for x, _ in series],
                [y for _, y in series],
                "os^Dv"[i % 5],
                color=colours[name],
                markersize=5,
                label=name,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(left, right)
        axes.set_ylim(lowest, 2.5 * gflop_per_s)
        axes.text(
            ridge * 1.5,
            1.12 * gflop_per_s,
            f"arithmetic: the best sgemm, {gflop_per_s:.0f} GFLOP/s",
            fontsize=8,
        )
        start, above = left * (ridge / left) ** 0.05, 1.3
        axes.text(
            start,
            above * start * gb_per_s,
            f"memory: streaming, {gb_per_s:.0f} GB/s",
            rotation=math.degrees(math.atan(above * gb_per_s)),
            rotation_mode="anchor",
            transform_rotates_text=True,
            fontsize=8,
        )
        _plain_numbers(axes.xaxis, steps=(1,))
        _plain_numbers(axes.yaxis)
        tidy(axes, "flop per byte moved", "GFLOP/s", panel)
    _common_legend(drawing, grid)
    return drawing


def _grid(count: int, title: str) -> tuple[Figure, list[Any]]:
    """Return a figure with `count` panels, two in a row, and its axes."""
    columns = min(2, max(1, count))
    rows = -(-max(1, count) // columns)
    drawing = figure(5.6 * columns, 3.7 * rows + 0.8)
    drawing.suptitle(
        textwrap.fill(title, 52 * columns), x=0.01, ha="left", fontsize=12, fontweight="bold"
    )
    grid = list(drawing.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[count:]:
        axes.set_axis_off()
    return drawing, grid


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return all keys, each once, in the order in which they appear."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _colours(names: Sequence[str]) -> dict[str, str]:
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def _plain_numbers(axis: Any, steps: tuple[float, ...] = (1, 2, 5), form: str = "{x:g}") -> None:
    """Write a logarithmic axis's numbers as 0.5, 1, 2, not as powers of ten."""
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(form)
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="both", labelsize=8)


def _common_legend(drawing: Figure, grid: Sequence[Any], last: str = "") -> None:
    """Put one legend for all panels below them."""
    entries: dict[str, Any] = {}
    for axes in grid:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if last in entries:
        entries[last] = entries.pop(last)
    columns = min(2, len(grid))
    if entries:
        drawing.legend(
            entries.values(),
            entries.keys(),
            loc="outside lower center",
            ncols=(1 + columns) if max(map(len, entries)) > 24 else 3 * columns,
            frameon=False,
        )
