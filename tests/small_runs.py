"""Training runs small enough for tests: 40 + 20 random images, three steps of eight rows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numba
import numpy as np
import pytest
from matplotlib.figure import Figure

from fastfood_np import backends, cli
from fastfood_np.datasets import write_idx
from fastfood_np.datasets.cifar10 import FILES, RECORD

# Kernels that run as plain Python take a minute a run; NumPy's take a second.
BACKEND = "reference" if numba.config.DISABLE_JIT else "cpu"

needs_compiled_kernels = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT),
    reason="trains in another process, where kernels in plain Python take a minute",
)

SHORT = ("--steps", "3", "--batch", "8", "--features", "16")


def write_small_set(
    folder: Path, seed: int = 0, size: int = 28, train: int = 40, test: int = 20
) -> Path:
    """Write random digits as four IDX files and return their folder."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for part, n in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (n, size, size), dtype=np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        labels = rng.integers(0, 10, n, dtype=np.uint8)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    return folder


def write_small_cifar10(folder: Path, seed: int = 0) -> Path:
    """Write random colour images, 40 to train on and 20 to test on, as CIFAR-10's six files."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for name in FILES:
        count = 20 if name == FILES[-1] else 8
        labels = rng.integers(0, 10, (count, 1), dtype=np.uint8)
        pixels = rng.integers(0, 256, (count, RECORD - 1), dtype=np.uint8)
        (folder / name).write_bytes(np.hstack([labels, pixels]).tobytes())
    return folder


@contextmanager
def empty_pictures() -> Iterator[None]:
    """Write empty files for pictures, whose drawing takes longer than all else of a small run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda picture, file, **options: None)
        yield


def main(*arguments: object) -> int:
    """Run a command in this process; return its exit code, of argparse's exits too."""
    with backends.using(BACKEND):
        try:
            return cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            return int(end.code or 0)


def start(*arguments: object, folder: Path | None = None) -> subprocess.Popen[str]:
    """Run a command in another process."""
    root = Path(cli.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-m", "fastfood_np", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(root)},
    )


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return every path below `folder` and the bytes of every file, to compare before and after."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file."""
    with np.load(path) as file:
        return dict(file)


def assert_same_models(folder: Path, other: Path, names: Iterable[str]) -> None:
    """Compare model files bit for bit."""
    for name in names:
        ours, theirs = arrays(folder / f"{name}.npz"), arrays(other / f"{name}.npz")
        assert ours.keys() == theirs.keys()
        for key, array in ours.items():
            assert array.dtype == theirs[key].dtype
            assert array.tobytes() == theirs[key].tobytes(), f"{name}: {key}"
