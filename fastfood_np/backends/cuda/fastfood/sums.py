"""Sums of gradients: over the rows of a tile, then over the thread blocks, always in one order."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastfood_np.backends.cuda.fastfood.plan import Plan
from fastfood_np.backends.cuda.limits import MAX_THREADS
from fastfood_np.backends.cuda.numba_cuda import cuda, device_function, kernel
from fastfood_np.backends.cuda.stages import index_type, make_index, make_padded, make_write

COLUMNS = 32  # neighbouring columns that a thread block of `reduce` adds up
REDUCE_THREADS = min(256, MAX_THREADS)
SUMS = 3  # dS, dG and dB


@cache
def make_store_sums(plan: Plan, shift: int, dtype: Any) -> Any:
    """Return a function that writes what a thread block has summed up in the layout `shift`.

    The rows of a tile are added first, where there are several.
    """
    schedule, rows, d = plan.schedule, plan.rows_in_tile, 1 << plan.log_d
    count, threads, length = schedule.registers, schedule.threads, index_type(d)
    index, zero = make_index(schedule, shift), index_type(0)
    write, place_of = make_write(schedule, shift, dtype), make_padded(dtype)

    @device_function
    def store_row(sums, shared, partial, start, thread):
        for i in range(count):
            partial[start + index(thread, 0) + index(zero, i)] = sums[i]

    @device_function
    def store_sum_of_rows(sums, shared, partial, start, thread):
        cuda.syncthreads()
        write(sums, shared, thread)
        cuda.syncthreads()
        for number in range(thread, d, threads):
            column, total = index_type(number), dtype(0)
            for row in range(rows):
                total += shared[place_of(index_type(row) * length + column)]
            partial[start + column] = total

    return store_row if rows == 1 else store_sum_of_rows


@cache
def make_reduce(plan: Plan, dtype: Any) -> Any:
    """Return the kernel that adds the partial sums (chunks, blocks, 3, d) of 32 columns.

    Each of its warps adds a share of the chunks, in order, and the first one adds the shares.
    """
    warps = REDUCE_THREADS // COLUMNS
    shared_size, columns = REDUCE_THREADS, index_type(COLUMNS)
    d, log_d, sums = index_type(1 << plan.log_d), index_type(plan.log_d), index_type(SUMS)
    low = index_type((1 << plan.log_d) - 1)

    @kernel(REDUCE_THREADS)
    def reduce(partial, dS, dG, dB, chunks, blocks):
        shared = cuda.shared.array(shared_size, dtype)
        lane = index_type(cuda.threadIdx.x) % columns
        warp = index_type(cuda.threadIdx.x) // columns
        parameter = index_type(cuda.blockIdx.x) * columns + lane  # in (blocks, d)
        which = index_type(cuda.blockIdx.y)
        total = dtype(0)
        if parameter < blocks * d:
            block, column = parameter >> log_d, parameter & low
            for chunk in range(warp, chunks, warps):
                total += partial[((index_type(chunk) * blocks + block) * sums + which) * d + column]
        shared[warp * columns + lane] = total
        cuda.syncthreads()
        if warp == index_type(0) and parameter < blocks * d:
            total = dtype(0)
            for share in range(warps):
                total += shared[index_type(share) * columns + lane]
            if which == index_type(0):
                dS[parameter] = total
            elif which == index_type(1):
                dG[parameter] = total
            else:
                dB[parameter] = total

    return reduce
