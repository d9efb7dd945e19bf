"""The file that a comparison goes on from: its settings and the runs that are finished."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fastfood_np.experiments.comparison import COUNTS, ComparisonSettings, Job, job_of
from fastfood_np.files import write_json
from fastfood_np.validation import ModelFileError, check_int, check_real

RUNS_FILE = "runs.json"


@dataclass
class Comparison:
    """Settings, the checksum of the data, None before they are loaded, and the finished runs."""

    settings: ComparisonSettings
    data: int | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)

    def missing(self) -> Iterator[Job]:
        """Yield the jobs that are still to be done."""
        done = {job_of(run) for run in self.runs}
        yield from (job for job in self.settings.jobs if job not in done)

    def save(self, folder: Path) -> None:
        """Write all into `folder`, in one step."""
        stored = {"settings": asdict(self.settings), "data": self.data, "runs": self.runs}
        write_json(folder / RUNS_FILE, stored)


def load_comparison(folder: Path) -> Comparison:
    """Return what `Comparison.save` wrote.

    Raises
    ------
    ModelFileError
        There is none, or its file is broken.
    """
    path = folder / RUNS_FILE
    try:
        stored = json.loads(path.read_text())
        odd = stored["settings"].keys() ^ {field.name for field in fields(ComparisonSettings)}
        if odd:
            raise ValueError(f"missing or unknown {', '.join(sorted(odd))}")
        settings = ComparisonSettings(**stored["settings"])
        data, runs = check_int(stored["data"], "data", minimum=0), stored["runs"]
        _check_runs(settings, runs)
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file; no comparison was begun there") from None
    except KeyError as error:
        raise ModelFileError(f"{path}: not the runs of a comparison (no entry {error})") from error
    except (ValueError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise ModelFileError(f"{path}: not the runs of a comparison ({error})") from error
    return Comparison(settings, data, runs)


def _check_runs(settings: ComparisonSettings, runs: Any) -> None:
    """Raise unless these are rows of `comparison.train`, no two of them of one job."""
    if not isinstance(runs, list):
        raise TypeError(f"runs must be a list, got {type(runs).__name__}")
    for run in runs:
        check_int(run["seed"], "seed", minimum=0)
        if run["budget"] is not None:
            check_int(run["budget"], "budget", minimum=1)
        for name in COUNTS:
            check_int(run[name], name, minimum=1)
        check_real(run["train_seconds"], "train_seconds", minimum=0.0)
        error = run["test_error"]
        if error is not None and check_real(error, "test_error", minimum=0.0) > 100:
            raise ValueError(f"test_error must be at most 100, got {error!r}")
    done = [job_of(run) for run in runs]
    if not set(done) <= set(settings.jobs):
        raise ValueError("runs of other settings")
    if len(set(done)) < len(done):
        raise ValueError("two runs of one kind and seed")
