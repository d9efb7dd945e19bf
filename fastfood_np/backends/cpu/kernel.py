"""Kernels: compiled functions over units of work, run by one thread or shared out among many.

A kernel is a function ``f(lanes, *arguments, team, first, last)`` that does the units of work from
`first` to `last`; `team` = 0, 1, ... is one of the threads and may have scratch memory of its own.
Which thread does which units never changes a bit of the result.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastfood_np.backends.cpu.jit import disabled, jit, renamed
from fastfood_np.validation import Array


@intrinsic
def _call(
    typing: Any, address: Any, lanes: Any, arguments: Any, team: Any, first: Any, last: Any
) -> Any:
    """Call the compiled function that lies at an address."""
    kinds = (lanes, *arguments.types, team, first, last)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address, lanes, arguments, *numbers = values
        convention = context.call_conv
        pointer = convention.get_function_type(types.none, kinds).as_pointer()
        function = builder.inttoptr(address, pointer)
        unpacked = (lanes, *cgutils.unpack_tuple(builder, arguments), *numbers)  # type: ignore[no-untyped-call]
        convention.call_function(builder, function, types.none, kinds, unpacked)
        return context.get_dummy_value()

    return types.none(address, lanes, arguments, team, first, last), generate


def _shared_out(address, units, teams, lanes, arguments):  # type: ignore[no-untyped-def]
    """Have each of the teams, which are threads, do its part of the units."""
    for team in numba.prange(teams):
        first, last = units * team // teams, units * (team + 1) // teams
        part = np.int64(team), np.int64(first), np.int64(last)
        _call(address, lanes, arguments, *part)  # type: ignore[call-arg]


# Called by address, a kernel is compiled once for both ways, and not gone over again with the loop.
_share_out = jit(_shared_out, parallel=True)


_typeof: Any = numba.typeof


def _kind(value: Any) -> Any:
    """Return what, for one kernel, tells the type of an argument."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.ndim, value.flags.num
    return type(value)


class _Writable:
    """A read-only array, about which NumPy is told that it may be written."""

    def __init__(self, array: Array) -> None:
        self.array = array
        address = array.__array_interface__["data"][0]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}


def usual(array: Array) -> Array:
    """Return the same memory as an array of the type that kernels have been compiled for.

    To Numba, a read-only array is of a type of its own. (No kernel writes into its inputs.)
    """
    return array if array.flags.writeable else np.asarray(_Writable(array))


class Kernel:
    """A function over units of work.

    Parameters
    ----------
    function : ``f(lanes, *arguments, team, first, last)``, plain Python that Numba can compile
    constants : tuples of Nones that globals of its module are to be in this kernel
    """

    def __init__(self, function: Any, **constants: Any) -> None:
        suffix = "".join(f"_{name}_{len(value)}" for name, value in constants.items())
        self.serial = jit(renamed(function, suffix, **constants))
        self._addresses: dict[Any, int] = {}

    def __call__(self, teams: int, units: int, lanes: Any, *arguments: Any) -> None:
        """Do all units by at most so many teams, each of them one of Numba's threads."""
        teams = min(teams, units)
        if teams <= 1:
            self.serial(lanes, *arguments, 0, 0, units)
        elif disabled():
            for team in range(teams):
                first, last = units * team // teams, units * (team + 1) // teams
                self.serial(lanes, *arguments, team, first, last)
        else:
            _share_out(self._address(lanes, arguments), units, teams, lanes, arguments)

    def _address(self, lanes: Any, arguments: tuple[Any, ...]) -> int:
        """Return where the code for arguments of these types lies."""
        key = lanes, *map(_kind, arguments)
        if key not in self._addresses:
            signature = tuple(_typeof(value) for value in (lanes, *arguments, 0, 0, 0))
            self.serial.compile(signature)
            compiled = self.serial.overloads[signature]
            name = compiled.fndesc.llvm_func_name
            self._addresses[key] = compiled.library.get_pointer_to_function(name)
        return self._addresses[key]
