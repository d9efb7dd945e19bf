"""What is drawn of the benchmarks' figures: which rows go into which picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from fastfood_np.experiments.circulant_pictures import circulant_pictures
from fastfood_np.experiments.kernel_pictures import kernel_approximation_pictures
from fastfood_np.experiments.quantized_pictures import quantized_pictures
from fastfood_np.plotting import (
    Bars,
    Roofline,
    curves,
    length_label,
    roofline,
    speedup_bars,
)

Report = dict[str, Any]
Row = dict[str, Any]

FLOOR = "floor"
NS = "ns per element"
PS = "ps per output element"
LIMIT = "a streaming pass over the same bytes"
PEERS = ("fht-cpu", "FFHT")
PRODUCTS = ("forward", "backward", "cos+sin")
COPY = "the fastest copy of the same bytes"
EVEN = "as fast as ours"
GPU_PRODUCTS = ("forward", "backward", "forward, n = 4 d")
LONG_ROW = 1 << 15
LARGE_PASS = 1 << 20  # elements; a smaller streaming pass may stay in the second cache


def pictures(reports: Mapping[str, Report]) -> Iterator[tuple[str, Figure]]:
    """Yield a name and a figure for every picture that there are figures for.

    Parameters
    ----------
    reports : what the scripts wrote, by their names: "fwht", "fastfood" and so on
    """
    if "fwht" in reports:
        yield "fwht-times", fwht_times(reports["fwht"])
        if any(peer in row["speedups"] for row in _rows(reports["fwht"], "fwht") for peer in PEERS):
            yield "fwht-speedups", fwht_speedups(reports["fwht"])
    if "fastfood" in reports:
        yield "fastfood-times", fastfood_times(reports["fastfood"])
        yield "fastfood-speedups", fastfood_speedups(reports["fastfood"])
    if "fwht" in reports or "fastfood" in reports:
        yield "roofline", rooflines(reports)
    if "circulant" in reports:
        yield from circulant_pictures(reports["circulant"])
    if "quantized" in reports:
        yield from quantized_pictures(reports["quantized"])
    if "lenet" in reports:
        yield "lenet-speedups", lenet_speedups(reports["lenet"])
    if "gpu" in reports:
        yield from gpu_pictures(reports["gpu"])
    if "kernel_approximation" in reports:
        yield from kernel_approximation_pictures(reports["kernel_approximation"])


def fwht_times(report: Report) -> Figure:
    """Time against d: all forms of ours, the peers, the dense product, the streaming pass."""
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    rows = _rows(report, "fwht")
    for row in rows:
        series = panels.setdefault(f"{row['dtype']}, {_threads(row)}", {})
        for name, figures in row["contenders"].items():
            label = {"fwht": f"fwht, {row['vectors']}", FLOOR: LIMIT}.get(name, name)
            point = (row["d"], figures["ns_per_element"])
            if point not in series.setdefault(label, []):  # peers stand in the rows of all forms
                series[label].append(point)
    numbers = rows[0]["m"] * rows[0]["d"]
    title = f"fwht of {numbers:,} numbers in place, in rows of d: {report['machine']['cpu']}"
    return curves(panels, title, "length d", NS, LIMIT)


def fwht_speedups(report: Report) -> Figure:
    """How many times faster than the peers we are, with the processor's own vectors."""
    natural = report["machine"]["vectors"]
    panels: dict[str, list[Bars]] = {}
    for row in _rows(report, "fwht"):
        if row["vectors"] == natural:
            ratios = {peer: row["speedups"][peer] for peer in PEERS if peer in row["speedups"]}
            bars = Bars(length_label(row["d"]), ratios, row["target"])
            panels.setdefault(f"{row['dtype']}, {_threads(row)}", []).append(bars)
    title = f"How many times faster than its peers fwht is, {natural}: {report['machine']['cpu']}"
    return speedup_bars(panels, title, "length d", "their time / ours")


def fastfood_times(report: Report) -> Figure:
    """Time against d: the fused layer, dense products, the streaming pass."""
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    rows = _products(report)
    for row in rows:
        series = panels.setdefault(f"{row['what']}, {_threads(row)}", {})
        for name, figures in row["contenders"].items():
            if name == "dense" or row["blas"] == rows[0]["blas"]:
                label = {"fastfood": "fused Fastfood", FLOOR: LIMIT, "dense": _dense(row)}
                point = (row["d"], figures["ns_per_element"])
                series.setdefault(label.get(name, name), []).append(point)
    title = (
        f"Time of fused Fastfood and dense layers, float32, d = n, m = {rows[0]['m']}: "
        f"{report['machine']['cpu']}"
    )
    return curves(panels, title, "length d", NS, LIMIT)


def fastfood_speedups(report: Report) -> Figure:
    """How many times faster than dense products the fused layer is."""
    rows = _products(report)
    panels: dict[str, list[Bars]] = {}
    for first in rows:
        if first["blas"] != rows[0]["blas"]:
            continue
        key = ("what", "d", "threads")
        ratios = {
            _dense(row) if name == "dense" else name: ratio
            for row in rows
            if all(row[k] == first[k] for k in key)
            for name, ratio in row["speedups"].items()
            if name == "dense" or row is first
        }
        bars = Bars(length_label(first["d"]), ratios, first["target"])
        panels.setdefault(f"{first['what']}, {_threads(first)}", []).append(bars)
    title = (
        f"How many times faster than a dense layer fused Fastfood is, d = n, m = {rows[0]['m']}: "
        f"{report['machine']['cpu']}"
    )
    target = "target, against sgemm with AVX-512"
    return speedup_bars(panels, title, "length d", "their time / ours", target)


