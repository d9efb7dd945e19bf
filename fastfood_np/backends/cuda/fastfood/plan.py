"""How rows of the Fastfood transform are shared out among thread blocks.

A thread block takes some rows through all six factors at once: a row of d_pad numbers, or as many
shorter ones as fill its tile. Forward holds two long rows at once, so that S, G, B and Pi, which
lie in the near cache, are read once for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from fastfood_np.backends.cuda.layouts import LANE_BITS, Schedule, exchanged, shuffled
from fastfood_np.backends.cuda.limits import LOG_SMALLEST_TILE, SHARED_BYTES


@dataclass(frozen=True)
class Plan:
    """The schedule of one Hadamard transform of rows of 2^log_d numbers."""

    schedule: Schedule
    log_d: int

    @property
    def rows_in_tile(self) -> int:
        """Rows that one tile holds."""
        return self.schedule.size >> self.log_d

    @property
    def rows(self) -> int:
        """Rows that a thread block holds."""
        return self.schedule.slots * self.rows_in_tile

    def groups(self, m: int) -> int:
        """Return the number of groups of `rows` rows in m rows."""
        return -(-m // self.rows)


def _plan(log_d: int, log_registers: int, log_items: int, slots: int) -> Plan:
    if log_d <= LANE_BITS + log_registers:  # a warp holds a row: no change of layout
        log_size = max(log_d, log_registers + LANE_BITS, min(LOG_SMALLEST_TILE, log_items))
        return Plan(shuffled(log_size, log_registers, (0, log_d), slots), log_d)
    return Plan(exchanged(log_d, log_registers, slots), log_d)


def _log_items(itemsize: int, shared_bytes: int) -> int:
    return (shared_bytes // itemsize).bit_length() - 1


def fits(d_pad: int, itemsize: int, shared_bytes: int = SHARED_BYTES) -> bool:
    """Whether a thread block can hold a row."""
    return d_pad * itemsize <= shared_bytes


@cache
def forward_plan(log_d: int, itemsize: int, shared_bytes: int = SHARED_BYTES) -> Plan:
    """Return the plan of the forward pass: two tiles of long rows where they fit, else one."""
    log_items = _log_items(itemsize, shared_bytes)
    single = _plan(log_d, 4, log_items, slots=1)
    if (
        single.rows_in_tile > 1
        or itemsize > 4
        or 2 * single.schedule.size * itemsize > shared_bytes
    ):
        return single
    return _plan(log_d, 4, log_items, slots=2)


@cache
def backward_plan(log_d: int, itemsize: int, shared_bytes: int = SHARED_BYTES) -> Plan:
    """Return the plan of the backward pass, which keeps six numbers for each number of a row."""
    log_items = _log_items(itemsize, shared_bytes)
    return _plan(log_d, 3 if log_d < 10 else 4, log_items, slots=1)
