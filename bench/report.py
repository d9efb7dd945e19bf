"""What every benchmark tells: the machine and its threads, tables, targets, the JSON file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numba
from harness import Contender, Timings
from threadpoolctl import threadpool_info

from fastfood_np.backends import cpu
from fastfood_np.experiments.environment import environment
from fastfood_np.files import write_json

FLOOR = "floor"  # the name of the streaming pass among the contenders
DISTURBING = 0.1  # CPUs kept busy by other processes
OTHERS = ("others' CPUs", ".1f")  # a column: how many CPUs other processes kept busy


def machine() -> dict[str, Any]:
    """Return what a reader needs to place the figures."""
    return {"cpu": cpu_name(), "cpus": os.cpu_count(), **dict(environment())}


def cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")


def natural_vectors() -> str:
    """Return which vectors this processor has: avx512, avx2 or portable."""
    return cpu.description()["vectors"]


def blas_kernel() -> str:
    """Return NumPy's BLAS and the processor that it computes for, such as "openblas Haswell"."""
    kernels = {
        f"{library['internal_api']} {library.get('architecture', '')}".strip()
        for library in threadpool_info()
        if library["user_api"] == "blas" and "numpy" in library["filepath"]
    }
    return kernels.pop() if len(kernels) == 1 else "unknown"


def thread_counts() -> dict[str, int]:
    """Return how many threads Numba and every BLAS and OpenMP library of this process use."""
    counts = {"Numba": numba.get_num_threads()}
    for library in threadpool_info():
        owner = Path(library["filepath"]).parent.name
        counts[f"{library['internal_api']} of {owner}"] = library["num_threads"]
    return counts


def print_machine() -> None:
    """Print processor, vectors and BLAS in one line."""
    print(
        f"{cpu_name()}, {os.cpu_count()} CPUs, vectors: {natural_vectors()}; "
        f"NumPy's BLAS: {blas_kernel()}"
    )


def print_threads() -> None:
    """Print in one line who uses how many threads now."""
    counts = ", ".join(f"{name} {count}" for name, count in thread_counts().items())
    print(f"threads: {counts}")


def figures(
    contenders: Mapping[str, Contender],
    timings: Timings,
    elements: int,
    errors: Mapping[str, float],
) -> dict[str, dict[str, float]]:
    """Return, for each contender, its times, rates and error.

    `elements` are what "per element" refers to, the same for all.
    """
    rows = {}
    for name, contender in contenders.items():
        seconds = timings.median(name)
        row = {"seconds": seconds, "ns_per_element": 1e9 * seconds / elements}
        if contender.moved is not None:
            row["gb_per_s"] = 1e-9 * contender.moved / seconds
        if contender.flop is not None:
            row["gflop_per_s"] = 1e-9 * contender.flop / seconds
        if contender.flop is not None and contender.moved is not None:
            row["flop_per_byte"] = contender.flop / contender.moved
        if name in errors:
            row["error"] = errors[name]
        rows[name] = row
    return rows


class Table:
    """Rows of numbers under headings, printed as they come.

    Parameters
    ----------
    columns : (heading, format) pairs, such as ("ns/element", ".3f")
    """

    def __init__(self, title: str, columns: Sequence[tuple[str, str]]) -> None:
        self._columns = [(max(len(heading), 7), form) for heading, form in columns]
        widths = [width for width, _ in self._columns]
        print(f"\n{title}")
        self._print([heading for heading, _ in columns], widths)

    def row(self, *values: Any) -> None:
        """Print one row; None is a dash."""
        texts = ["-" if v is None else f"{v:{form}}" for v, (_, form) in self._with_forms(values)]
        self._print(texts, [width for width, _ in self._columns])

    def _with_forms(self, values: Sequence[Any]) -> Any:
        return zip(values, self._columns, strict=True)

    @staticmethod
    def _print(texts: Sequence[str], widths: Sequence[int]) -> None:
        cells = (f"{text:>{width}}" for text, width in zip(texts, widths, strict=True))
        print("  ".join(cells), flush=True)


def verdict(
    title: str, value: float | None, target: float | None, *, at_most: bool = False
) -> dict[str, Any]:
    """Return the entries of a row that say whether `value` is at least (or at most) `target`.

    "met" is None where there is no target, or nobody to compare with.
    """
    met = None
    if value is not None and target is not None:
        met = value <= target if at_most else value >= target
    return {"title": title, "value": value, "target": target, "met": met}


def print_verdict(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print how many targets of `rows` are met, and each that is not."""
    judged = [row for row in rows if row.get("met") is not None]
    missed = [row for row in judged if not row["met"]]
    print(f"\n{len(judged) - len(missed)} of {len(judged)} targets met" + ":" * bool(missed))
    for row in missed:
        value = "never" if row["value"] is None else f"{row['value']:.3g}"
        print(f"  {row['title']}: {value}, target {row['target']:g}")
    others = max((row.get("cpus_of_others") or 0 for row in rows), default=0)
    if others > DISTURBING:
        print(f"Other processes kept up to {others:.1f} CPUs busy meanwhile.")


def save_report(
    path: Path | None, benchmark: str, rows: Sequence[Mapping[str, Any]], **devices: Any
) -> None:
    """Write the rows beside the description of the machine and of what else computed."""
    if path is not None:
        described = machine() | devices
        write_json(path, {"benchmark": benchmark, "machine": described, "rows": list(rows)})


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a report that `save_report` wrote."""
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return rows
