"""The gradients of y = c S H G Pi H B x in one kernel, and the sums over its thread blocks.

A thread block goes through some of the rows, recomputes h_G and h_S from x, takes the gradient of y
back through the factors, and sums dS, dG and dB of its rows in registers. How many thread blocks
there are depends on the batch and the size of a row alone, and a second kernel adds their sums in
order: the same input gives the same bits.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np

from fastfood_np.backends.cuda.arrays import empty
from fastfood_np.backends.cuda.fastfood import by_factors
from fastfood_np.backends.cuda.fastfood.plan import Plan, backward_plan, fits
from fastfood_np.backends.cuda.fastfood.rows import (
    columns_left,
    flat,
    make_column,
    make_inside,
    make_load,
    make_permute,
    make_row,
    make_scale,
)
from fastfood_np.backends.cuda.fastfood.sums import (
    COLUMNS,
    REDUCE_THREADS,
    SUMS,
    make_reduce,
    make_store_sums,
)
from fastfood_np.backends.cuda.launch import KEPT, Launch, run
from fastfood_np.backends.cuda.numba_cuda import cuda, device_function, kernel
from fastfood_np.backends.cuda.stages import (
    index_type,
    make_index,
    make_padded,
    make_read,
    make_transform,
)

CHUNK_THREADS = 1 << 16  # in all chunks together: what a large GPU can hold
# Threads that share a multiprocessor: with 128 registers for each, and with 255 for float64.
THREADS_AT_ONCE = {np.float32: 512, np.float64: 256}


def reads_x_twice(plan: Plan, dtype: Any, dropout: bool) -> bool:
    """Whether x must be read again for dB, as there are no registers left to keep it in."""
    return dropout or dtype is np.float64 or plan.schedule.log_registers > 3


@cache
def make_turn(plan: Plan, dtype: Any, whole: bool) -> Any:
    """Return a function for where forward ends and backward starts, in the last layout.

    It takes h_S to its gradient, ``S c dy``, zero where there is no y, and adds ``h_S c dy`` to dS.
    """
    count = plan.schedule.registers
    row_of, column_of = make_row(plan, plan.schedule.last), make_column(plan, plan.schedule.last)
    inside, zero, nothing = make_inside(plan, whole), index_type(0), dtype(0)

    @device_function
    def turn(values, dS, dy, S, start, group, thread, m, n_out, scale):
        row, out = row_of(group, 0, thread, 0), start + column_of(thread, 0)
        source, columns = row * n_out + out, columns_left(out, n_out)
        for i in range(count):
            further, across = row_of(zero, 0, zero, i), column_of(zero, i)
            gradient = nothing
            if inside(row + further, m, across, columns):
                gradient = scale * dy[source + (further * n_out + across)]
            dS[i] += gradient * values[i]
            values[i] = S[out + across] * gradient

    return turn


@cache
def make_unpermute(plan: Plan, dtype: Any, dropout: bool) -> Any:
    """Return a function for the mask and Pi': tiles in the first layout to ones in the last."""
    schedule = plan.schedule
    count = schedule.registers
    read, place_of = make_read(schedule, schedule.last, dtype), make_padded(dtype)
    first, column_of = make_index(schedule, schedule.first), make_column(plan, schedule.first)
    zero, zero_scale = index_type(0), dtype(0)

    @device_function
    def unpermute(values, shared, perm, start, kept, keep_scale, thread):
        cuda.syncthreads()
        column = column_of(thread, 0)
        rows_before = first(thread, 0) - column
        for i in range(count):
            across = column_of(zero, i)
            before = rows_before + (first(zero, i) - across)
            h = values[i]
            if dropout:
                h *= keep_scale if kept & np.uint32(1 << i) else zero_scale
            shared[place_of(before + index_type(perm[start + column + across]))] = h
        cuda.syncthreads()
        read(values, shared, thread)

    return unpermute


