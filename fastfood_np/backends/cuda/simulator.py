"""What the CUDA simulator of numba-cuda lacks: exchanges within a warp, and a block that waits.

The simulator runs each CUDA thread of a block as a Python thread. Here the threads of a block meet
at one barrier for `syncthreads`, and those of a warp at another for shuffles, instead of being
asked in turn whether they have arrived; and device functions are called as they are.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numba.cuda.simulator import kernel

WARP = 32
_PATIENCE = 60.0  # seconds at a barrier, after which a block is given up


class _Warp:
    """The meeting point of a warp's threads, and two slots for each lane, used in turns.

    Nobody can be two exchanges ahead of a lane that has yet to read.
    """

    def __init__(self, lanes: int) -> None:
        self.barrier = threading.Barrier(lanes, timeout=_PATIENCE)
        self.slots: list[list[Any]] = [[None] * lanes, [None] * lanes]


class _Thread(kernel.BlockThread):
    """A CUDA thread that meets the others at barriers."""

    turn = 0

    def syncthreads(self) -> None:
        self._manager.barrier.wait()

    def exchange(self, value: Any, lane_mask: int) -> Any:
        """Return what the lane whose number differs in the bits of `lane_mask` has brought."""
        number, lane = divmod(self.thread_id, WARP)
        warp = self._manager.warps[number]
        self.turn ^= 1
        slots = warp.slots[self.turn]
        slots[lane] = value
        warp.barrier.wait()
        return slots[lane ^ lane_mask]


class _Block(kernel.BlockManager):
    """A thread block: all threads start, meet where they must, and end."""

    def run(self, grid_point: tuple[int, ...], *arguments: Any) -> None:
        threads = [
            _Thread(lambda: self._body(*arguments), self, grid_point, point, self._debug)
            for point in np.ndindex(*self._block_dim)
        ]
        self.barrier = threading.Barrier(len(threads), timeout=_PATIENCE)
        self.warps = [
            _Warp(min(WARP, len(threads) - start)) for start in range(0, len(threads), WARP)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        failures = [thread.exception for thread in threads if thread.exception]
        failures.sort(key=lambda failure: isinstance(failure[0], threading.BrokenBarrierError))
        if failures:
            raise failures[0][0].with_traceback(failures[0][1])

    def _body(self, *arguments: Any) -> None:
        try:
            self._f(*arguments)
        except BaseException:
            for meeting in (self.barrier, *(warp.barrier for warp in self.warps)):
                meeting.abort()  # let nobody wait for a thread that has failed
            raise


def _shfl_xor_sync(mask: int, value: Any, lane_mask: int) -> Any:
    thread: Any = threading.current_thread()
    return thread.exchange(value, lane_mask)


class SimulatedCuda:
    """`numba.cuda` as kernels see it, whoever's globals they find it in.

    The simulator puts its module for kernels into the globals of a function for the time of a
    call. This one asks for the running kernel's module instead, which costs device functions
    nothing.
    """

    shfl_xor_sync = staticmethod(_shfl_xor_sync)

    def __init__(self, module: Any) -> None:
        self._module = module
        kernel.BlockManager = _Block

    def __getattr__(self, name: str) -> Any:
        running = kernel._get_kernel_context()
        return getattr(self._module if running is None else running, name)
