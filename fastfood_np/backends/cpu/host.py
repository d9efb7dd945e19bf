"""What Numba sees of this processor."""

from __future__ import annotations

import numba
from llvmlite import binding

from fastfood_np.backends.cpu import jit, widths

REPORTED_FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "neon", "sve")


def description() -> dict[str, str]:
    """Return the processor, its vector features, and Numba's threads."""
    features = binding.get_host_cpu_features()
    present = [name for name in REPORTED_FEATURES if features.get(name)]
    return {
        "processor (LLVM name)": binding.get_host_cpu_name(),
        "vectors": widths.chosen(),
        "vector features": ", ".join(present) or "none of those known",
        "Numba threads": str(numba.get_num_threads()),
        "Numba threading layers tried": ", ".join(numba.config.THREADING_LAYER_PRIORITY),  # type: ignore[attr-defined]
        "just-in-time compilation": "off" if jit.disabled() else "on",
    }
