"""A machine that executes the PTX of one kernel in NumPy, and watches what its threads do.

A register of PTX is an array over the threads of a launch, its bits kept as unsigned integers. Each
thread has its own place in the program; those at the lowest place that do not wait at a barrier go
on, up to the next branch, so threads that took different ways meet again. What a GPU would leave
undefined is a `Fault` here, which names the instruction:

* an access of global memory outside all arrays, or of an address that its size does not divide;
* a read of shared memory that nobody in the block wrote;
* a race: two threads touch one word, one of them writes, and no barrier of the block lies between;
* a shuffle that lacks lanes, barriers that threads meet at different places, a division by zero.

Results are those of the PTX ISA, bit for bit, but for what is within a NaN, and where products of
float64 come near the largest or smallest numbers. Only instructions that kernels of this package
hold are known. (Those of calls into the CUDA library are not: a kernel may hold, not reach them.)
"""

from ptx_machine.launch import execute, launch
from ptx_machine.memory import Memory, Traffic
from ptx_machine.program import Fault, parsed

__all__ = ["Fault", "Memory", "Traffic", "execute", "launch", "parsed"]
