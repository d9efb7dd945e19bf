"""Layouts and schedules in NumPy: a lock-step model of a thread block, and the addresses it uses.

Everything here is arithmetic on the functions of `layouts`, from which the kernels are built.
"""

import itertools

import numpy as np
import pytest
from oracles import hadamard_matrix

from fastfood_np.backends.cuda.hadamard import SECTOR, Pass, passes
from fastfood_np.backends.cuda.layouts import (
    LANE_BITS,
    LINE,
    exchanged,
    index,
    padded,
    shuffled,
    split,
)
from fastfood_np.backends.cuda.limits import GPU_SHARED_BYTES, SIMULATED_SHARED_BYTES
from fastfood_np.backends.cuda.stages import make_index, make_padded

WARP = 1 << LANE_BITS
LOG_LENGTHS = range(25)


def planned(log_d, itemsize, shared_bytes=GPU_SHARED_BYTES):
    """The passes of one length, or none where it is too long (as 2^24 is for the simulator)."""
    try:
        return passes(log_d, itemsize, shared_bytes)
    except ValueError:
        return ()


# All passes that are ever run, and all schedules; each with the itemsize of its numbers.
PASSES = sorted(
    {
        (p, itemsize)
        for itemsize in (4, 8)
        for log_d in LOG_LENGTHS
        for p in planned(log_d, itemsize)
    },
    key=repr,
)
SIMULATED = {
    (plan.schedule, itemsize)
    for itemsize in (4, 8)
    for log_d in LOG_LENGTHS
    for plan in planned(log_d, itemsize, SIMULATED_SHARED_BYTES)
}
EXCHANGED = [
    (exchanged(log_size, log_registers, slots), itemsize)
    for log_registers in (3, 4)
    for log_size in range(log_registers + LANE_BITS, 14)
    for slots in (1, 2)
    for itemsize in (4, 8)
]
SCHEDULES = sorted(
    {(plan.schedule, itemsize) for plan, itemsize in PASSES} | SIMULATED | set(EXCHANGED), key=repr
)


def name(used):
    """A short name of a schedule or a pass, with its itemsize."""
    plan, itemsize = used
    schedule, runs = plan, ""
    if isinstance(plan, Pass):
        schedule, runs = plan.schedule, f"-run{plan.log_run}-by{plan.log_stride}"
    bits = "+".join(f"{p.shift}:{p.lanes}{p.registers}" for p in schedule.phases).replace(" ", "")
    rounds = f"-{schedule.rounds}rounds-{schedule.slots}slots"
    return f"float{8 * itemsize}-2^{schedule.log_size}-{bits}{rounds}{runs}"


every_schedule = pytest.mark.parametrize("used", SCHEDULES, ids=name)
every_pass = pytest.mark.parametrize("used", PASSES, ids=name)


def indices(schedule, shift):
    """The index of each number in the tile, as an array (threads, registers)."""
    threads, registers = np.arange(schedule.threads)[:, None], np.arange(schedule.registers)
    return index(schedule, shift, threads, registers)


def stage_bits(schedule):
    """The bits of the index whose stages a schedule takes, in its order."""
    ranges = [r for phase in schedule.phases for r in (phase.lanes, phase.registers)]
    return [bit for start, stop in ranges for bit in range(start, stop)]


def hadamard(x, start, stop):
    """H on the bits start to stop - 1 of the last axis: H_ab = H_a (x) H_b, as matrices."""
    middle = (start + stop) // 2
    for low, high in ((start, middle), (middle, stop)):
        H = hadamard_matrix(1 << (high - low))
        x = (H @ x.reshape(-1, len(H), 1 << low)).reshape(x.shape)
    return x


# The model: values (slots, threads, registers), all threads at once.


def stage(values, axis, bit):
    """Add and subtract numbers whose indices along an axis differ in one bit."""
    numbers = np.arange(values.shape[axis])
    theirs = values.take(numbers ^ (1 << bit), axis)
    upper = np.moveaxis((numbers >> bit & 1)[:, None, None], 0, axis).astype(bool)
    return np.where(upper, theirs - values, values + theirs)


def take_stages(values, phase):
    """All stages of one layout: by shuffles within a warp, then in registers."""
    for bit in range(*phase.lanes):
        assert bit < min(phase.shift, LANE_BITS), "only the lowest bits of the index are lanes'"
        values = stage(values, 1, bit)
    for bit in range(*phase.registers):
        values = stage(values, 2, bit - phase.shift)
    return values


