"""Thread blocks of the simulator: threads that meet, exchange numbers, and fail together."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastfood_np.backends.cuda.numba_cuda import cuda, kernel

pytestmark = pytest.mark.simulated

THREADS = 64


def run(body: Callable[..., None], threads: int, *arrays: Any, grid: int = 1) -> list[Any]:
    """Launch a kernel and return its arrays as it leaves them."""
    on_device = [cuda.to_device(array) for array in arrays]
    kernel(threads)(body)[grid, threads](*on_device)
    return [array.copy_to_host() for array in on_device]


@pytest.mark.parametrize("threads", [2, 16, 32, 64])
def test_lanes_exchange_numbers(threads: int) -> None:
    def swap(x: Any, y: Any, mask: int = 1) -> None:
        i = cuda.grid(1)
        y[i] = cuda.shfl_xor_sync(0xFFFFFFFF, x[i], mask)

    x = np.arange(threads, dtype=np.float32)
    _, y = run(swap, threads, x, np.zeros_like(x))
    np.testing.assert_array_equal(y, x[np.arange(threads) ^ 1])


def test_all_masks_one_after_the_other() -> None:
    """Nobody reads what a quick lane has brought to the next exchange."""

    def swaps(x: Any, y: Any) -> None:
        i = cuda.grid(1)
        value = x[i]
        for _ in range(5):
            for bit in range(4):
                if i % 3 == 0:
                    time.sleep(0.0005)
                value += cuda.shfl_xor_sync(0xFFFFFFFF, value, 1 << bit)
        y[i] = value

    x = np.random.default_rng(0).integers(0, 9, 16).astype(np.float64)
    _, y = run(swaps, 16, x, np.zeros_like(x))
    np.testing.assert_array_equal(y, np.full(16, x.sum() * 16.0**4))


def test_warps_do_not_mix() -> None:
    def swap(x: Any, y: Any) -> None:
        i = cuda.grid(1)
        if i % THREADS >= 32:  # a warp that comes late
            time.sleep(0.01)
        y[i] = cuda.shfl_xor_sync(0xFFFFFFFF, x[i], 16)

    x = np.arange(2 * THREADS)
    _, y = run(swap, THREADS, x, np.zeros_like(x), grid=2)
    np.testing.assert_array_equal(y, x ^ 16)


def test_all_threads_wait_for_each_other() -> None:
    def reverse(x: Any) -> None:
        shared = cuda.shared.array(THREADS, np.int64)
        i = cuda.threadIdx.x
        for _ in range(3):
            shared[i] = x[i]
            if i % 7 == 0:
                time.sleep(0.001)
            cuda.syncthreads()
            x[i] = shared[THREADS - 1 - i]
            cuda.syncthreads()

    (x,) = run(reverse, THREADS, np.arange(THREADS))
    np.testing.assert_array_equal(x, np.arange(THREADS)[::-1])


class Fault(Exception):
    """What goes wrong in a kernel."""


@pytest.mark.parametrize("meeting", ["syncthreads", "shfl_xor_sync"])
@pytest.mark.parametrize("failing", [0, 40])
def test_what_goes_wrong_in_one_thread_ends_the_block(failing: int, meeting: str) -> None:
    """It is what the caller sees, though the others find their barrier broken, and at once."""

    def body(x: Any) -> None:
        i = cuda.threadIdx.x
        if i == failing:
            time.sleep(0.01)
            raise Fault(f"thread {i} went wrong")
        if meeting == "syncthreads":
            cuda.syncthreads()
        else:
            cuda.shfl_xor_sync(0xFFFFFFFF, x[i], 1)
        cuda.syncthreads()

    start = time.monotonic()
    with pytest.raises(Fault, match=rf"tid=\[{failing}, 0, 0\].*thread {failing} went wrong"):
        run(body, THREADS, np.zeros(THREADS))
    assert time.monotonic() - start < 20
    # And the next launch is none the worse for it.
    (x,) = run(lambda x: x.__setitem__(cuda.grid(1), 1.0), 8, np.zeros(8))
    assert x.all()


def test_a_kernel_sees_its_own_place() -> None:
    def places(x: Any) -> None:
        x[cuda.blockIdx.x, cuda.threadIdx.x] = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x

    (x,) = run(places, 4, np.zeros((3, 4)), grid=3)
    np.testing.assert_array_equal(x.ravel(), np.arange(12))
