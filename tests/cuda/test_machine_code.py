"""The compiler's code for whole launches, run by the machine of `ptx_machine`: no GPU is needed.

The backend's own functions plan and start what is run, on NumPy's memory with the face of an array
on a device, so kernels are compiled for, and given, what they would be on a GPU. Every test here
also says that no thread touches what it must not and that none races with another: a `Fault`.
"""

import sys
from fractions import Fraction

import numpy as np
import ptx_machine
import pytest
from contract.test_backends import INTEGERS, fastfood_inputs, numbers, run_factors
from cuda_code import compiled, missing
from ptx_machine.arithmetic import fma

from fastfood_np.backends import cuda as backend
from fastfood_np.backends import reference
from fastfood_np.backends.cuda import launch as launches
from fastfood_np.backends.cuda.fastfood import backward, by_factors
from fastfood_np.backends.cuda.numba_cuda import cuda, kernel
from fastfood_np.backends.cuda.storage import BFLOAT16

pytestmark = pytest.mark.compiled

CAPABILITY = (9, 0)
HALF, SINGLE, DOUBLE = np.float16, np.float32, np.float64


@pytest.fixture(scope="module", autouse=True)
def _compiler():
    if missing():
        pytest.skip(missing())


class OnDevice(np.ndarray):
    """NumPy's memory with what the backend asks of an array in device memory."""

    stream = 0
    __cuda_ndarray__ = True

    def bind(self, stream):
        return self


def on_device(value):
    """A copy of an array, with indices of 32 bits, as `to_device` of the layers makes them."""
    if not isinstance(value, np.ndarray):
        return value
    copy = value.astype(np.int32) if value.dtype == np.int64 else value.copy()
    return copy.view(OnDevice)


def empty(shape, dtype, stream=0):
    """Memory full of what nobody may read."""
    return np.full(shape, np.nan, dtype).view(OnDevice)


def run(kernel, grid, threads, *arguments):
    """Compile a kernel for its arguments and run it."""
    plain = [np.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments]
    code = compiled(kernel, tuple(map(kernel.typeof_pyval, plain)), CAPABILITY)
    return ptx_machine.launch(code.ptx, grid, threads, *plain)


@pytest.fixture
def traffic(monkeypatch):
    """Have the machine run what the backend starts; what each launch has asked of memory."""
    seen = []

    def configured(kernel, grid, threads, stream):
        return lambda *arguments: seen.append(run(kernel, grid, threads, *arguments))

    monkeypatch.setattr(launches, "configured", configured)
    for module in (backward, by_factors):
        monkeypatch.setattr(module, "empty", empty)
    return seen


class Backend:
    """The functions of the cuda backend, called with NumPy arrays, which get what they write."""

    def __getattr__(self, name):
        def call(*arguments):
            moved = {id(value): on_device(value) for value in arguments}  # the same stay the same
            getattr(backend, name)(*(moved[id(value)] for value in arguments))
            for value in arguments:
                if isinstance(value, np.ndarray):
                    value[...] = moved[id(value)]

        return call


def alike(ours, theirs, kind):
    """Whole numbers must have the same bits; others 64 roundings of the largest."""
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype == their.dtype
        eps = 0 if kind == INTEGERS else 64 * np.finfo(their.dtype).eps
        np.testing.assert_allclose(our, their, rtol=0, atol=eps * np.abs(their).max(initial=0))


def smooth(traffic):
    """Whether warps asked for whole sectors only, and met no bank of shared memory twice."""
    return all(
        seen.sectors == seen.fewest_sectors and seen.turns == seen.fewest_turns for seen in traffic
    )


kinds = pytest.mark.parametrize("kind", [INTEGERS, "normal"])

# ------------------------------------------------------------------------------------- fwht

# Rows and their length: in one warp; one exchange; one by halves; two passes, the second with an
# exchange or without; and with ends, where the last tile reaches beyond the rows.
LENGTHS = [
    (SINGLE, 2048, 1),
    (SINGLE, 512, 4),
    (SINGLE, 16, 256),
    (SINGLE, 4, 1024),
    (SINGLE, 2, 4096),
    (SINGLE, 1, 8192),
    (SINGLE, 1, 1 << 14),
    (SINGLE, 1, 1 << 15),
    (DOUBLE, 64, 32),
    (DOUBLE, 1, 4096),
    (DOUBLE, 1, 8192),
    (DOUBLE, 1, 1 << 16),
    (HALF, 16, 256),
    (HALF, 2, 4096),
    (HALF, 1, 1 << 14),
]
RAGGED = [(SINGLE, 3, 1), (SINGLE, 5, 512), (SINGLE, 3, 2048), (DOUBLE, 7, 64), (HALF, 5, 32)]


