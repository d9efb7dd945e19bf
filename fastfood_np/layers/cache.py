"""Caches: what a forward pass leaves for its backward pass, and who owns the arrays in it."""

from __future__ import annotations

from typing import Any

from fastfood_np import backends
from fastfood_np.validation import Array

Cache = dict[str, Any]


def open_cache(cache: Cache | None, on_device: bool = False) -> Cache:
    """Return a cache that owns buffers if the caller gave one, else one that owns none.

    Where it is for arrays in the memory of a GPU, it says so.
    """
    if cache is not None:
        check_memory(cache, on_device)
        cache.setdefault("buffers", {})
    else:
        cache = {}
    if on_device:
        cache["on_device"] = True
    return cache


def check_memory(cache: Cache, on_device: bool) -> None:
    """Raise if a cache has been filled with arrays in other memory."""
    if cache and cache.get("on_device", False) is not on_device:
        here, there = ("device", "host") if on_device else ("host", "device")
        raise ValueError(
            f"cache must be of a layer in {here} memory, got one with arrays in {there} memory"
        )


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
    return backends.leading(held, shape[0], beside)