@cache
def make_kernel(
    plan: Plan, dtype: Any, dropout: bool, need_dx: bool, stacked: bool, whole: bool
) -> Any:
    """Return the kernel that fills dx and the partial sums of each thread block.

    With `stacked` there are several blocks of features; with `whole`, d_in is d_pad and no block
    is cut.
    """
    schedule = plan.schedule
    count, length = schedule.registers, index_type(1 << plan.log_d)
    shared_size = schedule.shared_size(np.dtype(dtype).itemsize)
    load, turn = make_load(plan, dtype, whole), make_turn(plan, dtype, whole)
    transform = make_transform(schedule, dtype)
    back = make_transform(schedule.reversed(), dtype)
    permute, unpermute = make_permute(plan, dtype, dropout), make_unpermute(plan, dtype, dropout)
    store_last = make_store_sums(plan, schedule.last, dtype)
    store_first = make_store_sums(plan, schedule.first, dtype)
    scale_first = make_scale(plan, schedule.first)
    row_of, column_of = make_row(plan, schedule.first), make_column(plan, schedule.first)
    zero, log_d, sums = index_type(0), index_type(plan.log_d), index_type(SUMS)
    inside, reload = make_inside(plan, whole), reads_x_twice(plan, dtype, dropout)

    @device_function
    def add_products(total, a, b):
        for i in range(count):
            total[i] += a[i] * b[i]

    @device_function
    def store_dx(values, dx, block, group, thread, m, d_in):
        row, column = row_of(group, 0, thread, 0), column_of(thread, 0)
        target, columns = row * d_in + column, columns_left(column, d_in)
        for i in range(count):
            further, across = row_of(zero, 0, zero, i), column_of(zero, i)
            if inside(row + further, m, across, columns):
                at = target + (further * d_in + across)
                # Of stacked blocks, this thread itself has written what those before gave.
                dx[at] = dx[at] + values[i] if stacked and block > 0 else values[i]

    @device_function
    def backward(
        x, dy, S, G, B, perm, keep, dx, partial, m, d_in, n_out, blocks, groups, scale, keep_scale
    ):
        d_in = length if whole else d_in
        n_out = length if whole and not stacked else n_out
        inputs = cuda.local.array(count, dtype)
        values = cuda.local.array(count, dtype)
        h_G = cuda.local.array(count, dtype)
        dS = cuda.local.array(count, dtype)
        dG = cuda.local.array(count, dtype)
        dB = cuda.local.array(count, dtype)
        shared = cuda.shared.array(shared_size, dtype)
        thread, chunk = index_type(cuda.threadIdx.x), index_type(cuda.blockIdx.x)
        chunks, width = index_type(cuda.gridDim.x), blocks << log_d
        for block in range(blocks if stacked else 1):
            start = index_type(block) << log_d
            for i in range(count):
                dS[i] = dG[i] = dB[i] = dtype(0)
            number = np.uint32(chunk)
            while number < groups:
                group = index_type(number)
                load(inputs, x, group, thread, m, d_in)
                scale_first(inputs, B, start, values, thread)
                transform(values, shared, thread)
                kept = permute(
                    values, shared, perm, start, keep, keep_scale, group, thread, m, width
                )
                for i in range(count):
                    h_G[i] = values[i]
                scale_first(values, G, start, values, thread)
                transform(values, shared, thread)  # h_S

                turn(values, dS, dy, S, start, group, thread, m, n_out, scale)
                back(values, shared, thread)
                add_products(dG, values, h_G)
                scale_first(values, G, start, values, thread)
                unpermute(values, shared, perm, start, kept, keep_scale, thread)
                back(values, shared, thread)
                if reload:
                    cuda.threadfence_block()  # or the compiler keeps x, seeing no change of it
                    load(inputs, x, group, thread, m, d_in)
                add_products(dB, values, inputs)
                if need_dx:
                    scale_first(values, B, start, values, thread)
                    store_dx(values, dx, block, group, thread, m, d_in)
                number = np.uint32(number + chunks)
            target = (chunk * blocks + index_type(block)) * sums * length
            store_last(dS, shared, partial, target, thread)
            store_first(dG, shared, partial, target + length, thread)
            store_first(dB, shared, partial, target + length + length, thread)

    decorate = kernel(schedule.threads, THREADS_AT_ONCE[dtype])
    if dropout:

        @decorate
        def fastfood_backward_dropout(
            x, dy, S, G, B, perm, keep, dx, partial, m, d_in, n_out, blocks, groups, scale,
            keep_scale,
        ):  # fmt: skip
            backward(
                x, dy, S, G, B, perm, keep, dx, partial, m, d_in, n_out, blocks, groups, scale,
                keep_scale,
            )  # fmt: skip

        return fastfood_backward_dropout

    @decorate
    def fastfood_backward(x, dy, S, G, B, perm, dx, partial, m, d_in, n_out, blocks, groups, scale):
        backward(x, dy, S, G, B, perm, S, dx, partial, m, d_in, n_out, blocks, groups, scale, scale)

    return fastfood_backward


