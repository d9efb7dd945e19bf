"""What is drawn of `bench_kernel_approximation`'s figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure

from fastfood_np.plotting import curves

Report = dict[str, Any]
Series = dict[str, list[tuple[float, float]]]

TITLES = {
    "fastfood": "FastfoodFeatures",
    "rff": "RandomFourierFeatures (dense)",
    "orf": "OrthogonalFeatures, ORF",
    "sorf": "OrthogonalFeatures, SORF",
    "rbfsampler": "scikit-learn's RBFSampler",
    "nystroem": "scikit-learn's Nystroem",
}
MAPS = tuple(TITLES.values())
THEORY = "theory for independent frequencies"


def kernel_approximation_pictures(report: Report) -> Iterator[tuple[str, Figure]]:
    """Yield a name and a figure for every kind of rows in the report."""
    makers = {
        "error": ("kernel-approximation-errors", errors),
        "uniform": ("kernel-approximation-uniform", uniform),
        "transform": ("kernel-approximation-times", times),
        "ridge on digits": ("kernel-approximation-digits", digits),
    }
    for what, (name, draw) in makers.items():
        if _rows(report, what):
            yield name, draw(report)


def errors(report: Report) -> Figure:
    """Error of each map against the number of features, beside the theory's."""
    panels: dict[str, Series] = {}
    rows = _rows(report, "error")
    for row in rows:
        series = panels.setdefault(f"{row['kernel']}, d = {row['d']}", {})
        for name, error in row["errors"].items():
            series.setdefault(TITLES[name], []).append((row["n"], error))
        series.setdefault(THEORY, []).append((row["n"], row["theory"]))
    title = f"How far features' inner products are from the kernel, {rows[0]['seeds']} seeds"
    return curves(panels, title, "features", "root mean squared error", THEORY, MAPS)


def uniform(report: Report) -> Figure:
    """Section 6.1 of Le, Sarlos & Smola."""
    series: Series = {}
    rows = _rows(report, "uniform")
    for row in rows:
        for name, error in row["errors"].items():
            series.setdefault(TITLES[name], []).append((row["n"], error))
    panel = f"{rows[0]['points']:,} vectors uniform in $[0, 1]^{{{rows[0]['d']}}}$"
    title = "Mean absolute error of the Gaussian kernel"
    return curves({panel: series}, title, "features", "mean absolute error", known=MAPS)


def times(report: Report) -> Figure:
    """Time of a transform against the length of the inputs."""
    panels: dict[str, Series] = {}
    rows = _rows(report, "transform")
    for row in rows:
        series = panels.setdefault(f"{row['threads']} thread{'s' * (row['threads'] != 1)}", {})
        for name, figures in row["contenders"].items():
            point = (row["d"], 1e3 * figures["seconds"])
            series.setdefault(TITLES[name], []).append(point)
    title = (
        f"Transform of {rows[0]['m']:,} float32 rows to {rows[0]['n']:,} features: "
        f"{report['machine']['cpu']}"
    )
    return curves(panels, title, "length d", "ms", known=MAPS)


def digits(report: Report) -> Figure:
    """Error of ridge regression against the time of features and regression together."""
    panels: dict[str, Series] = {}
    rows = _rows(report, "ridge on digits")
    for row in rows:
        for name, figures in row["maps"].items():
            seconds = {
                "features alone": figures["transform_seconds"],
                "features and ridge regression": figures["transform_seconds"]
                + figures["fit_seconds"],
            }
            for panel, value in seconds.items():
                points = panels.setdefault(panel, {}).setdefault(TITLES[name], [])
                points.append((value, figures["error_percent"]))
    sizes = [row["n"] for row in rows]
    title = (
        f"Error on digits against time, {min(sizes)} to {max(sizes)} features, "
        f"{rows[0]['threads']} threads: {report['machine']['cpu']}"
    )
    return curves(panels, title, "seconds", "test error, %", known=MAPS)


def _rows(report: Report, what: str) -> list[dict[str, Any]]:
    return [row for row in report["rows"] if row.get("what") == what]
