"""The job behind ``bench``: run the benchmarks of a checkout, keep and draw their figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from fastfood_np.experiments.benchmark_pictures import pictures
from fastfood_np.files import replacing

ROOT = Path(__file__).parents[2]


def scripts_folder() -> Path | None:
    """Return the checkout's bench/; None where the package is installed without one."""
    folder = ROOT / "bench"
    return folder if (folder / "harness.py").is_file() else None


def run_script(
    folder: Path,
    name: str,
    out: Path,
    *,
    smoke: bool = False,
    turns: int | None = None,
    ffht: Path | None = None,
    mnist: Path | None = None,
) -> int:
    """Run ``bench_<name>.py`` from `folder` in a process that prints; return its exit code.

    It writes its figures into ``out / "<name>.json"``; those of an earlier run are removed.
    """
    report = out / f"{name}.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, str(folder / f"bench_{name}.py"), "--json", str(report)]
    if smoke:
        command += ["--smoke"]
    if turns is not None:
        command += ["--turns", str(turns)]
    if ffht is not None and name == "fwht":
        command += ["--ffht", str(ffht)]
    if mnist is not None and name == "kernel_approximation":
        command += ["--mnist", str(mnist)]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(command, env=environment).returncode


def draw(names: Iterable[str], out: Path) -> list[Path]:
    """Draw the figures of the named benchmarks that are in `out`; return the PNG files."""
    files = {name: out / f"{name}.json" for name in names}
    reports = {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}
    drawn = []
    for name, picture in pictures(reports):
        drawn.append(out / f"{name}.png")
        with replacing(drawn[-1]) as target:
            picture.savefig(target, format="png")
    return drawn
