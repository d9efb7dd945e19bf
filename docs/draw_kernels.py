"""Draw docs/kernels.png, the picture of ARCHITECTURE.md: python docs/draw_kernels.py"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from fastfood_np.plotting import COLOURS, figure

BLUE, ORANGE, GREEN, PURPLE = COLOURS[:4]
GREY = "#8a939b"
WIDTH = 62.0  # of the row of blocks


def box(axes: Any, x: float, y: float, w: float, h: float, colour: str, alpha: float = 0.2) -> None:
    """Fill a rectangle lightly and outline it."""
    axes.add_patch(Rectangle((x, y), w, h, facecolor=colour, alpha=alpha, linewidth=0))
    axes.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=colour, linewidth=1.2))


def grid(axes: Any, x: float, y: float, w: float, h: float, columns: int, rows: int) -> None:
    """Divide a rectangle into cells."""
    for i in range(1, columns):
        axes.plot([x + i * w / columns] * 2, [y, y + h], color="white", linewidth=0.7)
    for i in range(1, rows):
        axes.plot([x, x + w], [y + i * h / rows] * 2, color="white", linewidth=0.7)


def arrow(axes: Any, start: tuple[float, float], end: tuple[float, float], text: str = "") -> None:
    """Point from one place to another, with a text above the middle."""
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color=GREY, linewidth=1.3)
    )
    axes.text((start[0] + end[0]) / 2, max(start[1], end[1]) + 1.3, text, ha="center", fontsize=8)


def note(axes: Any, x: float, y: float, text: str, **options: Any) -> None:
    """Write a short text."""
    axes.text(x, y, text, fontsize=8, va="center", **options)


def blocking(axes: Any) -> None:
    """One row of 2^20 float32, and which stages are taken where."""
    axes.set_title(
        "fwht: blocks, one row of $2^{20}$ float32", loc="left", fontsize=10, weight="bold"
    )
    levels = [
        (
            1,
            GREY,
            "far passes, $h \\geq 65536$: radix 8, in pieces of 1024 columns",
            "the row, 4 MiB",
        ),
        (4, BLUE, "$4096 \\leq h < 65536$: radix 8", "256 KiB: second cache"),
        (16, GREEN, "$64 \\leq h < 4096$: radix 8", "16 KiB: first cache"),
        (48, ORANGE, "$h < 64$: one pass from source to target", "64 elements: registers"),
    ]
    for k, (shown, colour, stages, where) in enumerate(levels):  # more of them than can be shown
        y, width = 36 - 10 * k, WIDTH / shown
        for i in range(shown):
            box(axes, i * width, y, width - 0.3, 5, colour, 0.35 if i == 0 else 0.12)
        note(axes, WIDTH + 2, y + 3.6, where, weight="bold")
        note(axes, WIDTH + 2, y + 0.9, stages)
        if k:
            arrow(axes, (width / 2, y + 5.2), (width / 2, y + 9.8))
    axes.set_xlim(-1, 106)
    axes.set_ylim(2, 43)


def tile(axes: Any) -> None:
    """One tile of 16 rows on its way through Fastfood."""
    axes.set_title(
        "Fastfood: a tile, 16 rows of float32, transposed", loc="left", fontsize=10, weight="bold"
    )
    rows, lines = 8, 16

    def batch(x: float, name: str, text: str) -> None:
        box(axes, x, 14, 20, 16, GREY, 0.25)
        grid(axes, x, 14, 20, 16, 4, rows)
        box(axes, x + 5, 14, 5, 16, ORANGE, 0.55)
        note(axes, x + 10, 32.5, name, ha="center", weight="bold")
        note(axes, x + 10, 10.5, text, ha="center")

    def tall(x: float, name: str, colour: str, text: str) -> None:
        box(axes, x, 3, 8, 38, colour, 0.25)
        grid(axes, x, 3, 8, 38, 1, lines)
        note(axes, x + 4, 43.3, name, ha="center", weight="bold")
        note(axes, x + 4, 0.2, text, ha="center")

    batch(0, "X, 16 rows", "a panel: 256 columns")
    tall(36, "tile", BLUE, "$d_{pad}$ lines of 64 bytes")
    box(axes, 36, 31.5, 8, 9.5, ORANGE, 0.55)
    tall(60, "second tile", GREEN, "line i = line perm[i]")
    box(axes, 60, 22, 8, 9.5, ORANGE, 0.55)
    batch(86, "Y, 16 rows", "a panel")
    arrow(axes, (21, 24), (35, 34), "B, transpose,\n$h < 256$")
    for source, target in ((5, 38), (12, 30), (23, 25), (33, 23), (39, 28)):
        axes.plot([44.3, 59.7], [source, target], color=GREY, linewidth=0.8)
    axes.text(52, 43, "$h \\geq 256$, then $\\Pi$, G", ha="center", fontsize=8)
    arrow(axes, (69, 27), (85, 23), "H, transpose,\nS, c, cut")
    note(
        axes,
        53,
        -5,
        "Where 16 rows lie a multiple of 4 KiB apart, or rows or columns are missing, "
        "a panel passes through a buffer of 16 x (256 + 16).",
        ha="center",
        color=PURPLE,
    )
    axes.set_xlim(-1, 107)
    axes.set_ylim(-7, 46)


def main() -> None:
    """Draw and write the picture."""
    drawing: Figure = figure(9.2, 7.4)
    above, below = drawing.subplots(2, 1, height_ratios=[1, 1.25])
    for axes, draw in ((above, blocking), (below, tile)):
        draw(axes)
        axes.set_axis_off()
    drawing.savefig(Path(__file__).with_name("kernels.png"), dpi=110)


if __name__ == "__main__":
    main()