def exchange(schedule, before, after, itemsize):
    """Each round of a change of layout: what is written, then what is read.

    Yields two pairs (places (threads, some registers), these registers). In two rounds the bit
    that splits the tile does not count for the place.
    """
    everything = np.arange(schedule.registers)
    if schedule.rounds == 1:
        yield tuple(
            (padded(indices(schedule, shift), itemsize), everything) for shift in (before, after)
        )
        return
    bit = split(schedule, before, after)
    for value in range(2):
        pairs = []
        for shift in (before, after):
            share = everything[everything >> (bit - shift) & 1 == value]
            where = indices(schedule, shift)[:, share]
            assert np.all(where >> bit & 1 == value)
            where = where % (1 << bit) + (where >> (bit + 1) << bit)
            pairs.append((padded(where, itemsize), share))
        yield tuple(pairs)


def change_layout(schedule, values, before, after, itemsize):
    """Take values through a shared memory that holds nothing but what this round wrote."""
    received = np.full(values.shape, np.nan)
    room = padded(schedule.size, itemsize)  # of one of the slots
    slots = np.arange(schedule.slots)[:, None, None] * room
    for (written, sent), (read, got) in exchange(schedule, before, after, itemsize):
        shared = np.full(schedule.shared_size(itemsize), np.nan)
        shared[slots + written] = values[:, :, sent]
        assert np.isfinite(shared).sum() == values[:, :, sent].size, "two numbers in one place"
        received[:, :, got] = shared[slots + read]
        assert np.isfinite(received[:, :, got]).all(), "read before it was written"
    assert np.isfinite(received).all()
    return received


def transform(schedule, tiles, itemsize):
    """What a thread block makes of its tiles (slots, size)."""
    values = tiles[:, indices(schedule, schedule.first)]
    before = None
    for phase in schedule.phases:
        if before is not None:
            values = change_layout(schedule, values, before.shift, phase.shift, itemsize)
        values = take_stages(values, phase)
        before = phase
    result = np.full(tiles.shape, np.nan)
    result[:, indices(schedule, schedule.last)] = values
    return result


def random_tiles(schedule):
    """Small integers, of which all sums are exact."""
    rng = np.random.default_rng(schedule.log_size)
    return rng.integers(-8, 9, (schedule.slots, schedule.size)).astype(float)


@every_schedule
def test_every_layout_holds_each_number_once(used):
    schedule, _ = used
    for phase in schedule.phases:
        held = indices(schedule, phase.shift)
        np.testing.assert_array_equal(np.sort(held, axis=None), np.arange(schedule.size))


@every_schedule
def test_functions_of_the_kernels_are_those_of_the_layouts(used):
    schedule, itemsize = used

    def python(function):  # what a device function is made of
        return getattr(function, "py_func", function)

    threads, zero = np.arange(schedule.threads, dtype=np.uint64), np.uint64(0)
    place_of = python(make_padded(np.float32 if itemsize == 4 else np.float64))
    for phase in schedule.phases:
        index_of = python(make_index(schedule, phase.shift))
        base = index_of(threads, 0)
        for i in range(schedule.registers):
            expected = index(schedule, phase.shift, threads.astype(int), i)
            np.testing.assert_array_equal(base + index_of(zero, i), expected)
            added = place_of(base) + place_of(index_of(zero, i))
            np.testing.assert_array_equal(added, padded(expected, itemsize))


@every_schedule
def test_a_thread_block_takes_the_stages_of_its_schedule(used):
    schedule, itemsize = used
    tiles = random_tiles(schedule)
    bits = sorted(stage_bits(schedule))
    start, stop = (bits[0], bits[-1] + 1) if bits else (0, 0)
    assert bits == list(range(start, stop)), "a stage is missing or taken twice"
    np.testing.assert_array_equal(
        transform(schedule, tiles, itemsize), hadamard(tiles, start, stop)
    )


@pytest.mark.parametrize("used", EXCHANGED, ids=name)
def test_exchanged_takes_all_stages_forwards_and_backwards(used):
    schedule, itemsize = used
    tiles = random_tiles(schedule)
    backwards = schedule.reversed()
    assert (backwards.first, backwards.last) == (schedule.last, schedule.first)
    assert backwards.reversed() == schedule
    assert backwards.accesses == schedule.accesses
    expected = hadamard(tiles, 0, schedule.log_size)
    np.testing.assert_array_equal(transform(schedule, tiles, itemsize), expected)
    np.testing.assert_array_equal(transform(backwards, tiles, itemsize), expected)


@every_schedule
def test_accesses_counts_shuffles_and_changes_of_layout(used):
    schedule, _ = used
    lanes = sum(len(range(*phase.lanes)) for phase in schedule.phases)
    assert schedule.accesses == lanes + 2 * (len(schedule.phases) - 1)


def test_the_oracle_is_hadamards_matrix():
    x = np.arange(64.0) ** 2 % 17
    np.testing.assert_array_equal(hadamard(x[None], 0, 6)[0], hadamard_matrix(64) @ x)


# Rows: where the tiles of a pass lie.


def place(plan, i):
    """How far behind its tile's start number i lies, by the fields of the pass."""
    return (i >> plan.log_run << plan.log_stride) + i % (1 << plan.log_run)


