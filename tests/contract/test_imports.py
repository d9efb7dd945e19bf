"""Imports run downwards only, and importing the package stays light."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_import_contracts_of_setup_cfg_hold() -> None:
    pytest.importorskip("importlinter", reason="import-linter is in the extra 'test'")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    result = subprocess.run(
        [*command, "--config", "setup.cfg", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 kept, 0 broken" in result.stdout


def test_one_module_imports_numba_cuda() -> None:
    """It shims, simulates or refuses; the simulator, which it imports, completes numba-cuda's."""
    naming = {
        path.name
        for path in (ROOT / "fastfood_np").rglob("*.py")
        if re.search(
            r"import.*numba\.cuda|from numba(\.cuda\S*)? import.*cuda|from numba\.cuda",
            path.read_text(),
        )
    }
    assert naming == {"numba_cuda.py", "simulator.py"}


@pytest.mark.parametrize("module", ["scipy.stats", "matplotlib", "rich"])
def test_importing_the_package_does_not_import(module: str) -> None:
    code = f"import sys, fastfood_np; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_version_is_that_of_the_distribution() -> None:
    import fastfood_np

    assert fastfood_np.__version__ == version("fastfood_np")
    with pytest.raises(AttributeError, match="no attribute 'fht'"):
        _ = fastfood_np.fht  # type: ignore[attr-defined]
