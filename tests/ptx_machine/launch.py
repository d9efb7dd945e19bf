"""A kernel, its grid and its arguments, as Numba would pass them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ptx_machine.arithmetic import dtype_of
from ptx_machine.machine import Machine
from ptx_machine.memory import WARP, Memory, Traffic
from ptx_machine.program import parsed

THREADS_AT_ONCE = 1 << 16  # of a launch; its blocks do not wait for each other


def flattened(arguments: Sequence[Any], memory: Memory) -> list[Any]:
    """Return the numbers that Numba passes: of an array seven or more, of anything else itself."""
    numbers: list[Any] = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            numbers += [0, 0, argument.size, argument.itemsize, memory.place(argument)]
            numbers += [*argument.shape, *argument.strides]
        else:
            numbers.append(argument)
    return numbers


def passed(value: Any, kind: str) -> Any:
    """Return a parameter as the kernel finds it; NumPy's numbers must have its very type."""
    dtype = dtype_of(kind)
    if isinstance(value, int):
        return np.array(value, np.uint64)
    if not isinstance(value, np.generic) or value.itemsize != dtype.itemsize:
        raise TypeError(f"a parameter of type {kind} was given {value!r} of {type(value).__name__}")
    return np.asarray(value)


def execute(ptx: str, grid: Any, threads: int, values: Sequence[Any], memory: Memory) -> Traffic:
    """Run a kernel on parameters as PTX has them."""
    program = parsed(ptx)
    if threads % WARP:
        raise ValueError(f"threads must be whole warps, got {threads}")
    if len(values) != len(program.parameters):
        raise TypeError(f"{len(program.parameters)} parameters were given {len(values)} values")
    parameters = {
        name: passed(value, kind)
        for (name, kind), value in zip(program.parameters.items(), values, strict=True)
    }
    constants = {name: np.frombuffer(data, np.uint8) for name, data in program.constants.items()}
    symbols = program.shared | {name: memory.place(data) for name, data in constants.items()}
    size = (grid, 1) if isinstance(grid, int) else (*grid, 1)[:2]
    traffic, at_once = Traffic(), max(1, THREADS_AT_ONCE // threads)
    for start in range(0, size[0] * size[1], at_once):
        blocks = np.arange(start, min(start + at_once, size[0] * size[1]))
        Machine(program, size, threads, blocks, parameters, memory, symbols, traffic).run()
    return traffic


def launch(ptx: str, grid: Any, threads: int, *arguments: Any) -> Traffic:
    """Run a kernel on contiguous NumPy arrays, which it writes to, and NumPy's numbers."""
    memory = Memory(threads)
    return execute(ptx, grid, threads, flattened(arguments, memory), memory)
