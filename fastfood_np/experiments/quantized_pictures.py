"""What is drawn of `bench_quantized`'s figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure

from fastfood_np.plotting import Bars, speedup_bars

Report = dict[str, Any]
Row = dict[str, Any]


def quantized_pictures(report: Report) -> Iterator[tuple[str, Figure]]:
    """Yield a name and a figure for the speed-ups."""
    rows = [row for row in report["rows"] if row["what"] == "forward"]
    if rows:
        yield "quantized-speedups", speedups(rows, report["machine"]["cpu"])


def speedups(rows: list[Row], cpu: str) -> Figure:
    """How many times longer the dense product takes, for each way to quantise and each batch."""
    panels: dict[str, dict[str, Bars]] = {}
    for row in rows:
        threads = f"{row['threads']} thread{'s' * (row['threads'] != 1)}"
        groups = panels.setdefault(threads, {})
        bars = groups.setdefault(_setting(row), Bars(_setting(row), {}, row["target"]))
        batch = f"{row['m']} row{'s' * (row['m'] != 1)}"
        groups[bars.label] = bars._replace(ratios={**bars.ratios, batch: row["speedups"]["dense"]})
    size = f"{rows[0]['d']} to {rows[0]['n']} numbers, float32"
    return speedup_bars(
        {threads: list(groups.values()) for threads, groups in panels.items()},
        f"How many times faster than {rows[0]['blas']} look-up tables are, {size}: {cpu}",
        "columns in a run x centroids (shared: one codebook for all runs)",
        "dense time / ours",
        "target, one row",
    )


def _setting(row: Row) -> str:
    shared = "\nshared" if row["shared"] else ""
    return f"{row['length']} x {row['n_centroids']}{shared}"
