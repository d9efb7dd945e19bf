"""How wide the vectors of the kernels are: what the processor has, or what was asked for.

``avx512``: 64 bytes, ``avx2``: 32 bytes, ``portable``: 16 bytes, which nearly every processor has
(SSE2, NEON) and LLVM can do without on any other. The environment variable FASTFOOD_NP_VECTORS or
the context manager `vectors` force one of them; a wider form than the processor's also works, in
several registers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from llvmlite import binding

from fastfood_np.validation import check_choice

VARIABLE = "FASTFOOD_NP_VECTORS"
BYTES = {"avx512": 64, "avx2": 32, "portable": 16}
NEEDED = {"avx512": ("avx512f", "avx512dq", "avx512vl"), "avx2": ("avx2", "fma")}

Lanes = tuple[None, ...]


def _natural() -> str:
    """Return the widest form that this processor has registers for."""
    features = binding.get_host_cpu_features()
    fitting = (name for name, needed in NEEDED.items() if all(map(features.get, needed)))
    return next(fitting, "portable")


def _asked_for() -> str:
    asked = os.environ.get(VARIABLE)
    return _natural() if not asked else check_choice(asked, VARIABLE, tuple(BYTES))


# Checked when the kernels are first used; a process keeps what its environment said then.
_OF_PROCESS = _asked_for()
_forced: ContextVar[str | None] = ContextVar("fastfood_np_vectors", default=None)

# A count that the compiler must know is a tuple of so many Nones: see `simd`.
_LANES: dict[tuple[str, int], Lanes] = {
    (name, size): (None,) * (length // size) for name, length in BYTES.items() for size in (4, 8)
}


@contextmanager
def vectors(form: str) -> Iterator[None]:
    """Make kernels called within the block take this form: "avx512", "avx2" or "portable"."""
    token = _forced.set(check_choice(form, "form", tuple(BYTES)))
    try:
        yield
    finally:
        _forced.reset(token)


def chosen() -> str:
    """Return the form that kernels take now."""
    return _forced.get() or _OF_PROCESS


def lanes(dtype: Any, d: int) -> Lanes:
    """Return the lanes of a vector of that dtype, at most d of them: so many Nones."""
    return _LANES[chosen(), dtype.itemsize][:d]
