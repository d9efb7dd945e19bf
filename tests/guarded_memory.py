"""Every kernel of fwht and Fastfood on arrays that nothing may be read or written beside.

Run as a script it works on memory beside unreadable pages, where a wrong access ends the process.
"""

import ctypes
import functools
import math
import mmap
import os
import sys
from types import SimpleNamespace
from unittest import mock

import numpy as np

from fastfood_np.backends import cpu
from fastfood_np.backends.cpu import fastfood, hadamard, jit, widths
from fastfood_np.backends.cpu.fastfood.tiles import scratch_size

FORMS = ("avx512", "avx2", "portable")
OWN = widths.chosen()
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
SIDES = ("before", "behind")

# In plain Python a thousand times slower: a few sizes that take every path but that by panels.
SMALL = jit.disabled()
LENGTHS = (1, 2, 4, 8, 16, 64) if SMALL else (1, 2, 4, 8, 16, 64, 256, 4096)
# The long rows take the passes beyond the second cache, or what is taken for it here.
MIDDLE = 1 << 18
TRANSFORMS = [(m, d) for d in LENGTHS for m in (1, 3, 17)] + [(1, 1 << 17)] * (not SMALL)
# Row by row, in an incomplete tile, in tiles.
ROWS = (1, 7, 13, 17) if SMALL else (1, 3, 7, 12, 13, 16, 17, 33)
# d_in, n_out, blocks, d_pad
LAYERS = [
    (1, 1, 1, 1),
    (3, 7, 2, 4),
    (8, 19, 3, 8),
    (3, 2, 3, 4),  # not all blocks are asked for
    (13, 16, 1, 16),
]
LAYERS += [] if SMALL else [
    (1, 5, 5, 1),
    (2, 2, 1, 2),
    (5, 9, 2, 8),
    (16, 48, 3, 16),
    (17, 33, 2, 32),
    (31, 5, 1, 32),
    (64, 63, 1, 64),
    (100, 130, 2, 128),
    (100, 40, 3, 128),
    (256, 256, 1, 256),
    (255, 257, 2, 256),
    (300, 700, 2, 512),
    (512, 512, 1, 512),
    (777, 1025, 2, 1024),
    (1024, 1024, 1, 1024),
]  # fmt: skip


# ---------------------------------------------------------------------------- where arrays lie


