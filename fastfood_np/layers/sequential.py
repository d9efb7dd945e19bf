"""A chain of named layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np

from fastfood_np.layers.base import Gradients, Layer
from fastfood_np.layers.cache import Cache
from fastfood_np.validation import Array, check_batch


class ParameterCount(NamedTuple):
    """How many parameters a layer of a chain has."""

    layer: str
    weights: int
    biases: int


class Sequential(Layer):
    """Layers one after the other; the name of a parameter is "<layer>.<param>".

    ``params`` holds the layers' own arrays, so writing into one trains the layer.

    Parameters
    ----------
    layers : iterable of (str, Layer)
        Name and layer, in the order x passes them. All layers with params have one dtype.

    Examples
    --------
    >>> from fastfood_np.layers import Dense, Fastfood, ReLU
    >>> net = Sequential([("fastfood", Fastfood(800, 1024)), ("relu", ReLU()),
    ...                   ("classifier", Dense(1024, 10))])
    >>> sorted(net.params)[-1], net.n_weights, net.n_biases
    ('fastfood.S', 13312, 10)
    """

    def __init__(self, layers: Iterable[tuple[str, Layer]]) -> None:
        self.config = {}
        self.layers = dict(_checked(layers))
        dtypes = {layer.dtype for layer in self.layers.values() if layer.dtype is not None}
        if len(dtypes) > 1:
            names = ", ".join(sorted(dtype.name for dtype in dtypes))
            raise TypeError(f"layers must all have one dtype, got {names}")
        self.dtype = dtypes.pop() if dtypes else None
        self.draws = any(layer.draws for layer in self.layers.values())
        self.trainable = self._names("trainable")
        self.biases = self._names("biases")
        trained = [i for i, layer in enumerate(self.layers.values()) if layer.trainable]
        self._first_trained = trained[0] if trained else len(self.layers)

    @property
    def params(self) -> Mapping[str, Array]:  # type: ignore[override]
        """The layers' params as they are now; read-only, but for the arrays themselves."""
        return self._gather("params")

    @property
    def constants(self) -> Mapping[str, Array]:  # type: ignore[override]
        """The layers' constants as they are now."""
        return self._gather("constants")

    def _gather(self, kind: str) -> Mapping[str, Array]:
        return MappingProxyType(
            {
                f"{name}.{key}": array
                for name, layer in self.layers.items()
                for key, array in getattr(layer, kind).items()
            }
        )

    def _names(self, kind: str) -> tuple[str, ...]:
        return tuple(
            f"{name}.{key}" for name, layer in self.layers.items() for key in getattr(layer, kind)
        )

    def check_input(self, x: Array) -> None:
        check_batch(x, "x", self.dtype, None)  # its shape is the first layer's to check

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        owned = "buffers" in cache
        caches: dict[str, Cache] = cache.get("layers", {}) if owned else {}
        cache["layers"] = caches
        h = x
        for name, layer in self.layers.items():
            h, caches[name] = layer.forward(
                h, rng is not None, rng, caches.get(name, {}) if owned else None
            )
        return h

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        grads: Gradients = {}
        dh: Any = dy
        for i, (name, layer) in reversed(list(enumerate(self.layers.items()))):
            if i < self._first_trained and not need_dx:
                return None, grads
            dh, layer_grads = layer.backward(
                dh, cache["layers"][name], need_dx or i > self._first_trained
            )
            grads |= {f"{name}.{key}": grad for key, grad in layer_grads.items()}
        return dh if need_dx else None, grads

    def __call__(self, x: Array) -> Array:
        """Return the chain's output for inference; each intermediate is freed at once."""
        self.check_input(x)
        for layer in self.layers.values():
            x = layer(x)
        return x

    def astype(self, dtype: Any) -> Self:
        return type(self)((name, layer.astype(dtype)) for name, layer in self.layers.items())

    def parameter_counts(self) -> list[ParameterCount]:
        """Return weights and biases of every layer that has any, in order."""
        return [
            ParameterCount(name, layer.n_weights, layer.n_biases)
            for name, layer in self.layers.items()
            if layer.params
        ]


def _checked(layers: Iterable[tuple[str, Layer]]) -> list[tuple[str, Layer]]:
    pairs = list(layers)
    for name, layer in pairs:
        if not isinstance(layer, Layer):
            raise TypeError(f"layers must hold (name, Layer) pairs, got {layer!r} for {name!r}")
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"a layer's name must be a string without dots, got {name!r}")
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"names of layers must differ, got {names}")
    return pairs
