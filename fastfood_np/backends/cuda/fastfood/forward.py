"""y = f(c S H G Pi H B x) in one kernel: x is read once and y written once."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np

from fastfood_np.backends.cuda.fastfood import by_factors
from fastfood_np.backends.cuda.fastfood.plan import Plan, fits, forward_plan
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
from fastfood_np.backends.cuda.launch import KEPT, Launch, run
from fastfood_np.backends.cuda.nonlinearities import make_finish
from fastfood_np.backends.cuda.numba_cuda import cuda, device_function, kernel
from fastfood_np.backends.cuda.stages import index_type, make_transform, unrolled

# Threads that share a multiprocessor, if the compiler is to have 64 registers for each. Stacked
# blocks, short rows and angles need more, and then half as many get 128.
THREADS_AT_ONCE = 1024
ANGLES = ("cos", "cos_sin")


@cache
def make_kernel(
    plan: Plan, dtype: Any, nonlinearity: str, dropout: bool, stacked: bool, whole: bool
) -> Any:
    """Return the kernel; with `stacked` there are several blocks of features.

    With `whole`, d_in is d_pad and no block is cut.
    """
    schedule = plan.schedule
    slots, count = schedule.slots, schedule.registers
    shared_size = schedule.shared_size(np.dtype(dtype).itemsize)
    held, log_d, length = slots * count, index_type(plan.log_d), index_type(1 << plan.log_d)
    load, transform = make_load(plan, dtype, whole), make_transform(schedule, dtype)
    scale_last, several_rows = make_scale(plan, schedule.last), plan.rows_in_tile > 1
    scale_first, permute = make_scale(plan, schedule.first), make_permute(plan, dtype, dropout)
    finish, inside = make_finish(nonlinearity, dtype), make_inside(plan, whole)
    row_of, column_of = make_row(plan, schedule.last), make_column(plan, schedule.last)
    zero, width = index_type(0), index_type(2 if nonlinearity == "cos_sin" else 1)

    def store(i, values, y, row, out, columns, phase, m, n_out, scale, amplitude, slot):
        further, across = row_of(zero, 0, zero, i), column_of(zero, i)
        if inside(row + further, m, across, columns):
            v = scale * values[slot * count + i]
            finish(v, y, (row + further) * (width * n_out), out + across, n_out, phase, amplitude)

    store_row = unrolled(device_function(store), count)

    def store_slot(slot, values, y, group, thread, out, phase, m, n_out, scale, amplitude):
        row = row_of(group, slot, thread, 0)
        if several_rows or row < m:  # one branch for all of a long row
            columns = columns_left(out, n_out)
            store_row(values, y, row, out, columns, phase, m, n_out, scale, amplitude, slot)

    store_rows = unrolled(device_function(store_slot), slots)

    @device_function
    def forward(
        x, S, G, B, perm, keep, phase, y, m, d_in, n_out, blocks, scale, keep_scale, amplitude
    ):
        d_in = length if whole else d_in
        n_out = length if whole and not stacked else n_out
        inputs = cuda.local.array(held, dtype)
        values = cuda.local.array(held, dtype)
        shared = cuda.shared.array(shared_size, dtype)
        thread, group = index_type(cuda.threadIdx.x), index_type(cuda.blockIdx.x)
        load(inputs, x, group, thread, m, d_in)
        for block in range(blocks if stacked else 1):
            start = index_type(block) << log_d
            scale_first(inputs, B, start, values, thread)
            transform(values, shared, thread)
            permute(
                values, shared, perm, start, keep, keep_scale, group, thread, m, blocks << log_d
            )
            scale_first(values, G, start, values, thread)
            transform(values, shared, thread)
            scale_last(values, S, start, values, thread)
            out = start + column_of(thread, 0)
            store_rows(values, y, group, thread, out, phase, m, n_out, scale, amplitude)

    wide = stacked or plan.rows_in_tile > 1 or nonlinearity in ANGLES
    at_once = THREADS_AT_ONCE // 2 if wide else THREADS_AT_ONCE
    decorate = kernel(schedule.threads, at_once)
    if dropout or nonlinearity == "cos":

        @decorate
        def fastfood_forward(
            x, S, G, B, perm, keep, phase, y, m, d_in, n_out, blocks, scale, keep_scale, amplitude
        ):
            forward(
                x, S, G, B, perm, keep, phase, y, m, d_in, n_out, blocks, scale, keep_scale,
                amplitude,
            )  # fmt: skip

        return fastfood_forward

    @decorate
    def fastfood_forward_plain(x, S, G, B, perm, y, m, d_in, n_out, blocks, scale, amplitude):
        # Each array costs a launch more than a microsecond: here are only those that are read.
        forward(x, S, G, B, perm, S, S, y, m, d_in, n_out, blocks, scale, scale, amplitude)

    return fastfood_forward_plain


@lru_cache(KEPT)
def launch(
    shape: tuple[int, int],
    width: int,
    blocks: int,
    d_pad: int,
    dtype: Any,
    nonlinearity: str,
    dropout: bool,
) -> Launch:
    """Return the launch for x of this shape (m, d_in) and y of shape (m, width)."""
    dtype, (m, d_in) = np.dtype(dtype), shape
    plan = forward_plan(d_pad.bit_length() - 1, dtype.itemsize)
    n_out = width // (2 if nonlinearity == "cos_sin" else 1)
    whole = d_in == d_pad and n_out == blocks * d_pad
    return Launch(
        make_kernel(plan, dtype.type, nonlinearity, dropout, blocks > 1, whole),
        grid=plan.groups(m),
        threads=plan.schedule.threads,
        read_bytes=m * d_in * dtype.itemsize + dropout * m * blocks * d_pad,
        written_bytes=m * width * dtype.itemsize,
    )


def fastfood_forward(
    x: Any,
    S: Any,
    G: Any,
    B: Any,
    perm: Any,
    scale: float,
    keep: Any,
    keep_scale: float,
    nonlinearity: str,
    phase: Any,
    amplitude: float,
    y: Any,
) -> None:
    """Fill y with a function of v = c S H G Pi H B x; see `reference.fastfood_forward`."""
    if not y.size:
        return
    if not fits(S.shape[1], x.dtype.itemsize):
        by_factors.forward(
            x, S, G, B, perm, scale, keep, keep_scale, nonlinearity, phase, amplitude, y
        )
        return
    blocks, d_pad = S.shape
    planned = launch(
        tuple(x.shape), y.shape[1], blocks, d_pad, x.dtype, nonlinearity, keep is not None
    )
    real, count = x.dtype.type, index_type
    arrays = [flat(array) for array in (x, S, G, B, perm)]
    width = y.shape[1] // (2 if nonlinearity == "cos_sin" else 1)
    numbers = [count(number) for number in (x.shape[0], x.shape[1], width, blocks)]
    if keep is None and phase is None:
        run(planned, x.stream, *arrays, flat(y), *numbers, real(scale), real(amplitude))
        return
    extra = [flat(S if array is None else array) for array in (keep, phase)]
    factors = [real(factor) for factor in (scale, keep_scale, amplitude)]
    run(planned, x.stream, *arrays, *extra, flat(y), *numbers, *factors)
