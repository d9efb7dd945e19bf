"""Compiling before the work begins."""

import numpy as np
import pytest

import fastfood_np
from fastfood_np import layers
from fastfood_np.backends.cpu import hadamard, jit
from fastfood_np.backends.cpu.fastfood import backward, forward


def test_nothing_is_compiled_after_it(monkeypatch):
    if jit.disabled():
        pytest.skip("nothing is compiled")
    fastfood_np.warmup(["float32"])
    kernels = (hadamard._by_blocks, forward.by_tiles["none"], backward.by_tiles)
    before = [len(kernel.serial.signatures) for kernel in kernels]
    assert all(before)
    layer = layers.Fastfood(100, 300)
    x = np.ones((30, 100), np.float32)
    y, cache = layer.forward(x)
    layer.backward(y, cache)
    fastfood_np.fwht(np.ones((7, 64), np.float32))
    assert [len(kernel.serial.signatures) for kernel in kernels] == before


@pytest.mark.parametrize("dtypes", [["float32", "float16"], ("float32", 3), "float16", int, 3])
def test_a_wrong_dtype_is_refused_before_anything_is_compiled(monkeypatch, dtypes):
    monkeypatch.setattr("fastfood_np.precompile.fwht", lambda x: pytest.fail("ran"))
    with pytest.raises(TypeError, match="dtypes must be float32 or float64, got "):
        fastfood_np.warmup(dtypes)
