"""The contract every layer keeps: an explicit forward and backward pass, no hidden state.

::

    y = layer(x)                                      # inference: stores nothing
    y, cache = layer.forward(x, train=True, rng=rng)
    dx, grads = layer.backward(dy, cache)

The public methods check and open the cache; a layer's own file holds only its arithmetic, in
`_forward` and `_backward`, side by side.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from fastfood_np import backends
from fastfood_np.layers.cache import Cache, check_memory, open_cache
from fastfood_np.transforms.on_device import check_device_array
from fastfood_np.validation import Array, check_batch, check_cache, check_float_dtype, check_rng

Gradients = dict[str, Array]


class Layer:
    """Base of all layers.

    Attributes
    ----------
    params : dict of str to ndarray
        Everything that is counted as a parameter; SGD writes the trainable ones in place.
    trainable : tuple of str
        Names in `params` that `backward` returns gradients for.
    biases : tuple of str
        Names in `params` that are biases; all others are weights.
    constants : dict of str to ndarray
        Drawn once, never trained and not counted (Fastfood's permutation).
    config : dict
        The constructor's arguments; with `params` and `constants` it rebuilds the layer.
    dtype : numpy.dtype or None
        The dtype of x, y and params; None for a layer without params, which keeps that of x.
    input_shape : tuple of (int or None), or None
        Shape of one input, None standing for any size; None alone is any shape.
    draws : bool
        Whether ``forward(train=True)`` draws random numbers and so needs `rng`.
    on_device : bool
        Whether params, and so x and y, are in the memory of a GPU; see `to_device`.
    """

    biases: tuple[str, ...] = ()
    input_shape: tuple[int | None, ...] | None = None
    draws: bool = False
    on_device: bool = False
    device_form: bool = False  # whether there are kernels for it

    def __init__(self, dtype: Any = None, **config: Any) -> None:
        self.dtype: np.dtype[Any] | None = None if dtype is None else check_float_dtype(dtype)
        self.config: dict[str, Any] = {name: _plain(value) for name, value in config.items()}
        self.params: dict[str, Array] = {}
        self.constants: dict[str, Array] = {}
        self.trainable: tuple[str, ...] = ()

    def __call__(self, x: Array) -> Array:
        """Return y for inference (no dropout). Stores nothing; safe from many threads."""
        return self.forward(x)[0]

    def forward(
        self,
        x: Array,
        train: bool = False,
        rng: np.random.Generator | int | None = None,
        cache: Cache | None = None,
    ) -> tuple[Array, Cache]:
        """Return y and the cache that `backward` needs.

        Parameters
        ----------
        x : ndarray of shape (m, ...), dtype ``layer.dtype``
            A batch, rows first. Never written; must not change before `backward`.
        train : bool
            Whether dropout is on.
        rng : Generator or int, optional
            Source of the dropout masks; needed where `train` is on and the layer has dropout.
        cache : dict, optional
            ``{}`` or a cache of an earlier call: it owns the buffers, and y, dx and grads are
            buffers of it, overwritten by the next call with it. Without it all are fresh arrays
            (but where nothing is computed: Flatten gives views, Dropout at inference x itself).

        Raises
        ------
        TypeError
            `x` is no array or has another dtype.
        ValueError
            `x` has another shape, or `rng` is missing.
        """
        x = self._place(x, "x")
        self.check_input(x)
        masks_from = None
        if train and self.draws:
            if rng is None:
                raise ValueError(
                    "rng must be given: with train=True this layer draws a dropout mask"
                )
            masks_from = check_rng(rng)
        cache = open_cache(cache, self.on_device)
        y = self._forward(x, cache, masks_from)
        cache["y_shape"], cache["y_dtype"] = y.shape, y.dtype
        return y, cache

    def backward(self, dy: Array, cache: Cache, need_dx: bool = True) -> tuple[Any, Gradients]:
        """Return dE/dx and the gradients of the trainable params, summed over the batch.

        Parameters
        ----------
        dy : ndarray
            dE/dy, of y's shape and dtype. Never written.
        cache : dict
            What `forward` returned for this x.
        need_dx : bool
            False where dE/dx is not wanted (the first layer in training): dx is then None.
        """
        check_cache(cache)
        check_memory(cache, self.on_device)
        dy = self._place(dy, "dy")
        check_batch(dy, "dy", cache["y_dtype"], cache["y_shape"][1:])
        if dy.shape != cache["y_shape"]:
            raise ValueError(f"dy must have y's shape {cache['y_shape']}, got {dy.shape}")
        return self._backward(dy, cache, need_dx)

    def check_input(self, x: Array) -> None:
        """Raise a clear error unless `x` is a batch of this layer's inputs."""
        check_batch(x, "x", self.dtype, self.input_shape)

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        """Compute y from a checked x; with `rng`, draw and apply dropout."""
        raise NotImplementedError

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        """Compute dx and grads from a checked dy."""
        raise NotImplementedError

    def _place(self, x: Any, name: str) -> Any:
        """Return x, or Numba's view of it, if it is in the memory that the layer works in."""
        if self.on_device:
            dtypes = ("float32", "float64") if self.dtype is None else (self.dtype.name,)
            return check_device_array(x, name, dtypes)
        if not isinstance(x, np.ndarray) and backends.on_device(x):
            raise TypeError(
                f"{name} must be a NumPy array, got {type(x).__name__}, which is in device memory; "
                "move the layer there with layer.to_device()"
            )
        return x

    def to_device(self) -> Self:
        """Return a copy of the layer for arrays in the memory of the GPU.

        Its params and constants are copied there, as Numba arrays, and y, dx and the gradients
        are Numba arrays too. x and dy are C-contiguous arrays in device memory of any library with
        ``__cuda_array_interface__``: Numba, CuPy, PyTorch. Forward works on the stream that x's
        library uses when it is called, backward on that of dy's; a cache is for one stream at a
        time. Only dropout masks, which are drawn on the host, are copied later.

        Raises
        ------
        BackendUnavailableError
            The package numba-cuda, the driver or the GPU is missing.
        MemoryError
            There is no room in device memory.
        TypeError
            There are no kernels for this layer.
        """
        if not self.device_form:
            raise TypeError(
                f"{type(self).__name__} has no kernels for a GPU; "
                "Diagonal, Fastfood, Hadamard and Permutation have"
            )
        if self.on_device:
            return self.to_host().to_device()
        to_device = backends.select_cuda().arrays.to_device
        # Kernels read 32 bits of an index, half as many as NumPy's.
        other = self._with_arrays(
            lambda value: to_device(value.astype(np.int32) if value.dtype.kind == "i" else value)
        )
        other.on_device = True
        return other

    def to_host(self) -> Self:
        """Return a copy of the layer for NumPy arrays; the opposite of `to_device`."""
        if not self.on_device:
            return self._with_arrays(np.copy)
        to_host = backends.select_cuda().arrays.to_host
        other = self._with_arrays(
            lambda value: to_host(value).astype(
                np.int64 if value.dtype.kind == "i" else value.dtype
            )
        )
        other.on_device = False
        return other

    def _with_arrays(self, convert: Callable[[Any], Any]) -> Self:
        other = copy.copy(self)
        other.config = dict(self.config)
        other.params = {name: convert(value) for name, value in self.params.items()}
        other.constants = {name: convert(value) for name, value in self.constants.items()}
        return other

    def astype(self, dtype: Any) -> Self:
        """Return a copy whose params, and so x and y, have this dtype."""
        dtype = check_float_dtype(dtype)
        if self.on_device:
            raise TypeError("astype is for a layer on the host: call it before to_device()")
        other = copy.copy(self)
        other.config = dict(self.config)
        other.constants = dict(self.constants)
        if self.dtype is not None:
            other.dtype = dtype
            other.config["dtype"] = dtype.name
        other.params = {name: value.astype(dtype) for name, value in self.params.items()}
        return other

    @property
    def n_weights(self) -> int:
        """Number of parameters that are not biases."""
        return sum(value.size for name, value in self.params.items() if name not in self.biases)

    @property
    def n_biases(self) -> int:
        """Number of parameters that are biases."""
        return sum(self.params[name].size for name in self.biases)


def _plain(value: Any) -> Any:
    """Return NumPy scalars as Python's, so that a config can be written as JSON."""
    if isinstance(value, (tuple, list)):
        return [_plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


def contiguous(x: Array) -> Array:
    """Return x laid out as kernels want it: np.require, but fast where there is nothing to do."""
    if not isinstance(x, np.ndarray):  # in device memory all are C-contiguous
        return x
    flags = x.flags
    return x if flags.c_contiguous and flags.aligned else np.require(x, requirements=("C", "A"))
