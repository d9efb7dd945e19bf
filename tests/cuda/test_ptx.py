"""What the compiler makes of every kernel: registers, memory, instructions. No GPU is needed.

Each kernel is compiled for compute capability 9.0, and some of each kind for the others. To add
kernels, add to `CASES`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
import pytest
from cuda_code import compiled, missing
from numba import types

from fastfood_np.backends.cuda import factors, hadamard
from fastfood_np.backends.cuda.fastfood import backward, forward
from fastfood_np.backends.cuda.fastfood import sums as sums_of_gradients
from fastfood_np.backends.cuda.fastfood.plan import backward_plan, forward_plan
from fastfood_np.backends.cuda.limits import GPU_SHARED_BYTES
from fastfood_np.backends.cuda.storage import BFLOAT16

pytestmark = pytest.mark.compiled

MAIN, OTHERS = (9, 0), ((7, 5), (8, 0), (10, 0))
REGISTERS = 65_536  # of a multiprocessor
SHARED_LIMIT = 48 * 1024  # bytes a block, unless the driver is asked for more


@dataclass(frozen=True)
class Case:
    """A kernel, the types of its arguments, and what it may use at most.

    `instructions` says how often some instructions stand in the PTX, where loops are unrolled;
    `spills` are the capabilities for which numbers are known to leave the registers, and `doubles`
    allows for double precision although no argument has it.
    """

    name: str
    make: Callable[[], Any] = field(repr=False)
    signature: tuple[Any, ...]
    registers: int
    shared: int
    instructions: dict[str, int]
    everywhere: bool = False
    spills: Sequence[tuple[int, int]] = ()
    doubles: bool = False


# Registers of a thread and bytes of shared memory: a little more than the most that was measured
# for the four capabilities (numba-cuda 0.30.4, CUDA 13.0). Where float64 changes its layout by
# halves, 10.0 takes 168 registers, the others 98.
HADAMARD_BUDGETS = {
    "bfloat16 contiguous exchange": (48, 17 * 1024),
    "float16 contiguous": (32, 0),
    "float16 contiguous ragged": (64, 0),
    "float16 contiguous exchange": (32, 17 * 1024),
    "float16 contiguous exchange by halves": (88, 33 * 1024),
    "float32 contiguous": (32, 0),
    "float32 contiguous ragged": (64, 0),
    "float32 contiguous exchange": (32, 33 * 1024),
    "float32 contiguous exchange ragged": (56, 33 * 1024),
    "float32 contiguous exchange by halves": (80, 33 * 1024),
    "float32 strided": (32, 0),
    "float32 strided exchange": (32, 33 * 1024),
    "float64 contiguous": (80, 0),
    "float64 contiguous ragged": (96, 0),
    "float64 contiguous exchange": (80, 34 * 1024),
    "float64 contiguous exchange ragged": (80, 34 * 1024),
    "float64 contiguous exchange by halves": (112, 34 * 1024),
    "float64 strided": (48, 0),
    "float64 strided exchange": (72, 34 * 1024),
    "float64 strided exchange by halves": (112, 34 * 1024),
}


def transform(
    storage: Any, log_d: int, number: int = 0, ragged: bool = False, **options: Any
) -> Case:
    """The case of pass `number` over rows of 2^log_d numbers."""
    compute = np.float64 if storage is np.float64 else np.float32
    plan = hadamard.passes(log_d, np.dtype(compute).itemsize, GPU_SHARED_BYTES)[number]
    schedule = plan.schedule
    changes = len(schedule.phases) - 1
    words = [
        "bfloat16" if storage == BFLOAT16 else np.dtype(storage).name,
        "contiguous" if plan.log_run == plan.log_stride else "strided",
        "exchange" if changes else "",
        "by halves" if schedule.rounds == 2 else "",
        "ragged" if ragged else "",
    ]
    kind = " ".join(filter(None, words))
    seen = np.uint16 if storage == BFLOAT16 else storage  # its bits
    array, factor = (numba.from_dtype(np.dtype(dtype)) for dtype in (seen, compute))
    count = schedule.registers
    return Case(
        f"hadamard {kind} 2^{log_d}",
        lambda: hadamard.make_kernel(plan, np.dtype(storage), ragged),
        (array[::1], array[::1], factor, types.uint64),
        *HADAMARD_BUDGETS[kind],
        {
            "ld.global": count,
            "st.global": count,
            "ld.shared": count * changes,
            "st.shared": count * changes,
            "bar.sync": 2 * schedule.rounds * changes,
        },
        **options,
    )


def fused(
    real: Any,
    log_d: int,
    registers: int,
    f: str = "none",
    dropout: bool = False,
    stacked: bool = False,
    whole: bool = True,
    **options: Any,
) -> Case:
    """The case of the forward pass of Fastfood, f being the nonlinearity."""
    number = numba.from_dtype(np.dtype(real))
    array, size = number[::1], types.uint64
    plan = forward_plan(log_d, number.bitwidth // 8, GPU_SHARED_BYTES)
    schedule = plan.schedule
    held = schedule.slots * schedule.registers
    extra = [types.boolean[::1] if dropout else array, array] if dropout or f == "cos" else []
    factors = [number] * (3 if extra else 2)
    words = [f, "dropout" * dropout, "stacked" * stacked, "cut" * (not whole)]
    return Case(
        f"forward {number} {' '.join(filter(None, words))} 2^{log_d}",
        lambda: forward.make_kernel(plan, real, f, dropout, stacked, whole),
        (*[array] * 4, types.int32[::1], *extra, array, *[size] * 4, *factors),
        registers,
        33 * 1024 if real is np.float32 else 34 * 1024,
        # x, mask and phase for each number; B, Pi, G and S for each column (of short rows, once).
        {
            "st.global": held * (1 + (f == "cos_sin")),
            "ld.global": held * (1 + dropout + (f == "cos")) + 4 * schedule.registers,
        }
        if log_d >= 9 and real is SINGLE
        else {},
        **options,
    )


def gradients(
    real: Any,
    log_d: int,
    registers: int,
    dropout: bool = False,
    need_dx: bool = True,
    stacked: bool = False,
    whole: bool = True,
    **options: Any,
) -> Case:
    """The case of the backward pass of Fastfood."""
    number = numba.from_dtype(np.dtype(real))
    array = number[::1]
    plan = backward_plan(log_d, number.bitwidth // 8, GPU_SHARED_BYTES)
    keep, factors = [types.boolean[::1]] * dropout, [number] * (1 + dropout)
    words = [str(number), "dropout" * dropout, "dx" * need_dx, "stacked" * stacked]
    words.append("cut" * (not whole))
    return Case(
        f"backward {' '.join(filter(None, words))} 2^{log_d}",
        lambda: backward.make_kernel(plan, real, dropout, need_dx, stacked, whole),
        (*[array] * 5, types.int32[::1], *keep, array, array, *[types.uint64] * 5, *factors),
        registers,
        33 * 1024 if real is np.float32 else 34 * 1024,
        {},
        **options,
    )


def sums(real: Any, registers: int) -> Case:
    """The case of the sums over the thread blocks of the backward pass."""
    number = numba.from_dtype(np.dtype(real))
    plan = backward_plan(9, number.bitwidth // 8, GPU_SHARED_BYTES)
    return Case(
        f"reduce {number}",
        lambda: sums_of_gradients.make_reduce(plan, real),
        (*[number[::1]] * 4, types.uint64, types.uint64),
        registers,
        256 * number.bitwidth // 8,
        {"st.global": 3},
    )


def factor(kernel: Any, signature: tuple[Any, ...]) -> Case:
    """The case of one factor of Fastfood by itself."""
    shared = 1024 if kernel.py_func.__name__ == "diagonal_backward" else 0
    return Case(
        f"factor {kernel.py_func.__name__}", lambda: kernel, signature, 40, shared, {"st.global": 1}
    )


ARRAY, SIZES, FACTORS = types.float32[::1], (types.uint64,) * 3, (types.float32,) * 2
HALF, SINGLE, DOUBLE = np.float16, np.float32, np.float64
CASES = [
    # The only pass, or the first of two; then with ragged ends; then the second pass.
    *(transform(HALF, log_d) for log_d in (3, 12)),
    transform(HALF, 14, everywhere=True),
    transform(BFLOAT16, 12),
    *(transform(SINGLE, log_d) for log_d in (0, 3, 5, 9, 10, 13)),
    transform(SINGLE, 12, everywhere=True),
    transform(SINGLE, 14, everywhere=True),
    *(transform(DOUBLE, log_d) for log_d in (0, 3, 5, 9, 10)),
    transform(DOUBLE, 12, everywhere=True),
    transform(DOUBLE, 13, everywhere=True),
    transform(HALF, 9, ragged=True),
    *(transform(SINGLE, log_d, ragged=True, everywhere=log_d == 9) for log_d in (9, 11)),
    *(transform(DOUBLE, log_d, ragged=True, everywhere=log_d == 9) for log_d in (9, 11)),
    *(transform(SINGLE, log_d, 1, everywhere=log_d == 24) for log_d in (15, 17, 18, 22, 24)),
    *(transform(DOUBLE, log_d, 1) for log_d in (14, 16, 20, 22)),
    transform(DOUBLE, 24, 1, everywhere=True),
    # Here the compiler was told how many registers there are.
    fused(SINGLE, 4, 64),
    fused(SINGLE, 9, 112),
    fused(SINGLE, 9, 112, whole=False),
    fused(SINGLE, 12, 64, everywhere=True),
    fused(SINGLE, 12, 64, whole=False, everywhere=True),
    fused(SINGLE, 13, 64),
    fused(SINGLE, 13, 64, whole=False),
    fused(SINGLE, 12, 64, "relu", dropout=True),
    fused(SINGLE, 12, 64, "relu", dropout=True, whole=False),
    fused(SINGLE, 12, 128, stacked=True),
    fused(SINGLE, 12, 128, stacked=True, whole=False),
    fused(SINGLE, 9, 128, "cos", stacked=True, doubles=True),
    fused(SINGLE, 12, 128, "cos_sin", stacked=True, doubles=True),
    fused(DOUBLE, 12, 64),
    fused(DOUBLE, 12, 128, "cos", stacked=True),
    fused(DOUBLE, 12, 128, "cos_sin", stacked=True, everywhere=True),
    gradients(SINGLE, 9, 128),
    gradients(SINGLE, 9, 128, whole=False),
    # Of cut rows a few numbers (8 to 24 bytes a thread) do not find a register.
    *(
        gradients(SINGLE, 12, 128, everywhere=True, **options)
        for options in (
            {},
            {"need_dx": False},
            {"stacked": True},
            {"dropout": True},
            {"whole": False, "spills": [(10, 0)]},
            {"whole": False, "stacked": True, "spills": [(8, 0), MAIN]},
            {"whole": False, "stacked": True, "dropout": True, "spills": [(8, 0), (10, 0)]},
        )
    ),
    gradients(DOUBLE, 12, 255),
    gradients(DOUBLE, 12, 255, stacked=True, whole=False, spills=[MAIN]),
    sums(SINGLE, 40),
    sums(DOUBLE, 40),
]
CASES += [
    factor(kernel, signature)
    for kernel, signature in (
        (factors._spread, (ARRAY, types.float32, ARRAY, *SIZES[:3])),
        (factors._spread_backward, (ARRAY, ARRAY, *SIZES[:3])),
        (factors.make_join("none", SINGLE), (ARRAY, ARRAY, ARRAY, *FACTORS, *SIZES[:3])),
        (factors._join_backward, (ARRAY, types.float32, ARRAY, *SIZES[:2])),
        (factors._diagonal, (ARRAY, ARRAY, ARRAY)),
        (factors.make_diagonal_backward(SINGLE), (ARRAY, ARRAY, ARRAY, SIZES[0])),
        (factors._permute, (ARRAY, types.int32[::1], ARRAY, SIZES[0])),
        (factors._permute_backward, (ARRAY, types.int32[::1], ARRAY, SIZES[0])),
        (factors._drop, (ARRAY, types.boolean[::1], types.float32)),
    )
]
# What differs from these in a constant, or in how often a loop is gone through.
MORE_CASES = [
    *(transform(SINGLE, log_d) for log_d in (1, 2, 4, 6, 7, 8, 11)),
    *(transform(DOUBLE, log_d) for log_d in (1, 2, 4, 6, 7, 8, 11)),
    *(transform(SINGLE, log_d, 1) for log_d in (16, 19, 20, 21, 23)),
    *(transform(DOUBLE, log_d, 1) for log_d in (15, 17, 18, 19, 21, 23)),
    *(fused(SINGLE, log_d, 64 if log_d > 9 else 128) for log_d in (0, 2, 6, 8, 10, 11)),
    *(fused(SINGLE, log_d, 64 if log_d > 9 else 128, whole=False) for log_d in (2, 6, 10, 11)),
    *(gradients(SINGLE, log_d, 128) for log_d in (4, 10, 11, 13)),
    *(gradients(SINGLE, log_d, 128, whole=False) for log_d in (4, 10, 11, 13)),
    *(gradients(DOUBLE, log_d, 255) for log_d in (4, 9, 11)),
    *(gradients(DOUBLE, log_d, 255, whole=False) for log_d in (4, 9, 11)),
]

every_case = pytest.mark.parametrize(
    "case, capability",
    [
        pytest.param(
            case,
            capability,
            id=f"{case.name} for {capability[0]}.{capability[1]}",
            marks=[pytest.mark.slow] if case in MORE_CASES else [],
        )
        for case in CASES + MORE_CASES
        for capability in (MAIN, *(OTHERS if case.everywhere else ()))
    ],
)


@pytest.fixture(scope="module", autouse=True)
def _compiler():
    if missing():
        pytest.skip(missing())


@pytest.fixture
def kernel(case):
    return case.make()


@pytest.fixture
def code(case, kernel, capability):
    return compiled(kernel, case.signature, capability)


@every_case
def test_numbers_stay_in_registers(case, code, capability):
    kept = code.stack == code.spilled == code.count(".local") == 0
    assert kept == (capability not in case.spills), code


@every_case
def test_registers_and_shared_memory_keep_to_the_budget(case, code, capability):
    # Of 7.5 a multiprocessor runs half as many threads at once: the compiler uses what that leaves.
    assert code.registers <= (case.registers if capability > (7, 5) else max(case.registers, 64))
    assert code.shared <= min(case.shared, SHARED_LIMIT)


@every_case
def test_a_multiprocessor_holds_a_block(kernel, code):
    threads, *_ = kernel.targetoptions["launch_bounds"]
    assert re.search(rf"\.maxntid {threads}\b", code.ptx)
    assert -(-code.registers // 8) * 8 * threads <= REGISTERS


@every_case
def test_each_number_is_moved_once(case, code):
    found = {name: code.count(name) for name in case.instructions}
    assert found == case.instructions


@every_case
def test_single_precision_is_kept(case, code):
    if "float64" not in str(case.signature) and not case.doubles:
        assert not re.search(r"\.f64\b", code.ptx)