def fwht(dtype, m, d, kind):
    """What the backend and the reference make of the same rows."""
    rows = numbers(np.random.default_rng(d), (m, d), dtype, kind)
    ours, in_place = np.full_like(rows, np.nan), rows.copy()
    precise = rows.astype(np.float64)
    out = np.empty_like(precise)
    reference.fwht(precise, out)
    Backend().fwht(rows, ours, 0.5)
    Backend().fwht(in_place, in_place, 0.5)
    return [ours, in_place], [(0.5 * out).astype(dtype)] * 2


@kinds
@pytest.mark.parametrize(("dtype", "m", "d"), LENGTHS)
def test_fwht(dtype, m, d, kind, traffic):
    alike(*fwht(dtype, m, d, kind), kind)
    assert smooth(traffic)


@kinds
@pytest.mark.parametrize(("dtype", "m", "d"), RAGGED)
def test_fwht_of_ragged_rows(dtype, m, d, kind, traffic):
    alike(*fwht(dtype, m, d, kind), kind)
    assert all(seen.turns == seen.fewest_turns for seen in traffic)


def test_fwht_of_bfloat16(traffic):
    """Sums in float32, stored as the nearest bfloat16, of two the even one."""
    rows = numbers(np.random.default_rng(0), (3, 4096), np.float32, "normal")
    rows.view(np.uint32)[...] &= 0xFFFF0000  # so they are numbers of bfloat16
    stored = (rows.view(np.uint32) >> 16).astype(np.uint16).view(BFLOAT16)
    for array in (stored, rows):
        Backend().fwht(array, array, 0.1)
    bits = rows.view(np.uint32)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    np.testing.assert_array_equal(stored.view(np.uint16), nearest)
    assert smooth(traffic)


# ---------------------------------------------------------------------------------- Fastfood

SIZES = ("m", "d_in", "n_out", "d_pad", "blocks")
SHAPES = {
    name: dict(zip(SIZES, sizes, strict=True))
    for name, sizes in {
        "rows of 512": (3, 512, 512, 512, 1),
        "rows of 8192": (2, 8192, 8192, 8192, 1),
        "padded and cut": (3, 600, 700, 1024, 1),
        "stacked": (5, 1024, 2048, 1024, 2),
        "stacked, padded and cut": (3, 300, 1300, 512, 3),
        "rows of a warp": (9, 256, 256, 256, 1),
        "short rows": (300, 8, 8, 8, 1),
        "short rows, stacked and cut": (70, 5, 19, 8, 3),
        "single numbers": (9, 1, 1, 1, 1),
    }.items()
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def forward(it, inputs, nonlinearity="none", phase=None):
    """y = f(v) of a backend."""
    x, dy, factors = inputs
    both = 1 + (nonlinearity == "cos_sin")
    y = np.full((len(x), both * dy.shape[1]), np.nan, x.dtype)
    it.fastfood_forward(x, *factors, nonlinearity, phase, 0.5, y)
    return y


def gradients(it, inputs, need_dx=True):
    """dx, dS, dG and dB of a backend."""
    x, dy, factors = inputs
    dx = np.full_like(x, np.nan) if need_dx else None
    grads = [np.full_like(factors[0], np.nan) for _ in range(3)]
    it.fastfood_backward(x, dy, *factors, dx, *grads)
    return [*grads, dx] if need_dx else grads


@kinds
@shapes
def test_forward(shape, kind, traffic):
    inputs = fastfood_inputs(SINGLE, kind, **shape)
    alike([forward(Backend(), inputs)], [forward(reference, inputs)], kind)


@kinds
@pytest.mark.parametrize(
    ("nonlinearity", "dropout", "dtype"),
    [
        ("relu", True, SINGLE),
        ("relu", True, DOUBLE),
        ("relu", False, SINGLE),
        ("relu_squared", False, SINGLE),
        ("step", False, SINGLE),
    ],
)
def test_nonlinearities(nonlinearity, dropout, dtype, kind, traffic):
    inputs = fastfood_inputs(dtype, kind, 3, 300, 700, 512, 2, dropout)
    found = ([forward(it, inputs, nonlinearity)] for it in (Backend(), reference))
    alike(*found, kind)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize(
    ("nonlinearity", "dropout"), [("cos", False), ("cos", True), ("cos_sin", False)]
)
def test_angles(nonlinearity, dropout, dtype, traffic):
    """All angles are whole numbers, the same on both sides, and some are huge."""
    inputs = fastfood_inputs(dtype, INTEGERS, 3, 300, 700, 512, 2, dropout)
    phase = numbers(np.random.default_rng(12), 700, dtype, INTEGERS)
    phase[:9] *= 1e6 if dtype is SINGLE else 1e200
    given = phase if nonlinearity == "cos" else None
    ours, theirs = (forward(it, inputs, nonlinearity, given) for it in (Backend(), reference))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=4 * np.finfo(dtype).eps)