@lru_cache(KEPT)
def launches(
    shape: tuple[int, int], n_out: int, blocks: int, d_pad: int, dtype: Any, dropout: bool,
    need_dx: bool,
) -> tuple[Launch, Launch]:  # fmt: skip
    """Return the launches for x of this shape: the gradients, and the sums over chunks."""
    dtype, (m, d_in) = np.dtype(dtype), shape
    plan = backward_plan(d_pad.bit_length() - 1, dtype.itemsize)
    inputs, partial = m * d_in * dtype.itemsize, fastfood_scratch(m, (blocks, d_pad), dtype)
    again = (blocks - 1) * inputs * need_dx  # dx of stacked blocks is added up in memory
    whole = d_in == d_pad and n_out == blocks * d_pad
    # The kernel for stacked blocks does for one, too. It computes less beforehand, for which there
    # are no registers left with a mask and cut rows.
    stacked = blocks > 1 or (dropout and not whole)
    gradients = Launch(
        make_kernel(plan, dtype.type, dropout, need_dx, stacked, whole),
        grid=chunks(plan, m),
        threads=plan.schedule.threads,
        read_bytes=(1 + reads_x_twice(plan, dtype.type, dropout)) * blocks * inputs + again
        + m * n_out * dtype.itemsize + dropout * m * blocks * d_pad,
        written_bytes=need_dx * inputs + again + partial * dtype.itemsize,
    )  # fmt: skip
    sums = Launch(
        make_reduce(plan, dtype.type),
        grid=(-(-blocks * d_pad // COLUMNS), SUMS),
        threads=REDUCE_THREADS,
        read_bytes=partial * dtype.itemsize,
        written_bytes=SUMS * blocks * d_pad * dtype.itemsize,
    )
    return gradients, sums


def fastfood_scratch(m: int, shape: tuple[int, int], dtype: Any) -> int:
    """Return how many numbers the sums of all thread blocks are, for m rows and S of this shape."""
    blocks, d_pad = shape
    if not fits(d_pad, np.dtype(dtype).itemsize):
        return 0
    plan = backward_plan(d_pad.bit_length() - 1, np.dtype(dtype).itemsize)
    return chunks(plan, m) * blocks * SUMS * d_pad


def chunks(plan: Plan, m: int) -> int:
    """Return how many thread blocks share out m rows."""
    return min(plan.groups(m), CHUNK_THREADS // plan.schedule.threads)


def fastfood_backward(
    x: Any,
    dy: Any,
    S: Any,
    G: Any,
    B: Any,
    perm: Any,
    scale: float,
    keep: Any,
    keep_scale: float,
    dx: Any,
    dS: Any,
    dG: Any,
    dB: Any,
    partial: Any = None,
) -> None:
    """Fill dx (unless it is None), dS, dG and dB; see `reference.fastfood_backward`.

    `partial` is scratch memory of `fastfood_scratch` numbers; without it some is allocated, for
    which the GPU has to wait now and then. All work is put on the stream of dy.
    """
    if not fits(S.shape[1], x.dtype.itemsize):
        by_factors.backward(x, dy, S, G, B, perm, scale, keep, keep_scale, dx, dS, dG, dB)
        return
    (blocks, d_pad), m, real = S.shape, x.shape[0], x.dtype.type
    gradients, sums = launches(
        tuple(x.shape), dy.shape[1], blocks, d_pad, x.dtype, keep is not None, dx is not None
    )
    plan = backward_plan(d_pad.bit_length() - 1, x.dtype.itemsize)
    if partial is None:
        partial = empty((fastfood_scratch(m, (blocks, d_pad), x.dtype),), x.dtype, dy.stream)
    arrays = [flat(array) for array in (x, dy, S, G, B, perm)]
    arrays += [] if keep is None else [flat(keep)]
    arrays += [flat(x if dx is None else dx), partial]
    numbers = (m, x.shape[1], dy.shape[1], blocks, plan.groups(m))
    factors = (scale,) if keep is None else (scale, keep_scale)
    run(gradients, dy.stream, *arrays, *map(index_type, numbers), *map(real, factors))
    targets = [flat(array) for array in (dS, dG, dB)]
    run(sums, dy.stream, partial, *targets, index_type(gradients.grid), index_type(blocks))