def at_a_page(shape, dtype, side, shift=0):
    """An array that begins right behind, or ends right before, a page that cannot be touched.

    And the memory it lies in. It is shifted by so many elements, onto that page or away from it.
    """
    size, page = math.prod(shape) * dtype.itemsize, mmap.PAGESIZE
    room = max(1, -(-size // page)) * page
    memory = mmap.mmap(-1, room + page)
    start = page if side == "before" else room - size
    array = np.ndarray(shape, dtype, memory, start + shift * dtype.itemsize)
    protect(memory, 0 if side == "before" else room, page, 0)
    return array, memory


@functools.cache  # to look it up takes longer than a call
def mprotect():
    return ctypes.CDLL(None, use_errno=True).mprotect


def protect(memory, start, size, allowed):
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + start
    if mprotect()(ctypes.c_void_p(address), ctypes.c_size_t(size), allowed):
        raise OSError(ctypes.get_errno(), "mprotect")


class AtPages:
    """Memory beside unreadable pages, for inputs read-only too."""

    def __init__(self, side):
        self.side, self.outputs = side, []

    def given(self, values):
        array, memory = at_a_page(values.shape, values.dtype, self.side)
        array[...] = values
        whole = len(memory) - mmap.PAGESIZE
        protect(memory, mmap.PAGESIZE if self.side == "before" else 0, whole, mmap.PROT_READ)
        return array

    def scratch(self, shape, dtype):
        array, _ = at_a_page(shape, np.dtype(dtype), self.side)
        array.fill(np.nan)
        return array

    def blank(self, shape, dtype):
        self.outputs.append(self.scratch(shape, dtype))
        return self.outputs[-1]

    def check(self):
        assert all(np.isfinite(output).all() for output in self.outputs)
        self.outputs.clear()


class BetweenCanaries:
    """Memory between known bytes, which must be there afterwards, as must the inputs."""

    MARGIN, BYTE = 256, 0xA5

    def __init__(self):
        self.margins, self.inputs, self.outputs = [], [], []

    def place(self, shape, dtype):
        size = math.prod(shape) * dtype.itemsize
        memory = np.full(size + 2 * self.MARGIN, self.BYTE, np.uint8)
        before, inner, behind = np.split(memory, [self.MARGIN, self.MARGIN + size])
        self.margins += [before, behind]
        return inner.view(dtype).reshape(shape)

    def given(self, values):
        array = self.place(values.shape, values.dtype)
        array[...] = values
        self.inputs.append((array, values))
        return array

    def blank(self, shape, dtype):
        self.outputs.append(self.place(shape, dtype))
        self.outputs[-1].fill(np.nan)
        return self.outputs[-1]

    def check(self):
        assert all((margin == self.BYTE).all() for margin in self.margins)
        assert all(np.array_equal(array, values) for array, values in self.inputs)
        assert all(np.isfinite(output).all() for output in self.outputs)
        self.__init__()


# ------------------------------------------------------------------------------- what is called


def calls(memory, dtype):
    """Yield every call: what it is, the function, its arguments."""
    pool = np.random.default_rng(40).standard_normal(1 << 17).astype(dtype)
    yield from calls_of_fwht(memory, pool)
    for d_in, n_out, blocks, d_pad in LAYERS:
        for m in ROWS:
            yield from calls_of_fastfood(memory, pool, m, d_in, n_out, (blocks, d_pad))


def calls_of_fwht(memory, pool):
    for m, d in TRANSFORMS:
        x = pool[: m * d].reshape(m, d)
        out = memory.blank(x.shape, x.dtype)
        yield f"fwht {x.dtype} {m, d}", cpu.fwht, (memory.given(x), out)
        both = memory.blank(x.shape, x.dtype)
        both[...] = x
        yield f"fwht {x.dtype} {m, d} in place", cpu.fwht, (both, both)


def nonlinearities(d_pad):
    """Most, once: they go over finished rows, whatever the vectors; and each is a kernel more.

    In the processor's own form, for which other tests have compiled them.
    """
    once = d_pad >= 16 and widths.chosen() == OWN
    return ("none", "relu", "cos", "cos_sin") if once else ("none",)


def calls_of_fastfood(memory, pool, m, d_in, n_out, shape):
    perm = np.random.default_rng(41).permuted(np.indices(shape)[1], axis=1)

    def numbers(*shape):
        return memory.given(pool[: math.prod(shape)].reshape(shape))

    def factors(masked):
        kept = pool[: m * perm.size].reshape(m, *shape) > 0
        keep = memory.given(kept) if masked else None
        return *(numbers(*shape) for _ in "SGB"), memory.given(perm), 0.5, keep, 2.0

    for masked in (False, True):
        label = f"{pool.dtype} {m=} {d_in=} {n_out=} {shape=} {masked=}"
        for name in nonlinearities(shape[1]):
            phase = numbers(n_out) if name == "cos" else None
            y = memory.blank((m, 2 * n_out if name == "cos_sin" else n_out), pool.dtype)
            arguments = (numbers(m, d_in), *factors(masked), name, phase, 0.5, y)
            yield f"fastfood_forward {label} {name}", cpu.fastfood_forward, arguments
        for wanted in (False, True):
            dx = memory.blank((m, d_in), pool.dtype) if wanted else None
            grads = (memory.blank(shape, pool.dtype) for _ in "SGB")
            arguments = (numbers(m, d_in), numbers(m, n_out), *factors(masked), dx, *grads)
            yield f"fastfood_backward {label} {wanted=}", cpu.fastfood_backward, arguments


def call_all(memory, dtype, form, tell=lambda label: None):
    with cpu.vectors(form), cpu.serial(), mock.patch.object(hadamard, "MIDDLE", MIDDLE):
        for label, function, arguments in calls(memory, dtype):
            tell(label)
            function(*arguments)
            memory.check()


# -------------------------------------------------------------------------------- as a script


def call_all_at_pages(form):
    """Print each call before it is made: the last one printed is the one that failed."""
    for side in SIDES:
        memory = AtPages(side)

        def own_scratch(teams, d_pad, dtype, tiles=2, memory=memory):
            return memory.scratch((teams, scratch_size(d_pad, dtype.itemsize, tiles)), dtype)

        empty = mock.Mock(side_effect=memory.scratch)
        numpy = SimpleNamespace(**{**vars(np), "empty": empty})
        with mock.patch.multiple(fastfood, _scratch=own_scratch, np=numpy):
            for dtype in DTYPES:
                call_all(memory, dtype, form, lambda label: print(label, flush=True))
        assert empty.called


def call_with(fault, form, side):
    """Return how a child process ends that calls fwht with one array laid a vector too far."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        dtype = DTYPES[0]
        vector = len(widths.lanes(dtype, 64)) * (-1 if side == "before" else 1)
        x, _ = at_a_page((3, 64), dtype, side, vector if fault == "read" else 0)
        out, _ = at_a_page((3, 64), dtype, side, vector if fault == "write" else 0)
        cpu.fwht(x, AtPages(side).given(out) if fault == "write to an input" else out)
        os._exit(0)
    finally:
        os._exit(1)


FAULTS = ("none", "read", "write", "write to an input")


def call_with_all_faults(form):
    with cpu.vectors(form), cpu.serial():
        rows = np.zeros((3, 64), DTYPES[0])
        cpu.fwht(rows, rows)  # compiled here, once, and not in each child
        for side in SIDES:
            for fault in FAULTS:
                print(fault, call_with(fault, form, side), sep=": ", flush=True)


if __name__ == "__main__":
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    {"calls": call_all_at_pages, "faults": call_with_all_faults}[sys.argv[1]](sys.argv[2])
