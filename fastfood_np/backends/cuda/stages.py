"""H on a tile in registers: device functions made for a schedule."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from fastfood_np.backends.cuda.layouts import LINE, Phase, Schedule, padded, split
from fastfood_np.backends.cuda.numba_cuda import cuda, device_function

# Indices are unsigned: Numba adds code to signed ones, for those that count from the end.
index_type = np.uint64


def unrolled(body: Any, count: int, number: int = 0) -> Any:
    """Return ``body(i, *arguments)`` for i from `number` to count - 1, one after the other.

    The compiler leaves a loop over a large body as it is; then i is no constant, and an array that
    it indexes cannot be registers.
    """
    if number >= count:
        return device_function(lambda *arguments: None)
    rest = unrolled(body, count, number + 1)

    @device_function
    def one_and_rest(*arguments):
        body(number, *arguments)
        rest(*arguments)

    return one_and_rest


@cache
def make_index(schedule: Schedule, shift: int) -> Any:
    """Return ``layouts.index`` of this schedule and layout as a device function.

    Called with register 0 it gives the thread's part, with thread 0 the register's part, which
    the compiler knows: the index is their sum.
    """
    low = index_type((1 << shift) - 1)
    below = index_type(shift)
    above = index_type(shift + schedule.log_registers)

    @device_function
    def index(thread, register):
        return (thread & low) + (index_type(register) << below) + ((thread >> below) << above)

    return index


@cache
def make_padded(dtype: Any) -> Any:
    """Return ``layouts.padded`` as a device function."""
    line = index_type((LINE // np.dtype(dtype).itemsize).bit_length() - 1)

    @device_function
    def place_of(index):
        return index + (index >> line)

    return place_of


@cache
def make_shuffle_stages(schedule: Schedule, phase: Phase, dtype: Any) -> Any:
    """Return a function that takes the stages of bits held by lanes: one shuffle a number."""
    count = schedule.slots * schedule.registers
    first, stop = phase.lanes
    everyone = 0xFFFFFFFF
    one, plus, minus = index_type(1), dtype(1), dtype(-1)

    @device_function
    def shuffle_stage(bit, values, thread):
        # The upper of two lanes takes the difference, theirs - ours: the product is exact.
        sign = minus if (thread >> index_type(bit)) & one else plus
        for i in range(count):
            theirs = cuda.shfl_xor_sync(everyone, values[i], 1 << bit)
            values[i] = values[i] * sign + theirs

    return unrolled(shuffle_stage, stop, first)


@cache
def make_register_stages(schedule: Schedule, phase: Phase) -> Any:
    """Return a function that takes the stages of bits held by the register's number."""
    pairs = schedule.slots * schedule.registers // 2
    first = phase.registers[0] - phase.shift
    stop = phase.registers[1] - phase.shift

    @device_function
    def register_stage(bit, values):
        half = 1 << bit
        for pair in range(pairs):
            lower = ((pair >> bit) << (bit + 1)) + (pair & (half - 1))
            a, b = values[lower], values[lower + half]
            values[lower] = a + b
            values[lower + half] = a - b

    return unrolled(register_stage, stop, first)


@cache
def make_write(schedule: Schedule, shift: int, dtype: Any) -> Any:
    """Return a function that writes tiles held in the layout `shift` to shared memory."""
    slots, count = schedule.slots, schedule.registers
    size = index_type(padded(schedule.size, np.dtype(dtype).itemsize))
    index, place_of, zero = make_index(schedule, shift), make_padded(dtype), index_type(0)

    @device_function
    def write(values, shared, thread):
        base = place_of(index(thread, 0))
        for slot in range(slots):
            for i in range(count):
                place = base + (index_type(slot) * size + place_of(index(zero, i)))
                shared[place] = values[slot * count + i]

    return write


@cache
def make_read(schedule: Schedule, shift: int, dtype: Any) -> Any:
    """Return a function that reads tiles from shared memory into the layout `shift`."""
    slots, count = schedule.slots, schedule.registers
    size = index_type(padded(schedule.size, np.dtype(dtype).itemsize))
    index, place_of, zero = make_index(schedule, shift), make_padded(dtype), index_type(0)

    @device_function
    def read(values, shared, thread):
        base = place_of(index(thread, 0))
        for slot in range(slots):
            for i in range(count):
                place = base + (index_type(slot) * size + place_of(index(zero, i)))
                values[slot * count + i] = shared[place]

    return read


@cache
def make_exchange(schedule: Schedule, before: int, after: int, dtype: Any) -> Any:
    """Return a function that takes tiles from one layout to another, all at once."""
    write, read = make_write(schedule, before, dtype), make_read(schedule, after, dtype)

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
    place_of, zero, one = make_padded(dtype), index_type(0), index_type(1)
    low = index_type((1 << bit) - 1)

    @device_function
    def without_bit(place):
        return (place & low) + (place >> (bit_index + one) << bit_index)

    @device_function
    def register(i, position, value):
        """The i-th register whose number has `value` as its bit `position`."""
        return (
            ((i >> position) << (position + 1)) + (value << position) + (i & ((1 << position) - 1))
        )

    @device_function
    def exchange(values, shared, thread):
        received = cuda.local.array(count, dtype)
        base_before = place_of(without_bit(index_before(thread, 0)))
        base_after = place_of(without_bit(index_after(thread, 0)))
        for value in range(2):
            cuda.syncthreads()
            for i in range(half):
                source = register(i, bit_before, value)
                place = base_before + place_of(without_bit(index_before(zero, source)))
                shared[place] = values[source]
            cuda.syncthreads()
            for i in range(half):
                target = register(i, bit_after, value)
                place = base_after + place_of(without_bit(index_after(zero, target)))
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
        exchange = make_exchange(schedule, phase.shift, following, dtype)
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
