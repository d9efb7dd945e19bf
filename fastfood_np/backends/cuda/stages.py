"""H on a tile in registers: device functions made for a schedule."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from fastfood_np.backends.cuda.layouts import Phase, Schedule, split
from fastfood_np.backends.cuda.numba_cuda import cuda, device_function

# Indices are unsigned: Numba adds code to signed ones, for those that count from the end.
index_type = np.uint64


@cache
def make_index(schedule: Schedule, shift: int) -> Any:
    """Return ``layouts.index`` of this schedule and layout as a device function.

    Called with register 0 it gives the thread's part, with thread 0 the register's part, which
    the compiler knows: the index is their sum, and, no bit being in both, their exclusive or.
    """
    low = index_type((1 << shift) - 1)
    below = index_type(shift)
    above = index_type(shift + schedule.log_registers)

    @device_function
    def index(thread, register):
        return (thread & low) + (index_type(register) << below) + ((thread >> below) << above)

    return index


@cache
def make_swizzle(schedule: Schedule) -> Any:
    """Return ``layouts.swizzle`` of this schedule as a device function."""
    below = index_type(schedule.log_registers)
    bank = index_type(31)

    @device_function
    def swizzle(place):
        return place ^ ((place >> below) & bank)

    return swizzle


@cache
def make_shuffle_stages(schedule: Schedule, phase: Phase, dtype: Any) -> Any:
    """Return a function that takes the stages of bits held by lanes: one shuffle a number."""
    count = schedule.slots * schedule.registers
    first, stop = phase.lanes
    everyone = 0xFFFFFFFF
    one, plus, minus = index_type(1), dtype(1), dtype(-1)

    @device_function
    def shuffle_stages(values, thread):
        for bit in range(first, stop):
            # The upper of two lanes takes the difference, theirs - ours: the product is exact.
            sign = minus if (thread >> index_type(bit)) & one else plus
            for i in range(count):
                theirs = cuda.shfl_xor_sync(everyone, values[i], 1 << bit)
                values[i] = values[i] * sign + theirs

    return shuffle_stages


@cache
def make_register_stages(schedule: Schedule, phase: Phase) -> Any:
    """Return a function that takes the stages of bits held by the register's number."""
    pairs = schedule.slots * schedule.registers // 2
    first = phase.registers[0] - phase.shift
    stop = phase.registers[1] - phase.shift

    @device_function
    def register_stages(values):
        for bit in range(first, stop):
            half = 1 << bit
            for pair in range(pairs):
                lower = ((pair >> bit) << (bit + 1)) + (pair & (half - 1))
                a, b = values[lower], values[lower + half]
                values[lower] = a + b
                values[lower + half] = a - b

    return register_stages


@cache
def make_write(schedule: Schedule, shift: int) -> Any:
    """Return a function that writes tiles held in the layout `shift` to shared memory."""
    slots, count, size = schedule.slots, schedule.registers, index_type(schedule.size)
    index, swizzle, zero = make_index(schedule, shift), make_swizzle(schedule), index_type(0)

    @device_function
    def write(values, shared, thread):
        base = swizzle(index(thread, 0))
        for slot in range(slots):
            for i in range(count):
                place = base ^ swizzle(index(zero, i))
                shared[index_type(slot) * size + place] = values[slot * count + i]

    return write


@cache
def make_read(schedule: Schedule, shift: int) -> Any:
    """Return a function that reads tiles from shared memory into the layout `shift`."""
    slots, count, size = schedule.slots, schedule.registers, index_type(schedule.size)
    index, swizzle, zero = make_index(schedule, shift), make_swizzle(schedule), index_type(0)

    @device_function
    def read(values, shared, thread):
        base = swizzle(index(thread, 0))
        for slot in range(slots):
            for i in range(count):
                place = base ^ swizzle(index(zero, i))
                values[slot * count + i] = shared[index_type(slot) * size + place]

    return read


@cache
def make_exchange(schedule: Schedule, before: int, after: int) -> Any:
    """Return a function that takes tiles from one layout to another, all at once."""
    write, read = make_write(schedule, before), make_read(schedule, after)

    @device_function
    def exchange(values, shared, thread):
        cuda.syncthreads()  # whoever still reads what was there before
        write(values, shared, thread)
        cuda.syncthreads()
        read(values, shared, thread)

    return exchange


@cache
def make_exchange_by_halves(schedule: Schedule, before: int, after: int, dtype: Any) -> Any:
    """Return a function that takes a tile to another layout through half as much shared memory."""
    count, half = schedule.registers, schedule.registers // 2
    bit = split(schedule, before, after)
    bit_before, bit_after, bit_index = bit - before, bit - after, index_type(bit)
    index_before, index_after = make_index(schedule, before), make_index(schedule, after)
    swizzle, zero, one = make_swizzle(schedule), index_type(0), index_type(1)
    low = index_type((1 << bit) - 1)

    @device_function
    def without_bit(place):
        return (place & low) + (place >> (bit_index + one) << bit_index)

    @device_function
    def register(i, position, value):
        """The i-th register whose number has `value` as its bit `position`."""
        return ((i >> position) << (position + 1)) + (value << position) + (i & ((1 << position) - 1))

    @device_function
    def exchange(values, shared, thread):
        received = cuda.local.array(count, dtype)
        base_before = swizzle(without_bit(index_before(thread, 0)))
        base_after = swizzle(without_bit(index_after(thread, 0)))
        for value in range(2):
            cuda.syncthreads()
            for i in range(half):
                source = register(i, bit_before, value)
                place = base_before ^ swizzle(without_bit(index_before(zero, source)))
                shared[place] = values[source]
            cuda.syncthreads()
            for i in range(half):
                target = register(i, bit_after, value)
                place = base_after ^ swizzle(without_bit(index_after(zero, target)))
                received[target] = shared[place]
        for i in range(count):
            values[i] = received[i]

    return exchange


@cache
def make_transform(schedule: Schedule, dtype: Any, number: int = 0) -> Any:
    """Return a function that takes the stages of the schedule, from phase `number` on.

    It is called by all threads of a block as ``transform(values, shared, thread)``: `values` a
    local array of slots * registers numbers in the first layout, `shared` a shared one of
    ``schedule.shared_size``. It leaves the values in the last layout.
    """
    phase = schedule.phases[number]
    shuffle_stages = make_shuffle_stages(schedule, phase, dtype)
    register_stages = make_register_stages(schedule, phase)
    if number == len(schedule.phases) - 1:

        @device_function
        def transform(values, shared, thread):
            shuffle_stages(values, thread)
            register_stages(values)

        return transform

    following = schedule.phases[number + 1].shift
    if schedule.rounds == 1:
        exchange = make_exchange(schedule, phase.shift, following)
    else:
        exchange = make_exchange_by_halves(schedule, phase.shift, following, dtype)
    rest = make_transform(schedule, dtype, number + 1)

    @device_function
    def transform_and_rest(values, shared, thread):
        shuffle_stages(values, thread)
        register_stages(values)
        exchange(values, shared, thread)
        rest(values, shared, thread)

    return transform_and_rest
