"""Caches: what a forward pass leaves for its backward pass, and who owns the arrays in it."""

from __future__ import annotations

from typing import Any

from fastfood_np import backends
from fastfood_np.validation import Array

Cache = dict[str, Any]


def open_cache(cache: Cache | None) -> Cache:
    """Return a cache that owns buffers if the caller gave one, else one that owns none."""
    if cache is None:
        return {}
    cache.setdefault("buffers", {})
    return cache


def buffer(
    cache: Cache, name: str, shape: tuple[int, ...], dtype: Any, beside: Any = None
) -> Array:
    """Return an uninitialised array: the cache's own buffer of that name, or a fresh array.

    A smaller batch gets the leading rows of the buffer; a larger one reallocates it. The array
    is in the memory in which `beside` lies, by default the host's.
    """
    owned = cache.get("buffers")
    if owned is None:
        return backends.empty(shape, dtype, beside)
    held: Array | None = owned.get(name)
    if (
        held is None
        or held.dtype != dtype
        or held.shape[1:] != shape[1:]
        or held.shape[0] < shape[0]
    ):
        held = owned[name] = backends.empty(shape, dtype, beside)
    return held[: shape[0]]
