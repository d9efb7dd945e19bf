"""Rows on their way through the factors: device functions that both passes share."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from fastfood_np.backends.cuda.fastfood.plan import Plan
from fastfood_np.backends.cuda.layouts import padded
from fastfood_np.backends.cuda.numba_cuda import cuda, device_function
from fastfood_np.backends.cuda.stages import index_type, make_index, make_padded, make_write


@cache
def make_column(plan: Plan, shift: int) -> Any:
    """Return a function: in which column a thread's register lies in the layout `shift`.

    As with the index itself, the thread's part and the register's part add up.
    """
    index, low = make_index(plan.schedule, shift), index_type((1 << plan.log_d) - 1)
    one_row = plan.rows_in_tile == 1

    @device_function
    def column(thread, register):
        return index(thread, register) if one_row else index(thread, register) & low

    return column


@cache
def make_row(plan: Plan, shift: int) -> Any:
    """Return a function: in which row of the batch a thread's register lies; parts add up too."""
    index, log_d = make_index(plan.schedule, shift), index_type(plan.log_d)
    rows, in_tile = index_type(plan.rows), index_type(plan.rows_in_tile)
    whole = plan.rows_in_tile == 1

    @device_function
    def row(group, slot, thread, register):
        before = group * rows + index_type(slot) * in_tile
        return before if whole else before + (index(thread, register) >> log_d)

    return row


@device_function
def columns_left(column, stop):
    """Return how many columns there are from one on before `stop`, or the greatest 32-bit number.

    A loop over columns compares with this one number of 32 bits. Sums of columns, compared with
    `stop`, would all be kept in registers that are not there.
    """
    left = stop - column if column < stop else index_type(0)
    return np.uint32(0xFFFFFFFF) if left >> index_type(32) else np.uint32(left)


@cache
def make_inside(plan: Plan, whole: bool) -> Any:
    """Return a function: whether there is a number in this row and column.

    Where a thread block holds one row, it has been given one of the batch; where rows are `whole`,
    they have all columns.
    """
    one_row = plan.rows == 1

    @device_function
    def inside(row, m, across, columns):
        return (one_row or row < m) and (whole or across < columns)

    return inside


@cache
def make_load(plan: Plan, dtype: Any, whole: bool) -> Any:
    """Return a function that reads rows into the first layout, with zeros where there is nothing.

    With `whole`, d_in is d_pad. Called as ``load(values, x, group, thread, m, d_in)``.
    """
    slots, count = plan.schedule.slots, plan.schedule.registers
    row_of, column_of = make_row(plan, plan.schedule.first), make_column(plan, plan.schedule.first)
    inside, zero = make_inside(plan, whole), index_type(0)

    @device_function
    def load(values, x, group, thread, m, d_in):
        column = column_of(thread, 0)
        columns = columns_left(column, d_in)
        for slot in range(slots):
            row = row_of(group, slot, thread, 0)
            source = row * d_in + column
            for i in range(count):
                further, across = row_of(zero, 0, zero, i), column_of(zero, i)
                values[slot * count + i] = (
                    x[source + (further * d_in + across)]
                    if inside(row + further, m, across, columns)
                    else dtype(0)
                )

    return load


@cache
def make_scale(plan: Plan, shift: int) -> Any:
    """Return a function ``results = D values`` for a diagonal D and tiles in the layout `shift`."""
    slots, count = plan.schedule.slots, plan.schedule.registers
    column_of, zero = make_column(plan, shift), index_type(0)

    @device_function
    def scale(values, D, start, results, thread):
        source = start + column_of(thread, 0)
        for i in range(count):
            factor = D[source + column_of(zero, i)]
            for slot in range(slots):
                results[slot * count + i] = factor * values[slot * count + i]

    return scale


@cache
def make_permute(plan: Plan, dtype: Any, dropout: bool) -> Any:
    """Return a function for Pi and the mask: tiles in the last layout to h_G in the first one.

    The function returns which numbers the mask keeps, a bit for each register.
    """
    schedule = plan.schedule
    slots, count = schedule.slots, schedule.registers
    size = index_type(padded(schedule.size, np.dtype(dtype).itemsize))
    write, place_of = make_write(schedule, schedule.last, dtype), make_padded(dtype)
    first, column_of = make_index(schedule, schedule.first), make_column(plan, schedule.first)
    row_of, zero, one_row = make_row(plan, schedule.first), index_type(0), plan.rows == 1
    nothing, zero_scale = np.uint32(0), dtype(0)  # a factor, so that NaN stays NaN

    @device_function
    def permute(values, shared, perm, start, keep, keep_scale, group, thread, m, width):
        cuda.syncthreads()
        write(values, shared, thread)
        cuda.syncthreads()
        column = column_of(thread, 0)
        rows_before = first(thread, 0) - column
        kept = nothing
        for i in range(count):
            across, further = column_of(zero, i), row_of(zero, 0, zero, i)
            before = rows_before + (first(zero, i) - across)
            source = place_of(before + index_type(perm[start + column + across]))
            for slot in range(slots):
                h = shared[index_type(slot) * size + source]
                if dropout:
                    row = row_of(group, slot, thread, 0)
                    mask = row * width + start + column
                    there = one_row or row + further < m
                    if there and keep[mask + (further * width + across)]:
                        kept |= np.uint32(1 << (slot * count + i))
                        h *= keep_scale
                    else:
                        h *= zero_scale
                values[slot * count + i] = h
        return kept

    return permute


def flat(array: Any) -> Any:
    """Return a contiguous array as one of one axis, which is what kernels take."""
    return array if array.ndim == 1 else array.reshape(array.size)
