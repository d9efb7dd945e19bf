"""Reports like those of the benchmarks, with round figures."""

from __future__ import annotations

from typing import Any

MACHINE = {"cpu": "A Processor", "vectors": "avx2"}


def figures(nanoseconds: float, intensity: float | None = None) -> dict[str, float]:
    """Return a contender's entry; its memory rate is 1 GB/s at 8 ns."""
    entry = {"ns_per_element": nanoseconds, "gb_per_s": 8 / nanoseconds}
    if intensity is not None:
        entry |= {"flop_per_byte": intensity, "gflop_per_s": intensity * 8 / nanoseconds}
    return entry


def fwht_report(peers: tuple[str, ...] = ("fht-cpu", "FFHT")) -> dict[str, Any]:
    """Two lengths, two forms, one and two threads; each peer takes 3 ns, we 1 and 2 ns."""
    rows = [
        {
            "what": "fwht",
            "dtype": "float32",
            "m": 2**20 // d,
            "d": d,
            "threads": threads,
            "vectors": form,
            "contenders": {
                "fwht": figures(ours, 0.5),
                "floor": figures(0.5),
                "dense": figures(9.0, 90.0),
                **{peer: figures(3.0, 0.5) for peer in peers},
            },
            "speedups": dict.fromkeys(peers, 3.0 / ours),
            "target": 1.25 if d == 1024 and form == "avx2" else None,
        }
        for threads in (1, 2)
        for d in (16, 1024)
        for form, ours in (("avx2", 1.0), ("portable", 2.0))
    ]
    overhead = {"what": "call overhead", "dtype": "float32", "threads": 1, "target": 3.0}
    return {"benchmark": "fwht", "machine": MACHINE, "rows": [*rows, overhead]}


def fastfood_report(kernels: tuple[str, ...] = ("openblas Haswell",)) -> dict[str, Any]:
    """One length, both directions, one and two threads; the second kernel is twice as fast."""
    rows = [
        {
            "what": what,
            "dtype": "float32",
            "m": 1024,
            "d": d,
            "threads": threads,
            "blas": kernel,
            "contenders": {
                "fastfood": figures(1.0, 3.0),
                "floor": figures(0.5),
                "dense": figures(40.0 / (1 + i), 100.0),
                "torch": figures(30.0, 100.0),
            },
            "speedups": {"dense": 40.0 / (1 + i), "torch": 30.0},
            "target": 18.0,
        }
        for i, kernel in enumerate(kernels)
        for what in ("forward", "backward")
        for d in (512, 1024)
        for threads in (1, 2)
    ]
    crossover = {"what": "crossover", "dtype": "float32", "threads": 1, "speedups": {"8": 0.5}}
    return {"benchmark": "fastfood", "machine": MACHINE, "rows": [*rows, crossover]}


def circulant_report(kernels: tuple[str, ...] = ("openblas Haswell",)) -> dict[str, Any]:
    """Three lengths, the longest with fewer rows; the second kernel is twice as fast."""
    rows = [
        {
            "what": what,
            "m": 256 if d == 2048 else 1024,
            "d": d,
            "threads": threads,
            "blas": kernel,
            "contenders": {
                "circulant": figures(4.0),
                "fastfood": figures(1.0),
                "dense": figures(40.0 / (1 + i)),
                "floor": figures(0.5),
            },
            "speedups": {"fastfood": 0.25, "dense": 10.0 / (1 + i)},
            "target": 3.8 if (d, threads) == (1024, 1) else None,
        }
        for i, kernel in enumerate(kernels)
        for what in ("forward", "backward")
        for d in (1024, 2048, 1000)
        for threads in (1, 2)
    ]
    crossover = {"what": "crossover", "threads": 1, "speedups": {"32": 0.5}}
    return {"benchmark": "circulant", "machine": MACHINE, "rows": [*rows, crossover]}


def quantized_report() -> dict[str, Any]:
    """Two ways to quantise, one and eight rows, one and two threads."""
    rows = [
        {
            "what": "forward",
            "d": 9216,
            "n": 4096,
            "length": 8,
            "n_centroids": n_centroids,
            "shared": n_centroids == 256,
            "m": m,
            "threads": threads,
            "blas": "openblas Haswell",
            "contenders": {"quantized": figures(1.0), "dense": figures(8.0), "floor": figures(0.1)},
            "speedups": {"dense": 8.0 * threads / m},
            "target": 4.0 if (n_centroids, m) == (16, 1) else None,
        }
        for n_centroids in (16, 256)
        for m in (1, 8)
        for threads in (1, 2)
    ]
    memory = {"what": "memory", "value": 51.2, "target": 40.0}
    return {"benchmark": "quantized", "machine": MACHINE, "rows": [memory, *rows]}


def lenet_report() -> dict[str, Any]:
    """One and two threads."""
    rows = [
        {
            "what": "training step",
            "threads": threads,
            "speedups": {"lenet": 1.2, "fried": 1.4},
            "targets": {"lenet": 1.0, "fried": 1.3},
        }
        for threads in (1, 2)
    ]
    differences = {"largest_loss_difference": 1e-7}
    return {"benchmark": "lenet", "machine": MACHINE, "rows": [differences, *rows]}


def kernel_approximation_report() -> dict[str, Any]:
    """Two sizes of everything that is drawn; RBFSampler takes twenty times as long as we do."""
    maps = ("fastfood", "rff", "orf")
    errors = [
        {
            "what": "error",
            "kernel": kernel,
            "d": 64,
            "n": n,
            "seeds": 50,
            "errors": dict.fromkeys(maps, 1 / n),
            "theory": 0.9 / n,
        }
        for kernel in ("gaussian", "arc-cosine 1")
        for n in (64, 256)
    ]
    uniform = [
        {"what": "uniform", "points": 4000, "d": 10, "n": n, "errors": dict.fromkeys(maps, 1 / n)}
        for n in (64, 256)
    ]
    times = [
        {
            "what": "transform",
            "m": 1024,
            "d": d,
            "n": 16384,
            "threads": threads,
            "contenders": {"fastfood": {"seconds": 0.02}, "rbfsampler": {"seconds": 0.4}},
        }
        for d in (64, 1024)
        for threads in (1, 2)
    ]
    digits = [
        {
            "what": "ridge on digits",
            "n": n,
            "threads": 2,
            "maps": {
                name: {"error_percent": 5.0, "transform_seconds": 0.25, "fit_seconds": 0.5}
                for name in ("fastfood", "nystroem")[: 2 if n == 256 else 1]
            },
        }
        for n in (256, 4096)
    ]
    rows = [*errors, *uniform, *times, *digits, {"what": "mnist"}]
    return {"benchmark": "kernel_approximation", "machine": MACHINE, "rows": rows}
