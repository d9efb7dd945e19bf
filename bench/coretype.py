"""Another kernel of OpenBLAS than the one it picks: a benchmark's rows from a child process.

OpenBLAS reads the environment variable once, when it is loaded.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from report import natural_vectors, read_rows

CORETYPE = "OPENBLAS_CORETYPE"


def add_coretype(parser: argparse.ArgumentParser) -> None:
    """Add the option that forces a child process, or forbids it."""
    parser.add_argument(
        "--coretype",
        metavar="NAME",
        help=f"{CORETYPE} of the child process, which then runs on every processor; none: no child",
    )


def is_child() -> bool:
    """Whether this process computes as for a given processor, as a child or by the user's will."""
    return CORETYPE in os.environ


def coretype_of_child(asked: str | None, blas: str) -> str | None:
    """Return as which processor OpenBLAS is to compute in a child process; None: no child."""
    if is_child() or asked == "none":
        return None
    if asked is None and natural_vectors() == "avx512" and "SkylakeX" not in blas:
        return "SkylakeX"
    return asked


def rows_with_coretype(script: str, name: str, turns: int, smoke: bool) -> list[dict[str, Any]]:
    """Return the rows of a child process whose OpenBLAS computes as for another processor."""
    print(f"\nThe same with {CORETYPE}={name}, in a process of its own:\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "rows.json"
        command = [sys.executable, script, "--turns", str(turns), "--json", str(report)]
        command += ["--smoke"] * smoke
        subprocess.run(command, env=os.environ | {CORETYPE: name}, check=True)
        return read_rows(report)
