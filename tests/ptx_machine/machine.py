"""Thread blocks at work: their places in the program, registers, and each instruction."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ptx_machine.arithmetic import bits_of, dtype_of, operation
from ptx_machine.memory import WARP, WORD, Memory, Region, Traffic, Watch
from ptx_machine.program import Fault, Instruction, Program, listed


@dataclass
class Machine:
    """Some thread blocks of a launch, all at once."""

    program: Program
    grid: tuple[int, int]
    threads: int
    blocks: Any
    parameters: dict[str, Any]
    memory: Memory
    symbols: dict[str, int]
    traffic: Traffic
    registers: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.blocks) * self.threads
        self.lane = np.tile(np.arange(self.threads), len(self.blocks))
        self.block = np.repeat(np.arange(len(self.blocks)), self.threads)
        self.number = self.blocks[self.block] * self.threads + self.lane
        self.place = np.zeros(count, np.int64)
        self.waiting = np.zeros(count, bool)
        self.epoch = np.zeros(len(self.blocks), np.int32)
        self.shared_bytes = -(-self.program.shared_bytes // 16) * 16
        size = len(self.blocks) * self.shared_bytes
        self.shared = Region(0, np.zeros(size, np.uint8), Watch(size, WORD, self.threads))
        self.special = {
            "%tid.x": self.lane,
            "%ctaid.x": self.blocks[self.block] % self.grid[0],
            "%ctaid.y": self.blocks[self.block] // self.grid[0],
            "%ntid.x": np.full(count, self.threads),
            "%nctaid.x": np.full(count, self.grid[0]),
            "%nctaid.y": np.full(count, self.grid[1]),
        }
        self.active: Any = np.arange(count)

    def run(self) -> None:
        """Run all threads to their end."""
        end = len(self.program.instructions)
        while True:
            ready = ~self.waiting & (self.place < end)
            if not ready.any():
                return
            at = int(self.place[ready].min())
            self.active = np.flatnonzero(ready & (self.place == at))
            self._run_from(at)

    def _run_from(self, at: int) -> None:
        """Run the active threads up to where others may join them, or they part."""
        end = len(self.program.instructions)
        start = at
        while at < end and (at == start or at not in self.program.heads):
            instruction = self.program.instructions[at]
            try:
                parted = self._step(instruction)
            except Fault as fault:
                raise Fault(f"{fault}, at {instruction.text[:120]}") from None
            if parted:
                self._release()
                return
            at += 1
        self.place[self.active] = at

    def _step(self, instruction: Instruction) -> bool:
        """Run one instruction, and return whether it has set the threads' places."""
        everyone, name = self.active, instruction.stem.partition(".")[0]
        if instruction.guard:
            chosen = self.value(instruction.guard, "pred") != instruction.unless
            self.active = everyone[chosen]
        parts = name in ("bra", "ret", "bar")
        if parts:
            self.place[everyone] = instruction.place + 1
        if len(self.active):
            own = name in ("bra", "ret", "bar", "membar", "mov", "shfl", "ld", "st")
            (getattr(self, f"_{name}") if own else self._compute)(instruction)
        self.active = everyone
        return parts

    # ------------------------------------------------------------------------------- operands

    def value(self, operand: str, kind: str) -> Any:
        """Return an operand for the active threads, or one number for all."""
        dtype = dtype_of(kind)
        if operand in self.special:
            return self.special[operand][self.active].astype(dtype)
        if operand[0] == "%":
            return self._register(operand, dtype)
        return self._number(operand, dtype)

    def _register(self, name: str, dtype: np.dtype[Any]) -> Any:
        if name not in self.registers:
            raise Fault(f"{name} is read and was never set")
        found = self.registers[name]
        found = found if len(self.active) == len(found) else found[self.active]
        if found.dtype.itemsize != dtype.itemsize:
            found = found.astype(bits_of(dtype))
        return found.view(dtype)

    def _number(self, text: str, dtype: np.dtype[Any]) -> Any:
        if text in self.symbols:
            return np.array(self.symbols[text], np.uint64).astype(dtype)
        floating = re.fullmatch(r"0[fFdD]([0-9A-Fa-f]+)", text)
        number = int(floating[1], 16) if floating else int(text, 0)
        bits = bits_of(dtype)
        if dtype.kind == "b":
            return np.array(bool(number))
        return np.array(number % (1 << 8 * bits.itemsize), np.uint64).astype(bits).view(dtype)

    def set(self, name: str, value: Any) -> None:
        """Set a register of the active threads; one that is wider gets the sign, or zeros."""
        if name[0] != "%":  # nobody reads it
            return
        prefix = re.match(r"%[a-z]+", name)[0]
        dtype = bits_of(dtype_of(self.program.registers[prefix]))
        value = np.asarray(value)
        if value.dtype.itemsize < dtype.itemsize:
            value = value.astype(np.dtype(f"{value.dtype.kind}{dtype.itemsize}"))
        value = np.broadcast_to(value.view(dtype), len(self.active))
        if len(self.active) == len(self.place):
            self.registers[name] = value.copy()
            return
        register = self.registers.setdefault(name, np.zeros(len(self.place), dtype))
        register[self.active] = value

    # --------------------------------------------------------------------------- instructions

    def _compute(self, instruction: Instruction) -> None:
        result, kinds, function = operation(instruction.stem, instruction.types)
        target, *sources = instruction.operands
        with np.errstate(all="ignore"):
            computed = function(*map(self.value, sources, kinds))
        self.set(target, np.asarray(computed).astype(dtype_of(result), copy=False))

    def _mov(self, instruction: Instruction) -> None:
        """Move; the two halves of a register may be registers of their own."""
        if "{" not in instruction.text:
            self._compute(instruction)
            return
        (kind,), (target, source) = instruction.types, instruction.operands
        half = dtype_of(kind).itemsize * 4
        if source[0] == "{":
            low, high = (self.value(name, f"b{half}") for name in listed(source))
            wide = dtype_of(kind)
            self.set(target, low.astype(wide) | (high.astype(wide) << wide.type(half)))
            return
        whole, (low, high) = self.value(source, kind), listed(target)
        self.set(low, whole.astype(dtype_of(f"b{half}")))
        self.set(high, (whole >> whole.dtype.type(half)).astype(dtype_of(f"b{half}")))

    def _shfl(self, instruction: Instruction) -> None:
        target, source, distance, clamp, mask = instruction.operands
        settled = (self.value(clamp, "b32") == 31) & (self.value(mask, "b32") == 0xFFFFFFFF)
        if instruction.stem != "shfl.sync.bfly" or not np.all(settled):
            raise Fault("a shuffle that this machine does not have")
        whole = np.repeat(self.active[::WARP] // WARP * WARP, WARP)[: len(self.active)]
        if (self.active != whole + np.arange(len(whole)) % WARP).any() or len(whole) % WARP:
            raise Fault("a shuffle that not all lanes of a warp take part in")
        other = np.arange(len(self.active)) ^ self.value(distance, "s32")
        name, _, whether = target.partition("|")
        self.set(name, self.value(source, "b32")[other])
        if whether:
            self.set(whether, np.array(True))

    def _bra(self, instruction: Instruction) -> None:
        self.place[self.active] = self.program.labels[instruction.operands[0]]

    def _ret(self, instruction: Instruction) -> None:
        self.place[self.active] = len(self.program.instructions)

    def _bar(self, instruction: Instruction) -> None:
        if (instruction.stem, instruction.operands) != ("bar.sync", ("0",)):
            raise Fault("a barrier that this machine does not have")
        self.waiting[self.active] = True

    def _membar(self, instruction: Instruction) -> None:
        """Do nothing: that writes are seen by others does not make these wait for them."""

    def _release(self) -> None:
        """Let blocks go on whose threads all wait or have come to their end."""
        shape = len(self.blocks), self.threads
        waiting, place = self.waiting.reshape(shape), self.place.reshape(shape)
        at_end = place == len(self.program.instructions)
        free = (waiting | at_end).all(axis=1) & waiting.any(axis=1)
        where = np.where(waiting, place, place.max(axis=1, keepdims=True, where=waiting, initial=0))
        if (where != where[:, :1])[free].any():
            raise Fault("threads of a block wait at different barriers")
        self.epoch[free] += 1
        waiting[free] = False

    # --------------------------------------------------------------------------------- memory

    def _address(self, operand: str) -> Any:
        base, _, offset = operand.strip("[]").partition("+")
        start = self.value(base, "u64")
        return np.broadcast_to(start + np.uint64(int(offset or 0) % (1 << 64)), len(self.active))

    def _ld(self, instruction: Instruction) -> None:
        target, source = instruction.operands
        if instruction.stem.startswith("ld.param"):
            (kind,) = instruction.types
            self.set(target, self.parameters[source.strip("[]")].view(dtype_of(kind)))
            return
        names = listed(target)
        values = self._access(instruction, source, len(names), None)
        for number, name in enumerate(names):
            self.set(name, values[:, number])

    def _st(self, instruction: Instruction) -> None:
        target, source = instruction.operands
        (kind,), count = instruction.types, len(self.active)
        values = [np.broadcast_to(self.value(name, kind), count) for name in listed(source)]
        self._access(instruction, target, len(values), np.stack(values, axis=1))

    def _access(self, instruction: Instruction, where: str, count: int, values: Any) -> Any:
        """Read, or write `values`, a row for each thread."""
        _, space, *more = instruction.stem.split(".")
        if not {*more} <= {"nc", f"v{count}"} or space not in ("global", "shared", "const"):
            raise Fault("an access that this machine does not have")
        dtype, addresses = dtype_of(instruction.types[0]), self._address(where)
        size, result = count * dtype.itemsize, np.empty((len(self.active), count), dtype)
        if (addresses % np.uint64(size)).any():
            raise Fault(f"an access of {size} bytes that do not divide its address")
        for region, here, offsets in self._find(space, addresses, size, values is None):
            self._note(region.watch, offsets, size, self.active[here], values is not None)
            numbers = region.numbers(dtype, count)
            if values is None:
                result[here] = numbers[offsets // size]
            else:
                numbers[offsets // size] = values[here]
        return result

    def _find(self, space: str, addresses: Any, size: int, reads: bool) -> Any:
        """Return the regions, as `Memory.find`, and count the traffic."""
        numbers = self.number[self.active]
        if space == "global":
            self.traffic.count_global(addresses, size, numbers // WARP)
        if space != "shared":
            return self.memory.find(addresses, size)
        if (addresses > self.program.shared_bytes - size).any():
            raise Fault("an access outside shared memory")
        self.traffic.count_shared(addresses.astype(np.int64), size, numbers)
        offsets = addresses.astype(np.int64) + self.block[self.active] * self.shared_bytes
        if reads and self.shared.watch.untouched(offsets).any():
            raise Fault("a read of shared memory that nobody wrote")
        return [(self.shared, slice(None), offsets)]

    def _note(self, watch: Watch | None, offsets: Any, size: int, who: Any, writes: bool) -> None:
        if watch is None:
            return
        epoch = self.epoch[self.block[who]]
        races = watch.touch(offsets, size, self.number[who], epoch, writes)
        if races.any():
            thread = self.number[who[races.reshape(len(who), -1).any(axis=1)][0]]
            raise Fault(f"a race of thread {thread} of the launch with another one")