def start(plan, tile):
    """Where a tile starts: those of one stretch lie side by side."""
    beside = plan.log_stride - plan.log_run
    return (tile >> beside << plan.log_stretch) + (tile % (1 << beside) << plan.log_run)


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("log_d", LOG_LENGTHS)
def test_passes_together_take_each_stage_of_a_row_once(log_d, itemsize):
    taken = []
    for plan in passes(log_d, itemsize, GPU_SHARED_BYTES):
        taken += [int(place(plan, 1 << bit)).bit_length() - 1 for bit in stage_bits(plan.schedule)]
    assert sorted(taken) == list(range(log_d))


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("log_d", [0, 3, 12, 13, 14, 15, 16, 18, 20, 22])
def test_tiles_of_a_pass_cover_the_data_once(log_d, itemsize):
    for plan in passes(log_d, itemsize, GPU_SHARED_BYTES):
        total = max(2 << plan.log_stretch, 1 << log_d)
        tiles = np.arange(total // plan.schedule.size)
        covered = start(plan, tiles)[:, None] + place(plan, np.arange(plan.schedule.size))
        assert np.all(np.bincount(covered.ravel(), minlength=total) == 1)
        assert covered.size == total


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("log_d", [15, 18, 20])
def test_passes_transform_a_row(log_d, itemsize):
    row = np.random.default_rng(log_d).integers(-8, 9, 1 << log_d).astype(float)
    result = row.copy()
    for plan in passes(log_d, itemsize, GPU_SHARED_BYTES):
        for tile in range(len(row) // plan.schedule.size):
            where = start(plan, tile) + place(plan, np.arange(plan.schedule.size))
            result[where] = transform(plan.schedule, result[None, where], itemsize)[0]
    np.testing.assert_array_equal(result, hadamard(row[None], 0, log_d)[0])


# Device memory: what the lanes of a warp touch together.


def touched(plan, shift, itemsize, unit, tile):
    """Bytes that each warp touches in each unit of memory: an array (instructions, units) of those.

    Units that an instruction does not touch stand there with as many bytes as a unit has.
    """
    where = start(plan, tile) + place(plan, indices(plan.schedule, shift))
    warps = where.reshape(-1, WARP, plan.schedule.registers).swapaxes(1, 2)
    units = np.sort(warps.reshape(-1, WARP) * itemsize // unit)
    return [np.unique(one, return_counts=True)[1] * itemsize for one in units]


def whole(plan, itemsize, unit):
    """Whether all loads and stores of a pass touch whole units only, for a few tiles."""
    return all(
        (counts == unit).all()
        for shift in {plan.schedule.first, plan.schedule.last}
        for tile in (0, 1, 3, 1 << (plan.log_stride - plan.log_run))
        for counts in touched(plan, shift, itemsize, unit, tile)
    )


@every_pass
def test_warps_touch_whole_sectors_of_device_memory(used):
    plan, itemsize = used
    assert whole(plan, itemsize, SECTOR)


@every_pass
def test_warps_touch_whole_lines_where_tiles_are_contiguous(used):
    plan, itemsize = used
    if plan.log_run == plan.log_stride:
        assert whole(plan, itemsize, LINE)


# Shared memory: the lanes that are served together, 32 or, of eight bytes each, 16.


def conflicts(schedule, itemsize):
    """The accesses to shared memory in which lanes meet in a bank, as (before, after, kind)."""
    lanes = LINE // itemsize
    found = set()
    for one, other in itertools.pairwise(schedule.phases):
        for round_ in exchange(schedule, one.shift, other.shift, itemsize):
            for kind, (places, _) in zip(("write", "read"), round_, strict=True):
                banks = np.sort((places % lanes).reshape(-1, lanes, places.shape[1]), axis=1)
                if (banks != np.arange(lanes)[:, None]).any():
                    found.add((one.shift, other.shift, kind))
    return found


@every_pass
def test_lanes_meet_no_bank_twice(used):
    plan, itemsize = used
    assert not conflicts(plan.schedule, itemsize)


@pytest.mark.parametrize("used", EXCHANGED, ids=name)
def test_lanes_meet_no_bank_twice_in_exchanged(used):
    schedule, itemsize = used
    assert not conflicts(schedule, itemsize)
    assert not conflicts(schedule.reversed(), itemsize)


# Refusals.


def test_shuffled_refuses_what_needs_two_changes_of_layout():
    assert len(shuffled(13, 4, (0, 13)).phases) == 2
    with pytest.raises(ValueError, match=r"2\^14 numbers need two changes"):
        shuffled(14, 4, (0, 14))


def test_split_needs_a_bit_of_the_register_in_both_layouts():
    schedule = shuffled(14, 5, (0, 14), rounds=2)
    assert split(schedule, 5, 9) == split(schedule, 9, 5) == 9
    with pytest.raises(ValueError, match="shifts 4 and 9 share no bit"):
        split(schedule, 4, 9)
