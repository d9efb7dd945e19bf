"""Threads change no bit of the structured layers: Numba's, and Python's as shards use them."""

import numpy as np
import pytest

from fastfood_np.backends import cpu
from fastfood_np.backends.cpu import jit, kernel
from fastfood_np.layers import SORF, BlockCirculant, Circulant, Hashed, LowRank, QuantizedDense
from fastfood_np.layers import circulant as circulant_layer
from fastfood_np.training.shards import ShardRunner

pytestmark = pytest.mark.skipif(jit.disabled(), reason="plain Python uses no threads")

ROWS = 300
# Large enough for threads: 2^15 numbers for Numba's, 2^18 for those of the FFT.
LAYERS = {
    "Circulant": lambda dtype: Circulant(499, 1000, bias=True, rng=0, dtype=dtype),
    "Circulant without signs": lambda dtype: Circulant(900, 900, signs="ones", rng=0, dtype=dtype),
    "BlockCirculant": lambda dtype: BlockCirculant(300, 200, block_size=25, rng=0, dtype=dtype),
    "LowRank": lambda dtype: LowRank(300, 200, rank=8, rng=0, dtype=dtype),
    "Hashed": lambda dtype: Hashed(300, 200, n_hashed=1000, rng=0, dtype=dtype),
    "QuantizedDense": lambda dtype: QuantizedDense(
        300, 201, n_subspaces=50, n_centroids=16, rng=0, dtype=dtype
    ),
    "QuantizedDense of bytes": lambda dtype: QuantizedDense(
        300, 201, n_subspaces=150, n_centroids=20, shared=True, rng=0, dtype=dtype
    ),
    "SORF": lambda dtype: SORF(200, 600, rng=0, dtype=dtype),
}
every_layer = pytest.mark.parametrize("kind", LAYERS)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def inputs(layer):
    rng = np.random.default_rng(1)
    return [
        rng.standard_normal((ROWS, size)).astype(layer.dtype)
        for size in (*layer.input_shape, layer.config["n_out"])
    ]


def compute(layer, x, dy):
    """y, dx and the gradients."""
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    return [y, dx, *(grads[name] for name in sorted(grads))]


def assert_same(ours, theirs):
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(our, their, strict=True)


@both_dtypes
@every_layer
def test_numbas_threads(kind, dtype, monkeypatch):
    import numba

    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("Numba has one thread only")
    layer, shared = LAYERS[kind](dtype), []

    def threads_of_fft(elements, own=circulant_layer.fft_threads):
        shared.append(own(elements))
        return shared[-1]

    original = kernel.Kernel.__call__

    def call(self, teams, *arguments):
        shared.append(teams)
        original(self, teams, *arguments)

    monkeypatch.setattr(kernel.Kernel, "__call__", call)
    monkeypatch.setattr(circulant_layer, "fft_threads", threads_of_fft)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = compute(layer, *inputs(layer))
        assert max(shared, default=1) == 1
        numba.set_num_threads(2)
        for _ in range(2):
            assert_same(compute(layer, *inputs(layer)), alone)
    finally:
        numba.set_num_threads(before)
    # (Of the others all is NumPy's and BLAS's.)
    assert max(shared, default=1) == (1 if kind in ("BlockCirculant", "LowRank") else 2)
    with cpu.serial():
        assert_same(compute(layer, *inputs(layer)), alone)


@both_dtypes
@every_layer
def test_threads_of_shards(kind, dtype):
    """Each shard on a thread of its own, all at once, as one after the other."""
    layer = LAYERS[kind](dtype)
    x, dy = inputs(layer)

    def part(shard, start, stop):
        return compute(layer, x[start:stop], dy[start:stop])

    with ShardRunner(1) as runner:
        alone = runner.run(part, ROWS)
    with ShardRunner(4) as runner:
        for _ in range(2):
            for ours, theirs in zip(runner.run(part, ROWS), alone, strict=True):
                assert_same(ours, theirs)
