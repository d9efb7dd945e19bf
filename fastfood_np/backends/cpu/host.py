"""What Numba sees of this processor."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numba
from llvmlite import binding

from fastfood_np.backends.cpu import jit, widths

REPORTED_FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "neon", "sve")

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")  # as Linux describes them
USUAL_SECOND_CACHE = 512 << 10  # bytes: where the system does not tell


def second_cache() -> int:
    """Return the size in bytes of the second cache of a core."""
    with suppress(OSError, ValueError):
        for cache in CACHES.glob("index*"):
            if (cache / "level").read_text().strip() == "2":
                return int((cache / "size").read_text().strip().removesuffix("K")) << 10
    return USUAL_SECOND_CACHE


def description() -> dict[str, str]:
    """Return the processor, its vector features, and Numba's threads."""
    features = binding.get_host_cpu_features()
    present = [name for name in REPORTED_FEATURES if features.get(name)]
    return {
        "processor (LLVM name)": binding.get_host_cpu_name(),
        "vectors": widths.chosen(),
        "vector features": ", ".join(present) or "none of those known",
        "second cache": f"{second_cache() >> 10} KiB",
        "Numba threads": str(numba.get_num_threads()),
        "Numba threading layers tried": ", ".join(numba.config.THREADING_LAYER_PRIORITY),  # type: ignore[attr-defined]
        "just-in-time compilation": "off" if jit.disabled() else "on",
    }
