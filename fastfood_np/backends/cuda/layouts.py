"""Where the numbers of a tile lie: which thread and register holds which, and how they move.

A thread block keeps a tile of 2^k numbers in its registers, 2^r of them in each thread. In the
layout of shift s the register's number takes bits s to s + r - 1 of a number's index in the tile,
and the thread's number takes the other bits, in order::

    index = t mod 2^s  +  register * 2^s  +  (t div 2^s) * 2^(s + r)

A stage of H adds and subtracts numbers whose indices differ in one bit. Where that is a bit of the
register's number, both lie in one thread; where it is one of the lowest five bits of the thread's
number, in two lanes of a warp, which swap them by a shuffle. For other bits the tile changes its
layout through shared memory. A `Schedule` says which layouts, in which order, and which stages are
taken in each.

Nothing here needs a GPU: kernels are built from these numbers, and tests check the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

LANE_BITS = 5  # 32 threads are a warp
LINE = 128  # bytes: the 32 banks of shared memory, four bytes each


@dataclass(frozen=True)
class Phase:
    """The stages taken in one layout: ranges of bits of the index, from first to last + 1."""

    shift: int
    lanes: tuple[int, int] = (0, 0)
    registers: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Schedule:
    """How a tile of 2^log_size numbers takes its stages, 2^log_registers numbers a thread.

    A thread block holds `slots` such tiles at once, which do the same. `rounds` is how often the
    shared memory is filled when the layout changes: 1, or 2 where it holds only half of a tile.
    """

    log_size: int
    log_registers: int
    phases: tuple[Phase, ...]
    slots: int = 1
    rounds: int = 1

    @property
    def size(self) -> int:
        """Numbers in a tile."""
        return 1 << self.log_size

    @property
    def registers(self) -> int:
        """Numbers of a tile in a thread."""
        return 1 << self.log_registers

    @property
    def threads(self) -> int:
        """Threads that hold a tile."""
        return self.size >> self.log_registers

    @property
    def first(self) -> int:
        """Shift of the layout in which the tile must arrive."""
        return self.phases[0].shift

    @property
    def last(self) -> int:
        """Shift of the layout in which the tile is left."""
        return self.phases[-1].shift

    def shared_size(self, itemsize: int) -> int:
        """Return how many numbers shared memory must hold when the layout changes."""
        return self.slots * padded(self.size // self.rounds, itemsize)

    @cached_property
    def accesses(self) -> int:
        """Times that a number goes through shared memory or a shuffle: a write and a read each."""
        shuffles = sum(phase.lanes[1] - phase.lanes[0] for phase in self.phases)
        return shuffles + 2 * (len(self.phases) - 1)

    def reversed(self) -> Schedule:
        """Return the same stages, last to first: the tile goes back to its first layout."""
        return replace(self, phases=self.phases[::-1])


def index(schedule: Schedule, shift: int, thread: int, register: int) -> int:
    """Return the index in the tile of what a thread's register holds in the layout `shift`."""
    above = shift + schedule.log_registers
    return thread % (1 << shift) + (register << shift) + ((thread >> shift) << above)


def padded(place: int, itemsize: int) -> int:
    """Return where in shared memory the number of index `place` lies: a gap every 128 bytes.

    So the threads of a warp meet no bank twice, whether their numbers are neighbours or lie 8 or
    16 apart. Of two indices that share no bit, the places add up.
    """
    return place + place * itemsize // LINE


def split(schedule: Schedule, shift: int, other: int) -> int:
    """Return the bit of the index by which a change of layout in two rounds splits the tile.

    It must be a register's bit in both layouts, so that a thread sends and receives the same
    share in each round.
    """
    bit = max(shift, other)
    if bit >= min(shift, other) + schedule.log_registers:
        raise ValueError(f"the layouts of shifts {shift} and {other} share no bit of the register")
    return bit


def shuffled(
    log_size: int, log_registers: int, bits: tuple[int, int], slots: int = 1, rounds: int = 1
) -> Schedule:
    """Return the schedule that takes the stages `bits` from the lowest up, low ones by shuffles.

    It starts with neighbouring numbers in neighbouring lanes and needs at most one change of
    layout, so it covers tiles of up to 2^(5 + 2 log_registers) numbers.
    """
    start, stop = bits
    low = min(LANE_BITS, log_size - log_registers)
    top = low + log_registers
    phases = []
    if start < top or stop == start:
        phases.append(
            Phase(
                low,
                lanes=(min(start, low), min(stop, low)),
                registers=(max(start, low), max(min(stop, top), max(start, low))),
            )
        )
    if stop > top:
        high = log_size - log_registers
        if high > top:
            raise ValueError(f"tiles of 2^{log_size} numbers need two changes of layout")
        phases.append(Phase(high, registers=(max(start, top), stop)))
    return Schedule(log_size, log_registers, tuple(phases), slots, rounds)


def exchanged(log_size: int, log_registers: int, slots: int = 1) -> Schedule:
    """Return the schedule that takes most stages in registers, the topmost ones first.

    It starts and ends with neighbouring numbers in neighbouring lanes. In between, a thread holds
    2^log_registers neighbours; what remains of the lowest five bits is taken by shuffles.
    """
    high = log_size - log_registers
    phases = [
        Phase(high, (log_registers, LANE_BITS), (high, log_size)),
        Phase(0, registers=(0, log_registers)),
    ]
    for start in range(LANE_BITS, high, log_registers):
        phases.append(Phase(start, registers=(start, min(start + log_registers, high))))
    return Schedule(log_size, log_registers, tuple(phases), slots)
