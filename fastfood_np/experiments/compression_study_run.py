"""Running the study of compression: in parallel, kept run by run, told as a table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fastfood_np.compression import ProductQuantizer
from fastfood_np.datasets import Dataset
from fastfood_np.experiments.compression_study import StudySettings, job_of, summary, train
from fastfood_np.experiments.networks import network_for
from fastfood_np.experiments.training_processes import results
from fastfood_np.files import write_json, write_whole
from fastfood_np.training.interrupt import deferred_interrupt

COLUMNS = ("network", "sub-vector", "centroids", "layer", "net", "PQ", "penalty + PQ", "difference")
TITLES = {"lenet": "LeNet, ip1", "fried": "deep-fried, ip2"}


def run(
    settings: StudySettings, dataset: Dataset, out: Path, *, console: Console, processes: int
) -> dict[str, Any]:
    """Train and quantise all; return the contents of results.json, which grows run by run.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C was pressed.
    concurrent.futures.BrokenExecutor
        A training process ended unasked.
    DatasetError
        The images are not LeNet's size.
    ImportError
        scikit-learn, the extra "sklearn", is missing.
    """
    network_for(settings.dataset, dataset.train_images)
    ProductQuantizer(1, 2, rng=0).fit([[0.0]])  # fails now rather than after a training
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    report: dict[str, Any] = {}
    where, jobs = (settings.dataset, settings.data), settings.jobs
    with deferred_interrupt() as interrupted:
        for row in results(train, settings, jobs, where, processes, interrupted):
            rows.append(row)
            rows.sort(key=lambda row: jobs.index(job_of(row)))
            report = {"settings": asdict(settings), "summary": summary(rows), "runs": rows}
            report["settings"]["data"] = None  # no paths
            write_json(out / "results.json", report)
            console.print(_line(row, len(rows), len(jobs)), soft_wrap=True)
        if interrupted():
            raise KeyboardInterrupt
    write_whole(out / "table.md", markdown(report["summary"]).encode())
    return report


def _line(row: dict[str, Any], done: int, total: int) -> str:
    what = f"{row['model']}{', penalty' * row['penalised']}, seed {row['seed']}"
    if row["test_error"] is None:
        return f"{done:3} of {total}  {what}: diverged"
    return (
        f"{done:3} of {total}  {what}: {row['test_error']:.2f} %, two values {row['distance']:.2f}"
    )


def cells(line: dict[str, Any]) -> tuple[str, ...]:
    """Return a line of the summary as the cells of a table."""
    rate = ("none", "", "", "")
    if "length" in line:
        rate = (
            str(line["length"]),
            str(line["centroids"]),
            f"{line['layer_ratio']:.1f} x",
            f"{line['net_ratio']:.1f} x",
        )
    difference = f"{line['difference']:+.2f}"
    if line["interval"] is not None:
        difference += " ({:+.2f} to {:+.2f})".format(*line["interval"])
    errors = f"{line['without']:.2f} %", f"{line['with']:.2f} %"
    return (TITLES[line["model"]], *rate, *errors, difference)


def table(lines: list[dict[str, Any]]) -> Table:
    """Return the summary as a table for the terminal."""
    drawn = Table(title="mean test errors, paired differences (95 %)", box=box.SIMPLE_HEAD)
    for heading in COLUMNS:
        drawn.add_column(heading, justify="left" if heading == "network" else "right")
    for line in lines:
        drawn.add_row(*cells(line))
    return drawn


def markdown(lines: list[dict[str, Any]]) -> str:
    """Return the summary as a table in Markdown."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(cells(line) for line in lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
