"""What lies in device memory behind the face of what lies on the host, for tests that use NumPy.

In the simulator device memory is host memory, so nothing is copied: an array that is written to
when it must not be, or that is not the buffer it should be, is noticed.
"""

import numpy as np
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

from fastfood_np.backends import cuda


def wrapped(value):
    """The array of the simulator that has this array's memory; indices take 32 bits there."""
    if not isinstance(value, np.ndarray):
        return value
    return FakeCUDAArray(value.astype(np.int32) if value.dtype == np.int64 else value)


def unwrapped(value):
    """The NumPy array behind one of the simulator."""
    return value._ary if isinstance(value, FakeCUDAArray) else value


class Backend:
    """The functions of the cuda backend, called with NumPy arrays."""

    def __getattr__(self, name):
        function = getattr(cuda, name)
        return lambda *arguments: function(*map(wrapped, arguments))


class Layer:
    """A layer in device memory, called with NumPy arrays."""

    def __init__(self, layer):
        self._layer = layer.to_device()

    def __getattr__(self, name):
        return getattr(self._layer, name)

    @property
    def params(self):
        return {name: unwrapped(value) for name, value in self._layer.params.items()}

    @property
    def constants(self):
        return {name: unwrapped(value) for name, value in self._layer.constants.items()}

    def __call__(self, x):
        return self.forward(x)[0]

    def forward(self, x, train=False, rng=None, cache=None):
        y, cache = self._layer.forward(wrapped(x), train, rng, cache)
        return unwrapped(y), cache

    def backward(self, dy, cache, need_dx=True):
        dx, grads = self._layer.backward(wrapped(dy), cache, need_dx)
        return unwrapped(dx), {name: unwrapped(grad) for name, grad in grads.items()}