@kinds
@shapes
def test_backward(shape, kind, traffic):
    inputs = fastfood_inputs(SINGLE, kind, **shape)
    alike(gradients(Backend(), inputs), gradients(reference, inputs), kind)


@kinds
@pytest.mark.parametrize(
    ("dtype", "dropout", "need_dx"),
    [
        (SINGLE, True, True),
        (SINGLE, True, False),
        (SINGLE, False, False),
        (DOUBLE, True, True),
        (DOUBLE, False, True),
    ],
)
def test_kinds_of_backward(dropout, need_dx, dtype, kind, traffic):
    inputs = fastfood_inputs(dtype, kind, 3, 600, 1500, 1024, 2, dropout)
    found = [gradients(it, inputs, need_dx) for it in (Backend(), reference)]
    alike(*found, kind)


def test_several_groups_of_rows_in_a_chunk(traffic, monkeypatch):
    monkeypatch.setattr(backward, "CHUNK_THREADS", 256)
    backward.launches.cache_clear()
    inputs = fastfood_inputs(SINGLE, INTEGERS, 21, 1000, 1024, 1024, 1)
    alike(gradients(Backend(), inputs), gradients(reference, inputs), INTEGERS)
    backward.launches.cache_clear()


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_every_number_is_asked_for_once(dtype, traffic):
    """Without padding, and with a Pi that moves nothing, no access takes longer than it must."""
    for shape in (SHAPES["rows of 512"], SHAPES["stacked"]):
        x, dy, (S, G, B, perm, *others) = fastfood_inputs(dtype, INTEGERS, **shape)
        perm[...] = np.arange(perm.shape[1])
        inputs = x, dy, (S, G, B, perm, *others)
        forward(Backend(), inputs)
        gradients(Backend(), inputs)
    assert smooth(traffic)


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (10, 0)])
def test_other_gpus(capability, traffic, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "CAPABILITY", capability)
    for dtype, d in ((SINGLE, 4096), (DOUBLE, 8192), (HALF, 256)):
        alike(*fwht(dtype, 1, d, INTEGERS), INTEGERS)
    assert smooth(traffic)
    inputs = fastfood_inputs(SINGLE, INTEGERS, **SHAPES["padded and cut"])
    alike([forward(Backend(), inputs)], [forward(reference, inputs)], INTEGERS)
    alike(gradients(Backend(), inputs), gradients(reference, inputs), INTEGERS)


@kinds
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_factors(dtype, kind, traffic):
    alike(run_factors(Backend(), dtype, kind), run_factors(reference, dtype, kind), kind)


@pytest.mark.parametrize("dropout", [False, True], ids=["whole", "dropout"])
def test_rows_that_go_factor_by_factor(dropout, traffic):
    inputs = fastfood_inputs(SINGLE, INTEGERS, 2, 9000, 10000, 1 << 14, 1, dropout)
    alike([forward(Backend(), inputs)], [forward(reference, inputs)], INTEGERS)
    alike(gradients(Backend(), inputs), gradients(reference, inputs), INTEGERS)


# ---------------------------------------------------------------------------- the machine itself

PTX = """
.visible .shared .align 8 .b8 buffer[128];
.visible .entry tested(
PARAMETERS
)
{
\t.reg .pred %p<9>;
\t.reg .b32 %r<9>;
\t.reg .f64 %fd<9>;
\t.reg .b64 %rd<9>;
\tld.param.u64 %rd1, [p4];
\tmov.u32 %r1, %tid.x;
\tmul.wide.u32 %rd2, %r1, 4;
\tadd.s64 %rd3, %rd1, %rd2;
\tmov.u64 %rd4, buffer;
\tadd.s64 %rd5, %rd4, %rd2;
\tsetp.lt.u32 %p1, %r1, 7;
BODY
\tret;
}
"""


PTX = PTX.replace("PARAMETERS", ",\n".join(f"\t.param .u64 p{i}" for i in range(7)))


