"""Random features against scikit-learn's: error, time, memory, and both together.

    python bench/bench_kernel_approximation.py [--smoke] [--turns N] [--json FILE] [--mnist DIR]

Error against the number of features beside the theory's curve; section 6.1 of Le, Sarlos & Smola;
their theorems 9 and 11; time and memory of a transform; regression, and ridge regression on digits
at equal error. With --mnist DIR, the folder of MNIST's four IDX files, also the full set with
16,384 features, batch by batch (some minutes, most of them RBFSampler's).
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import Contender, check, in_threads, option_parser, take_turns, threads, touch
from optional import imported
from report import (
    OTHERS,
    Table,
    blas_kernel,
    print_machine,
    print_threads,
    print_verdict,
    save_report,
    verdict,
)

from fastfood_np import backends

sklearn = imported("sklearn")
if sklearn:
    import approximation_error
    import equal_error
    import regression_work
    import theorems
    from feature_maps import TITLES, feature_map, stored_bytes

MAPS = ("fastfood", "sorf", "rff", "rbfsampler")
ROWS, COMPONENTS = 1024, 16384
LENGTHS = (64, 256, 1024, 4096)
TARGETS = {(1024, 1): 20.0}  # RBFSampler's time over ours, by d and threads
CHECKED_ROWS = 8
MNIST_COMPONENTS, MNIST_ERROR, MNIST_BYTES = 16384, 2.0, 2 << 30


def time_rows(turns: int, smoke: bool) -> Iterator[dict[str, Any]]:
    """Yield seconds of a transform of float32 rows, and bytes that each map keeps."""
    m, n = (64, 256) if smoke else (ROWS, COMPONENTS)
    table = Table(
        f"transform of {m} float32 rows to {n} features, BLAS: {blas_kernel()}; ms, theirs / ours, "
        "MiB kept",
        [
            ("d", "d"),
            ("threads", "d"),
            *((f"{TITLES[name]} ms", ".2f") for name in MAPS),
            *((f"{TITLES[name]} ratio", ".2f") for name in MAPS[1:]),
            ("target", "g"),
            *((f"{TITLES[name]} MiB", ".2f") for name in MAPS),
            OTHERS,
        ],
    )
    for d in (16, 64) if smoke else LENGTHS:
        X = np.random.default_rng(d).standard_normal((m, d), np.float32)
        maps = {name: feature_map(name, n, math.sqrt(d), 0).fit(X) for name in MAPS}
        errors = {name: _checked(name, fitted, X) for name, fitted in maps.items()}
        contenders = {name: _contender(fitted, X) for name, fitted in maps.items()}
        kept = {name: stored_bytes(fitted) for name, fitted in maps.items()}
        for count in (1, 2):
            with threads(count):
                timings = take_turns(contenders, turns)
            ratios = {name: timings.ratio(name, "fastfood") for name in MAPS[1:]}
            title = f"transform against RBFSampler, d = {d}, n = {n}, {in_threads(count)}"
            row = {
                "what": "transform",
                "dtype": "float32",
                "m": m,
                "d": d,
                "n": n,
                "threads": count,
                "blas": blas_kernel(),
                "turns": turns,
                "cpus_of_others": timings.others,
                "contenders": {
                    name: {"seconds": timings.median(name), "error": errors[name]} for name in MAPS
                },
                "bytes": kept,
                "speedups": ratios,
                **verdict(title, ratios["rbfsampler"], None if smoke else TARGETS.get((d, count))),
            }
            table.row(
                d,
                count,
                *(1e3 * timings.median(name) for name in MAPS),
                *ratios.values(),
                row["target"],
                *(kept[name] / 2**20 for name in MAPS),
                timings.others,
            )
            yield row


def _contender(maps: Any, X: Any) -> Contender:
    return Contender(lambda: maps.transform(X), lambda: touch(X))


def _checked(name: str, maps: Any, X: Any) -> float:
    """Return the error of some rows, against the same map in float64 and plain NumPy."""
    found = maps.transform(X)[:CHECKED_ROWS]
    x = X[:CHECKED_ROWS].astype(np.float64)
    if name == "rbfsampler":
        angles = x @ maps.random_weights_.astype(np.float64) + maps.random_offset_
        return check(name, found, math.sqrt(2 / maps.n_components) * np.cos(angles))
    with backends.using("reference"):
        return check(name, found, maps.transform(x))


def memory_rows(smoke: bool) -> Iterator[dict[str, Any]]:
    """Yield by how much fit and transform raise the memory beyond X and the features."""
    m, d, n = (64, 16, 256) if smoke else (ROWS, 1024, COMPONENTS)
    print(f"\nmemory of fit and transform beyond X and the features, m = {m}, d = {d}, n = {n}")
    for name in ("fastfood", "rbfsampler"):
        script = Path(__file__).with_name("features_memory.py")
        command = [sys.executable, str(script), name, str(m), str(d), str(n)]
        child = subprocess.run(command, capture_output=True, text=True)
        if child.returncode:
            print(f"  {TITLES[name]}: not measured ({child.stderr.strip()})")
            continue
        used = int(child.stdout)
        print(f"  {TITLES[name]}: {used / 2**20:.2f} MiB")
        yield {"what": "memory", "map": name, "m": m, "d": d, "n": n, "bytes": used}


def mnist_rows(folder: Path, smoke: bool) -> Iterator[dict[str, Any]]:
    """Yield error, seconds and peak memory on the full MNIST, each map in a process of its own."""
    table = Table(
        "MNIST's raw pixels, features batch by batch, one softmax layer",
        [
            ("map", ">12"),
            ("n", "d"),
            ("passes", "d"),
            ("test error %", ".2f"),
            ("transform s", ".1f"),
            ("fit s", ".1f"),
            ("in all s", ".1f"),
            ("peak MiB", ".0f"),
        ],
    )
    seconds: dict[str, float] = {}
    for name in ("fastfood", "rbfsampler"):
        script = Path(__file__).with_name("mnist_features.py")
        command = [sys.executable, str(script), name, "--data", str(folder)]
        command += ["--components", "64", "--passes", "1"] if smoke else []
        child = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(child.stdout)
        seconds[name] = row["seconds"]
        table.row(
            TITLES[name],
            row["components"],
            row["passes"],
            row["error_percent"],
            row["transform_seconds"],
            row["fit_seconds"],
            row["seconds"],
            row["peak_bytes"] / 2**20,
        )
        yield {"what": "mnist", **row}
        if name == "fastfood":
            error, peak = row["error_percent"], row["peak_bytes"]
            yield {"what": "mnist error"} | verdict(
                "MNIST, test error in percent", error, MNIST_ERROR, at_most=True
            )
            yield {"what": "mnist memory"} | verdict(
                "MNIST, peak memory in bytes", peak, MNIST_BYTES, at_most=True
            )
    ratio = seconds["rbfsampler"] / seconds["fastfood"]
    yield {"what": "mnist time"} | verdict("MNIST, RBFSampler's seconds over ours", ratio, 1.0)


def main() -> int:
    """Check, time, print."""
    parser = option_parser(__doc__ or "")
    parser.add_argument("--mnist", type=Path, metavar="DIR", help="folder of MNIST's IDX files")
    options = parser.parse_args()
    if not sklearn:
        print("scikit-learn is not installed (pip install 'fastfood_np[sklearn]'): nothing to do.")
        return 0
    smoke = options.smoke
    print_machine()
    for count in (1, 2):
        with threads(count):
            print_threads()
    rows = [*time_rows(1 if smoke else options.turns, smoke), *memory_rows(smoke)]
    rows += approximation_error.random_rows(smoke)
    rows += approximation_error.uniform_rows(smoke)
    rows += theorems.theorem_rows(smoke)
    rows += regression_work.regression_rows(smoke)
    rows += equal_error.rows(smoke)
    if options.mnist is not None:
        rows += mnist_rows(options.mnist, smoke)
    print_verdict(rows)
    save_report(options.json, "kernel_approximation", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
