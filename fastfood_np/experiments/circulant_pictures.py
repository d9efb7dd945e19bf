"""What is drawn of `bench_circulant`'s figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure

from fastfood_np.plotting import Bars, curves, length_label, speedup_bars

Report = dict[str, Any]
Row = dict[str, Any]

FLOOR = "floor"
LIMIT = "a streaming pass over the same bytes"
TITLES = {"circulant": "circulant", "fastfood": "fused Fastfood", FLOOR: LIMIT}


def circulant_pictures(report: Report) -> Iterator[tuple[str, Figure]]:
    """Yield a name and a figure for times and for speed-ups."""
    rows = [row for row in report["rows"] if row["what"] in ("forward", "backward")]
    if rows:
        yield "circulant-times", times(rows, report["machine"]["cpu"])
        yield "circulant-speedups", speedups(rows, report["machine"]["cpu"])


def times(rows: list[Row], cpu: str) -> Figure:
    """Time against d, of powers of two: the layer, fused Fastfood, dense products, the floor."""
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in rows:
        if row["d"] & (row["d"] - 1):
            continue  # lengths between would cover each other's labels: they are among the bars
        series = panels.setdefault(_panel(row), {})
        for name, figures in row["contenders"].items():
            if name == "dense" or row["blas"] == rows[0]["blas"]:
                point = (row["d"], figures["ns_per_element"])
                series.setdefault(_title(name, row), []).append(point)
    title = f"Time of circulant layers, float32, d = n, {_batches(rows)}: {cpu}"
    return curves(panels, title, "length d", "ns per element", LIMIT)


def speedups(rows: list[Row], cpu: str) -> Figure:
    """How many times longer the others take, at all lengths in order."""
    panels: dict[str, dict[int, Bars]] = {}
    for row in sorted(rows, key=lambda row: row["d"]):
        groups = panels.setdefault(_panel(row), {})
        bars = groups.setdefault(row["d"], Bars(length_label(row["d"]), {}, row["target"]))
        ratios = {_title(name, row): ratio for name, ratio in row["speedups"].items()}
        groups[row["d"]] = bars._replace(ratios=ratios | dict(bars.ratios))
    title = f"How many times faster circulant layers are, d = n, {_batches(rows)}: {cpu}"
    return speedup_bars(
        {panel: list(groups.values()) for panel, groups in panels.items()},
        title,
        "length d",
        "their time / ours",
        "target, against sgemm with AVX-512",
    )


def _panel(row: Row) -> str:
    return f"{row['what']}, {row['threads']} thread{'s' * (row['threads'] != 1)}"


def _title(name: str, row: Row) -> str:
    return TITLES.get(name) or f"dense, NumPy with {row['blas']}"


def _batches(rows: list[Row]) -> str:
    """Return how many rows were multiplied, and where they were fewer."""
    most = max(row["m"] for row in rows)
    fewer = {row["d"]: row["m"] for row in rows if row["m"] < most}
    exceptions = ", ".join(f"{m} at d = {d}" for d, m in fewer.items())
    return f"m = {most}" + f" ({exceptions})" * bool(fewer)