def machine(body):
    """Run a few lines on an array of 32 numbers, at %rd3 for a thread; it has %rd5 of `buffer`."""
    data = np.arange(32, dtype=np.int32)
    ptx_machine.launch(PTX.replace("BODY", body), 1, 32, data)
    return data


FAULTS = {
    "outside all arrays": "st.global.u32 [%rd3+4], %r1;",
    "outside all arrays, at byte": "ld.global.u32 %r2, [%rd3+-4];",
    "of 8 bytes that do not divide": "ld.global.u64 %rd6, [%rd3];",
    "outside shared memory": "st.shared.u32 [%rd5+4], %r1;",
    "nobody wrote": "@%p1 st.shared.u32 [%rd5], %r1; bar.sync 0; ld.shared.u32 %r2, [%rd5];",
    "a race": "st.shared.u32 [%rd5], %r1; ld.shared.u32 %r2, [buffer];",
    "a race of": "ld.global.u32 %r2, [%rd1]; @%p1 st.global.u32 [%rd3], %r1;",
    "race of thread 0": "st.global.u32 [%rd1], %r1;",
    "not all lanes": "@%p1 shfl.sync.bfly.b32 %r2|%p2, %r1, 1, 31, -1;",
    "different barriers": "@%p1 bra HERE; bar.sync 0; bra.uni END; HERE: bar.sync 0; END:",
    "division by zero": "div.u32 %r2, %r1, %r1;",
    "no number made an integer": "mov.f64 %fd1, 0d7FF8000000000000; cvt.rzi.s32.f64 %r2, %fd1;",
    "was never set": "add.s32 %r2, %r3, 1;",
    "does not have, at sin": "sin.approx.f32 %r2, %r1;",
}


@pytest.mark.parametrize(("message", "body"), FAULTS.items(), ids=FAULTS.keys())
def test_faults(message, body):
    with pytest.raises(ptx_machine.Fault, match=message):
        machine(body)


def test_barriers_and_single_threads_make_no_race():
    exchange = "st.shared.u32 [%rd5], %r1; bar.sync 0; ld.shared.u32 %r2, [buffer+124];"
    data = machine(exchange + "st.global.u32 [%rd3], %r2; ld.global.u32 %r2, [%rd3];")
    assert (data == 31).all()


def make_reverse(barrier):
    """A kernel that reverses 64 numbers through shared memory, where they lie two apart."""

    @kernel(64)
    def reverse(x, y):
        shared = cuda.shared.array(128, np.float32)
        thread = cuda.threadIdx.x
        shared[2 * thread] = x[8 * thread]
        if barrier:
            cuda.syncthreads()
        y[thread] = shared[2 * (63 - thread)]

    return reverse


def test_a_barrier_is_missed():
    x, y = np.arange(512, dtype=np.float32), np.empty(64, np.float32)
    seen = run(make_reverse(True), 1, 64, x, y)
    np.testing.assert_array_equal(y, x[::-8] - 7)
    assert (seen.sectors, seen.fewest_sectors) == (64 + 8, 8 + 8)
    assert (seen.turns, seen.fewest_turns) == (2 * 4, 4)
    with pytest.raises(ptx_machine.Fault, match="race"):
        run(make_reverse(False), 1, 64, x, y)


def test_blocks_that_touch_the_same_numbers_race():
    x = np.arange(512, dtype=np.float32)
    with pytest.raises(ptx_machine.Fault, match="race"):
        run(make_reverse(True), 2, 64, x, np.empty(64, np.float32))


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_one_rounding_of_a_product_and_a_sum(dtype):
    """Against fractions, also where two roundings would make a tie of what is none."""
    rng, small = np.random.default_rng(0), np.finfo(dtype).eps
    a, b, c = (rng.standard_normal(2000).astype(dtype) for _ in range(3))
    a[:500], b[:500], c[:500] = 1 + small, (1 - small) * small / 2, 1 + small
    c[500:1000] = -a[500:1000] * b[500:1000]
    c[1000:1500] *= rng.choice([small / 2, 1 / small, 2 / small], 500).astype(dtype)
    found = fma(a, b, c)
    for *given, result in zip(a, b, c, found, strict=True):
        first, second, third = (Fraction(float(number)) for number in given)
        exact = first * second + third
        wrong = abs(Fraction(float(result)) - exact)
        for side in (-np.inf, np.inf):
            assert wrong <= abs(Fraction(float(np.nextafter(result, dtype(side)))) - exact)
