"""The Walsh-Hadamard transform of rows in device memory: one pass over it, or two.

A pass reads tiles, takes the stages that fall within a tile, and writes them. Rows that fit into a
tile take one pass. Longer ones take two: the first for the stages within contiguous parts of a
row, the second for the others, on tiles of short runs that lie a part's length apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from fastfood_np.backends.cuda.launch import KEPT, Launch, run
from fastfood_np.backends.cuda.layouts import LANE_BITS, Schedule, shuffled
from fastfood_np.backends.cuda.limits import LOG_SMALLEST_TILE, SHARED_BYTES
from fastfood_np.backends.cuda.numba_cuda import cuda, device_function, kernel
from fastfood_np.backends.cuda.stages import index_type, make_index, make_transform
from fastfood_np.backends.cuda.storage import bits, compute_type, make_narrow, make_widen

MAX_LOG_LENGTH = 24
SECTOR = 32  # bytes: what device memory delivers at least
LOG_REGISTERS = 4  # 16 numbers in a thread: with 32 registers in all, as many threads run as can
THREADS_AT_ONCE = 2048


@dataclass(frozen=True)
class Pass:
    """One pass over the data, and where the numbers of its tiles lie.

    Number i of a tile lies ``(i div 2^log_run) * 2^log_stride + i mod 2^log_run`` behind its
    start: runs of 2^log_run numbers, 2^log_stride apart. The tiles of one stretch of 2^log_stretch
    numbers lie side by side. (Where tiles are contiguous, these three are the size of a tile.)
    """

    schedule: Schedule
    log_run: int
    log_stride: int
    log_stretch: int


def contiguous_pass(log_d: int, log_items: int) -> Pass:
    """Return the pass over contiguous tiles that takes the stages of rows of 2^log_d numbers."""
    if log_d > log_items:
        schedule = shuffled(log_d, LOG_REGISTERS + 1, (0, log_d), rounds=2)
    else:
        log_size = max(log_d, LOG_REGISTERS + LANE_BITS, min(LOG_SMALLEST_TILE + 1, log_items))
        schedule = shuffled(log_size, LOG_REGISTERS, (0, log_d))
    return Pass(schedule, schedule.log_size, schedule.log_size, schedule.log_size)


def strided_pass(log_d: int, log_part: int, log_size: int, log_items: int) -> Pass:
    """Return the pass that takes the stages of rows beyond contiguous parts of 2^log_part."""
    log_run = log_size - (log_d - log_part)
    rounds = 2 if log_size > log_items else 1
    schedule = shuffled(log_size, LOG_REGISTERS + rounds - 1, (log_run, log_size), rounds=rounds)
    return Pass(schedule, log_run, log_part, log_d)


@cache
def passes(log_d: int, itemsize: int, shared_bytes: int = SHARED_BYTES) -> tuple[Pass, ...]:
    """Return the passes that transform rows of 2^log_d numbers of `itemsize` bytes.

    Tiles fill the shared memory once, or, where that is needed, in two rounds. The runs of the
    second pass are as long as can be, and whole sectors of memory at least.
    """
    log_items = (shared_bytes // itemsize).bit_length() - 1
    if log_d <= log_items + 1:
        return (contiguous_pass(log_d, log_items),)
    for log_part, log_size in (
        (log_items, log_items),
        (log_items + 1, log_items),
        (log_items + 1, log_items + 1),
    ):
        if (itemsize << log_size) >> (log_d - log_part) >= SECTOR:
            first = contiguous_pass(log_part, log_items)
            return (first, strided_pass(log_d, log_part, log_size, log_items))
    raise ValueError(f"rows of 2^{log_d} numbers are too long for two passes")


@cache
def max_length(dtype: Any) -> int:
    """Return the greatest length of a row; of 16 bits what one pass holds, as float32."""
    if np.dtype(dtype).itemsize == 2:
        return 2 * SHARED_BYTES // np.dtype(np.float32).itemsize
    log_d = MAX_LOG_LENGTH
    while True:
        try:
            passes(log_d, np.dtype(dtype).itemsize)
            return 1 << log_d
        except ValueError:
            log_d -= 1


@cache
def make_place(plan: Pass) -> Any:
    """Return a device function: how far behind its start a tile's number lies."""
    run, stride = index_type(plan.log_run), index_type(plan.log_stride)
    low = index_type((1 << plan.log_run) - 1)

    @device_function
    def place(i):
        return ((i >> run) << stride) + (i & low)

    return place


@cache
def make_kernel(plan: Pass, dtype: np.dtype[Any], ragged: bool) -> Any:
    """Return the kernel of a pass; with `ragged`, the last tile reaches beyond the data."""
    schedule, compute = plan.schedule, compute_type(dtype)
    widen, narrow = make_widen(dtype), make_narrow(dtype)
    count = schedule.registers
    shared_size = schedule.shared_size(np.dtype(compute).itemsize)
    transform, place = make_transform(schedule, compute), make_place(plan)
    first, last = make_index(schedule, schedule.first), make_index(schedule, schedule.last)
    run, stretch = index_type(plan.log_run), index_type(plan.log_stretch)
    beside = index_type(plan.log_stride - plan.log_run)  # log2 of the tiles in a stretch
    beside_low, zero = index_type((1 << (plan.log_stride - plan.log_run)) - 1), index_type(0)

    narrow_enough = dtype in (np.float16, np.float32) and schedule.rounds == 1 and not ragged
    at_once = THREADS_AT_ONCE if narrow_enough else None

    @kernel(schedule.threads, at_once)
    def hadamard(x, y, scale, total):
        values = cuda.local.array(count, compute)
        shared = cuda.shared.array(shared_size, compute)
        thread, tile = index_type(cuda.threadIdx.x), index_type(cuda.blockIdx.x)
        start = ((tile >> beside) << stretch) + ((tile & beside_low) << run)

        source = start + place(first(thread, 0))
        for i in range(count):
            at = source + place(first(zero, i))
            values[i] = compute(0) if ragged and at >= total else widen(x[at])
        transform(values, shared, thread)
        target = start + place(last(thread, 0))
        for i in range(count):
            at = target + place(last(zero, i))
            if not ragged or at < total:
                y[at] = narrow(values[i] * scale)

    return hadamard


@lru_cache(KEPT)
def launches(shape: tuple[int, int], dtype: Any) -> tuple[Launch, ...]:
    """Return the launches that transform an array (m, d) of this dtype: one a pass."""
    m, d = shape
    dtype = np.dtype(dtype)
    planned = []
    for plan in passes(d.bit_length() - 1, np.dtype(compute_type(dtype)).itemsize):
        tiles = -(-m * d // plan.schedule.size)
        planned.append(
            Launch(
                make_kernel(plan, dtype, tiles * plan.schedule.size != m * d),
                grid=tiles,
                threads=plan.schedule.threads,
                read_bytes=m * d * dtype.itemsize,
                written_bytes=m * d * dtype.itemsize,
            )
        )
    return tuple(planned)


def fwht(x: Any, out: Any, scale: float = 1.0) -> None:
    """Fill out (m, d), d = 2^k, with scale * H x, row by row: the same array or apart."""
    total = x.size
    if not total:
        return
    planned = launches(tuple(x.shape), x.dtype)
    number = compute_type(x.dtype)
    source, target = (bits(array).reshape(total) for array in (x, out))
    for launch in planned:
        factor = number(scale if launch is planned[-1] else 1.0)
        run(launch, x.stream, source, target, factor, index_type(total))
        source = target