def lenet_speedups(report: Report) -> Figure:
    """How many times faster a training step is than torch's of the dense LeNet."""
    names = {"lenet": "LeNet", "fried": "deep-fried LeNet"}
    panels = {
        _threads(row): [
            Bars(names[name], {"torch with the dense LeNet": ratio}, row["targets"][name])
            for name, ratio in row["speedups"].items()
        ]
        for row in _rows(report, "training step")
    }
    title = f"How many times faster a training step is: {report['machine']['cpu']}"
    return speedup_bars(panels, title, "", "torch's time / ours")


def gpu_pictures(report: Report) -> Iterator[tuple[str, Figure]]:
    """Yield a name and a figure for what was measured on a GPU."""
    name = report["machine"]["gpu"]["name"]
    rows = [row for row in report["rows"] if "contenders" in row]
    transforms = _named(rows, "fwht")
    if transforms:
        panels = {
            _panel(row): _gpu_times([other for other in transforms if _panel(other) == _panel(row)])
            for row in transforms
        }
        title = f"fwht in device memory, from one array to another, in rows of d: {name}"
        yield "gpu-fwht-times", curves(panels, title, "length d", PS, COPY)
    products = {what: _named(rows, what) for what in GPU_PRODUCTS if _named(rows, what)}
    if products:
        panels = {what: _gpu_times(those) for what, those in products.items()}
        title = f"Time of fused Fastfood and dense layers, float32, d = n: {name}"
        yield "gpu-fastfood-times", curves(panels, title, "length d", PS, COPY)
    compared = {what: _gpu_speedups(those) for what, those in products.items()}
    if any(compared.values()):
        title = f"How many times faster than a dense layer fused Fastfood is: {name}"
        ratio = "the product's time / ours"
        yield "gpu-fastfood-speedups", curves(compared, title, "length d", ratio, EVEN)


def _panel(row: Row) -> str:
    return row["dtype"] + (", longer rows" if row["d"] > LONG_ROW else "")


def _gpu_times(rows: Sequence[Row]) -> dict[str, list[tuple[int, float]]]:
    """Return picoseconds per output element against d for each contender, copies as one."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, figures in row["contenders"].items():
            label = {"fastfood": "fused Fastfood", row["copy"]: COPY}.get(name, name)
            if not name.startswith("copy") or name == row["copy"]:
                point = (row["d"], 1e3 * figures["ns_per_element"])
                series.setdefault(label, []).append(point)
    return series


def _gpu_speedups(rows: Sequence[Row]) -> dict[str, list[tuple[int, float]]]:
    """Return how many times longer each dense product takes, against d."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, ratio in row["speedups"].items():
            series.setdefault(f"cuBLAS, {name}", []).append((row["d"], ratio))
    return series | {EVEN: [(row["d"], 1.0) for row in rows]} if series else {}


def rooflines(reports: Mapping[str, Report]) -> Figure:
    """Arithmetic speed under the roofs that the same run measured, in float32."""
    machine = next(iter(reports.values()))["machine"]
    rows = [
        row
        for name in ("fwht", "fastfood")
        for row in reports.get(name, {"rows": []})["rows"]
        if FLOOR in row.get("contenders", ()) and row["dtype"] == "float32"
    ]
    panels = {}
    for threads in sorted({row["threads"] for row in rows}):
        here = [row for row in rows if row["threads"] == threads]
        passes = [row for row in here if row["m"] * row["d"] >= LARGE_PASS] or here
        dense = [row for row in here if "gflop_per_s" in row["contenders"].get("dense", ())]
        natural = [row for row in _named(here, "fwht") if row["vectors"] == machine["vectors"]]
        series = {
            "fwht": ("fwht", natural),
            "fused Fastfood forward": ("fastfood", _named(here, "forward")),
            "fused Fastfood backward": ("fastfood", _named(here, "backward")),
            "sgemm": ("dense", dense),
        }
        if dense:
            panels[_threads(here[0])] = Roofline(
                max(row["contenders"][FLOOR]["gb_per_s"] for row in passes),
                max(row["contenders"]["dense"]["gflop_per_s"] for row in dense),
                {
                    f"{name}, {_lengths(those)}": [_place(row, contender) for row in those]
                    for name, (contender, those) in series.items()
                    if those
                },
            )
    return roofline(panels, f"Where memory and arithmetic limit float32: {machine['cpu']}")


def _rows(report: Report, what: str) -> list[Row]:
    return _named(report["rows"], what)


def _named(rows: Sequence[Row], what: str) -> list[Row]:
    return [row for row in rows if row.get("what") == what]


def _products(report: Report) -> list[Row]:
    return [row for row in report["rows"] if row["what"] in PRODUCTS]


def _threads(row: Row) -> str:
    return f"{row['threads']} thread{'s' * (row['threads'] != 1)}"


def _dense(row: Row) -> str:
    return f"dense, NumPy with {row['blas']}"


def _lengths(rows: Sequence[Row]) -> str:
    lengths = [row["d"] for row in rows]
    return f"d = {length_label(min(lengths))} to {length_label(max(lengths))}"


def _place(row: Row, contender: str) -> tuple[float, float]:
    """Return where the contender stands under the roofs."""
    figures = row["contenders"][contender]
    return figures["flop_per_byte"], figures["gflop_per_s"]
