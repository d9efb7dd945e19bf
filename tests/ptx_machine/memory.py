"""Memories of a launch: what lies where, who touched it last, and how many turns that took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ptx_machine.program import Fault

WARP, SECTOR, BANKS, WORD = 32, 32, 32, 4
NOBODY, SEVERAL = -1, -2


class Watch:
    """Who touched each unit of a memory last, to find threads that do not wait for each other.

    Threads are numbered through the launch; `epoch` says how many barriers a block has passed.
    """

    def __init__(self, size: int, unit: int, threads: int) -> None:
        self._unit, self._threads, units = unit, threads, -(-size // unit)
        self._writer, self._reader, self._block = (np.full(units, NOBODY) for _ in range(3))
        self._written_at, self._read_at = (np.full(units, NOBODY, np.int32) for _ in range(2))

    def touch(self, offsets: Any, size: int, thread: Any, epoch: Any, writes: bool) -> Any:
        """Note accesses of `size` bytes, and return which of their units race."""
        units = offsets[:, None] // self._unit + np.arange(-(-size // self._unit))
        each = (np.repeat(one, units.shape[1]) for one in (thread, epoch))
        return (self._write if writes else self._read)(units.ravel(), *each)

    def untouched(self, offsets: Any) -> Any:
        """Return where nobody has written."""
        return self._writer[offsets // self._unit] == NOBODY

    def _overwritten(self, units: Any, thread: Any, epoch: Any) -> Any:
        writer = self._writer[units]
        elsewhere = writer // self._threads != thread // self._threads
        apart = elsewhere | (self._written_at[units] == epoch)
        return (writer != NOBODY) & (writer != thread) & apart

    def _write(self, units: Any, thread: Any, epoch: Any) -> Any:
        block, reader = self._block[units], self._reader[units]
        elsewhere = block != thread // self._threads
        apart = elsewhere | ((self._read_at[units] == epoch) & (reader != thread))
        races = self._overwritten(units, thread, epoch) | ((block != NOBODY) & apart)
        self._writer[units], self._written_at[units] = thread, epoch
        return races | (self._writer[units] != thread)

    def _read(self, units: Any, thread: Any, epoch: Any) -> Any:
        block, mine = self._block[units], thread // self._threads
        again = (self._read_at[units] == epoch) & (self._reader[units] != thread)
        self._reader[units] = np.where(again, SEVERAL, thread)
        self._reader[units[self._reader[units] != thread]] = SEVERAL
        self._block[units] = np.where((block == NOBODY) | (block == mine), mine, SEVERAL)
        self._block[units[self._block[units] != mine]] = SEVERAL
        self._read_at[units] = epoch
        return self._overwritten(units, thread, epoch)


@dataclass
class Region:
    """A stretch of memory: where it begins, what it holds, and its watch."""

    address: int
    content: Any
    watch: Watch | None

    def numbers(self, dtype: np.dtype[Any], count: int) -> Any:
        """Return the content as rows of so many numbers."""
        size = count * dtype.itemsize
        return self.content[: len(self.content) // size * size].view(dtype).reshape(-1, count)


class Memory:
    """Global memory: arrays at addresses that were made up, with gaps between them.

    The addresses take more than 32 bits, and are multiples of 256 as those of the driver are.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._regions = [Region(0, np.empty(0, np.uint8), None)]
        self._places: dict[tuple[int, int], int] = {}
        self._next = 0x7F00_0000_0000

    def place(self, array: Any) -> int:
        """Return the address of a contiguous array; the same array has the same one."""
        content = array.reshape(-1).view(np.uint8)
        key = content.ctypes.data, content.size
        if key not in self._places:
            watch = Watch(content.size, 2, self._threads)
            self._regions.append(Region(self._next, content, watch))
            self._places[key] = self._next
            self._next += -(-content.size // 4096) * 4096 + 8192
        return self._places[key]

    def find(self, addresses: Any, size: int) -> list[tuple[Region, Any, Any]]:
        """Return the regions in which these addresses lie, which lie there, and how far in it."""
        bases = np.array([region.address for region in self._regions], np.uint64)
        sizes = np.array([len(region.content) for region in self._regions])
        found = np.searchsorted(bases, addresses, side="right") - 1
        offsets = (addresses - bases[found]).astype(np.int64)
        bad = offsets > sizes[found] - size
        if bad.any():
            offset, bytes_there = offsets[bad][0], sizes[found][bad][0]
            raise Fault(f"an access outside all arrays, at byte {offset} of one of {bytes_there}")
        return [(self._regions[i], found == i, offsets[found == i]) for i in np.unique(found)]


def distinct(groups: Any, numbers: Any) -> tuple[Any, Any]:
    """Return the different pairs of a group and a number, in order."""
    least, span = numbers.min(), numbers.max() - numbers.min() + 1
    pairs = np.unique(groups * span + (numbers - least))
    return pairs // span, pairs % span + least


@dataclass
class Traffic:
    """What the warps of a launch ask of the memories, against the fewest that would do.

    `sectors` are those of 32 bytes in global memory; `fewest_sectors` hold as many bytes as differ.
    `turns` count, for each access of shared memory by a warp (by half of one where numbers have 64
    bits), the different words that the busiest bank has to deliver; without conflicts it is one.
    """

    sectors: int = 0
    fewest_sectors: int = 0
    turns: int = 0
    fewest_turns: int = 0

    def count_global(self, addresses: Any, size: int, warps: Any) -> None:
        """Add one instruction's accesses of global memory, `size` bytes a thread."""
        warps, addresses = distinct(warps, addresses.astype(np.int64))
        self.sectors += len(distinct(warps, addresses // SECTOR)[0])
        self.fewest_sectors += int((-(-np.bincount(warps - warps[0]) * size // SECTOR)).sum())

    def count_shared(self, offsets: Any, size: int, threads: Any) -> None:
        """Add one instruction's accesses of shared memory."""
        together = threads // (WARP * WORD // max(size, WORD))
        words = offsets[:, None] // WORD + np.arange(-(-size // WORD))
        groups, words = distinct(np.repeat(together, words.shape[1]), words.ravel())
        met = np.bincount((groups - groups[0]) * BANKS + words % BANKS, minlength=BANKS)
        most = np.pad(met, (0, -len(met) % BANKS)).reshape(-1, BANKS).max(axis=1)
        self.turns += int(most.sum())
        self.fewest_turns += int((most > 0).sum())
