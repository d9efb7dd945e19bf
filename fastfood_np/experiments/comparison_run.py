"""Running a comparison: which trainings are missing, how they are shown, what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fastfood_np.datasets import Dataset
from fastfood_np.experiments.comparison import train
from fastfood_np.experiments.comparison_files import Comparison
from fastfood_np.experiments.comparison_report import report
from fastfood_np.experiments.layer_times import LENGTHS
from fastfood_np.experiments.networks import network_for
from fastfood_np.experiments.training_processes import results
from fastfood_np.training.interrupt import deferred_interrupt
from fastfood_np.validation import DatasetError


def run(
    comparison: Comparison,
    dataset: Dataset,
    out: Path,
    *,
    console: Console,
    processes: int,
) -> dict[str, Any]:
    """Train what is missing in `comparison`, report all; return the contents of results.json.

    Every finished run is written into ``out / runs.json`` at once, so that nothing but the
    trainings under way is lost where the comparison is stopped.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C was pressed.
    concurrent.futures.BrokenExecutor
        A training process ended unasked.
    DatasetError
        The images are not of the network's size, or not those of the runs.
    """
    settings = comparison.settings
    network = network_for(settings.dataset, dataset.train_images)
    data, known = dataset.checksum(), comparison.data
    if known not in (None, data):
        raise DatasetError(
            f"the data must be those of the comparison resumed, of checksum {known}, got {data}"
        )
    comparison.data = data
    out.mkdir(parents=True, exist_ok=True)
    comparison.save(out)
    jobs, count = list(comparison.missing()), len(settings.jobs)
    where = settings.dataset, settings.data
    with deferred_interrupt() as interrupted, _progress(console) as progress:
        bar = progress.add_task("trained", total=count, completed=len(comparison.runs))
        for row in results(train, settings, jobs, where, processes, interrupted):
            comparison.runs.append(row)
            comparison.save(out)
            progress.update(bar, advance=1)
            progress.console.print(_line(row, len(comparison.runs), count))
        if interrupted():
            raise KeyboardInterrupt
    counts = len(dataset.train_labels), len(dataset.test_labels)
    return report(settings, network, comparison.runs, counts, out, LENGTHS)


def _line(row: dict[str, Any], done: int, total: int) -> str:
    error = row["test_error"]
    budget = "" if row["budget"] is None else f" at {row['budget']:,}"
    outcome = "diverged" if error is None else f"{error:.2f} %"
    return (
        f"{done:3} of {total}  {row['layer']}{budget}, seed {row['seed']}: {outcome} "
        f"in {row['train_seconds']:.0f} s"
    )


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        BarColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)
