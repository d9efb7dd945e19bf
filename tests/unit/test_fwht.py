"""The public transform: values, scaling, orderings, memory, and what it refuses."""

import os

import numpy as np
import oracles
import pytest
import scipy.linalg

from fastfood_np import backends
from fastfood_np.transforms import arguments, fwht, ifwht

BACKENDS = ("cpu", "reference")
SIZES = (1, 2, 4, 8, 16, 32, 64)
NORMS = ("backward", "ortho", "forward")
ORDERINGS = ("hadamard", "sequency", "dyadic")


def integers(rng, shape, dtype=np.float64):
    """Whole numbers, on which every sum is exact."""
    return rng.integers(-50, 51, shape).astype(dtype)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


# Values


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", SIZES)
def test_is_the_product_with_the_hadamard_matrix(rng, d, dtype, backend):
    x = integers(rng, (3, d), dtype)
    y = fwht(x, backend=backend)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, x @ scipy.linalg.hadamard(d))
    np.testing.assert_array_equal(y, oracles.fwht(x))


@pytest.mark.parametrize("d", SIZES)
def test_rows_of_the_identity_give_the_matrix(d):
    np.testing.assert_array_equal(fwht(np.eye(d)), oracles.hadamard_matrix(d))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (5, 32), (33, 64), (1, 512)])
def test_backends_give_the_same_bits_on_integers(rng, shape, dtype):
    x = integers(rng, shape, dtype)
    np.testing.assert_array_equal(fwht(x), fwht(x, backend="reference"))


def test_backends_agree_on_any_numbers(rng):
    x = rng.standard_normal((4, 128))
    limit = 8 * np.finfo(float).eps * np.log2(128) * np.abs(oracles.fwht(x)).max()
    for backend in BACKENDS:
        assert np.abs(fwht(x, backend=backend) - oracles.fwht(x)).max() <= limit


def test_enclosing_backend_is_used_unless_one_is_named(monkeypatch):
    used = []
    reference, cpu = backends.select("reference"), backends.select("cpu")
    for module in (reference, cpu):
        monkeypatch.setattr(module, "fwht", lambda x, out, m=module: used.append(m))
    with backends.using("reference"):
        fwht([1.0, 2.0])
        fwht([1.0, 2.0], backend="cpu")
    assert used == [reference, cpu]


# Scaling


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("d", [1, 2, 8, 32])
def test_norms(rng, d, norm, ordering):
    x = integers(rng, (2, d))
    unscaled = oracles.fwht(x, ordering=ordering)
    forward = {"backward": 1, "ortho": d**-0.5, "forward": 1 / d}[norm]
    y = fwht(x, norm=norm, ordering=ordering)
    np.testing.assert_allclose(y, forward * unscaled, rtol=1e-15)
    np.testing.assert_allclose(
        ifwht(x, norm=norm, ordering=ordering), unscaled / (d * forward), rtol=1e-15
    )
    np.testing.assert_allclose(ifwht(y, norm=norm, ordering=ordering), x, rtol=1e-14, atol=1e-13)


def test_inverse_takes_the_same_arguments(rng):
    x = integers(rng, (4, 3), np.float32)
    out = np.empty_like(x)
    y = fwht(x, axis=0, ordering="sequency")
    assert ifwht(y, axis=0, ordering="sequency", out=out, workers=1, backend="reference") is out
    np.testing.assert_array_equal(out, x)


def test_ortho_keeps_float32(rng):
    assert fwht(integers(rng, (2, 8), np.float32), norm="ortho").dtype == np.float32


# Orderings


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("d", SIZES)
def test_orderings(rng, d, ordering, backend):
    x = integers(rng, (2, d))
    np.testing.assert_array_equal(
        fwht(x, ordering=ordering, backend=backend), oracles.fwht(x, ordering=ordering)
    )


@pytest.mark.parametrize("d", SIZES)
def test_sequency_counts_sign_changes(d):
    rows = fwht(np.eye(d), ordering="sequency")  # the matrix is symmetric
    assert [oracles.sign_changes(row) for row in rows] == list(range(d))


# Axes and shapes


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3, np.int64(1)])
def test_any_axis(rng, axis, ordering):
    x = integers(rng, (4, 8, 2))
    y = fwht(x, axis=axis, ordering=ordering)
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(y, oracles.fwht(x, axis=axis, ordering=ordering))


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((0, 8), -1), ((8, 0), 0), ((2, 0, 4), -1), ((4,), -1), ((2, 3, 5, 4), -1), ((1, 1), 0)],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_leading_shape_and_empty_batches(rng, shape, axis, backend):
    x = integers(rng, shape)
    y = fwht(x, axis=axis, backend=backend)
    assert y.shape == shape
    np.testing.assert_array_equal(y, oracles.fwht(x, axis=axis))


def test_length_one_is_a_copy():
    x = np.array([[3.0], [4.0]])
    y = fwht(x)
    np.testing.assert_array_equal(y, x)
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[:, ::2],
        lambda x: x[::-1],
        lambda x: x.T,
        lambda x: np.asfortranarray(x),
        lambda x: np.broadcast_to(x[0], (4, 16)),
        lambda x: x.reshape(2, 8, 16).transpose(1, 2, 0)[:, ::4, :],
    ],
)
def test_non_contiguous_input(rng, view):
    x = view(integers(rng, (16, 16)))
    before = x.copy()
    np.testing.assert_array_equal(fwht(x), oracles.fwht(x))
    np.testing.assert_array_equal(x, before)


def test_read_only_input(rng):
    x = integers(rng, (2, 8))
    x.flags.writeable = False
    np.testing.assert_array_equal(fwht(x), oracles.fwht(x))


def test_lists_are_taken():
    np.testing.assert_array_equal(fwht([1, 2, 3, 4]), [10.0, -2.0, -4.0, 0.0])


# Dtypes


@pytest.mark.parametrize(
    ("given", "returned"),
    [
        (bool, np.float64),
        (np.int8, np.float64),
        (np.uint16, np.float64),
        (np.int32, np.float64),
        (np.int64, np.float64),
        (np.uint64, np.float64),
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.dtype(np.float32).newbyteorder(), np.float32),
        (np.dtype(np.float64).newbyteorder(), np.float64),
    ],
)
def test_dtypes(given, returned):
    x = np.array([[1, 0, 1, 1], [0, 1, 1, 1]]).astype(given)
    y = fwht(x)
    assert y.dtype == returned and y.dtype.isnative
    np.testing.assert_array_equal(y, [[3, 1, -1, 1], [3, -1, -1, -1]])


@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_and_infinity_propagate(backend):
    with np.errstate(invalid="ignore"):
        x = np.array([[1.0, np.nan], [np.inf, 1.0], [1.0, np.inf], [1.0, 2.0]])
        y = fwht(x, backend=backend)
    expected = [[np.nan, np.nan], [np.inf, np.inf], [np.inf, -np.inf], [3.0, -1.0]]
    np.testing.assert_array_equal(y, expected)


# The output argument


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("axis", [0, 1])
def test_out_may_be_x(rng, axis, ordering, backend):
    x = integers(rng, (8, 16), np.float32)
    expected = oracles.fwht(x, axis=axis, ordering=ordering)
    assert fwht(x, axis=axis, ordering=ordering, out=x, backend=backend) is x
    np.testing.assert_array_equal(x, expected)


def flat(memory, start):
    """Eight rows that begin anywhere in the memory, not at the start of one of its rows."""
    return memory.reshape(-1)[start : start + 128].reshape(8, 16)


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize(
    ("x_of", "out_of"),
    [
        (lambda a: a[:8], lambda a: a[1:9]),
        (lambda a: a[1:9], lambda a: a[:8]),
        (lambda a: a[:8], lambda a: a[7::-1]),
        (lambda a: a[:8, :8], lambda a: a[:8, :8].T),
        (lambda a: a[:8, ::2], lambda a: a[:8, 1::2]),
        (lambda a: a[:8, :8], lambda a: a[:8, 3:11]),
        (lambda a: flat(a, 0), lambda a: flat(a, 5)),
        (lambda a: np.broadcast_to(a[0], (8, 16)), lambda a: a[:8]),
    ],
)
def test_out_may_overlap_x(rng, x_of, out_of, ordering):
    memory = integers(rng, (16, 16))
    x, out = x_of(memory), out_of(memory)
    expected = oracles.fwht(x.copy(), ordering=ordering)
    assert fwht(x, out=out, ordering=ordering) is out
    np.testing.assert_array_equal(out, expected)


def test_out_may_reuse_the_bytes_of_an_integer_x(rng):
    x = rng.integers(-9, 10, (4, 8), dtype=np.int64)
    expected = oracles.fwht(x)
    out = fwht(x, out=x.view(np.float64))
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_only_out_is_written(rng, ordering):
    memory = integers(rng, (6, 17))
    before, x = memory.copy(), integers(rng, (2, 4))
    x_before = x.copy()
    out = memory[1:5:2, 2:14:3]
    assert fwht(x, out=out, ordering=ordering) is out
    np.testing.assert_array_equal(out, oracles.fwht(x, ordering=ordering))
    np.testing.assert_array_equal(x, x_before)
    out[...] = before[1:5:2, 2:14:3]
    np.testing.assert_array_equal(memory, before)


def test_unaligned_out(rng, monkeypatch):
    cpu, aligned = backends.select("cpu"), []
    original = cpu.fwht
    monkeypatch.setattr(
        cpu, "fwht", lambda x, out: aligned.append(out.flags.aligned) or original(x, out)
    )
    x = integers(rng, (2, 8))
    out = np.frombuffer(bytearray(1 + x.nbytes), np.float64, offset=1, count=x.size).reshape(2, 8)
    assert not out.flags.aligned
    assert fwht(x, out=out) is out
    assert aligned == [True]
    np.testing.assert_array_equal(out, oracles.fwht(x))


# Workers


@pytest.mark.parametrize("workers", [None, 1, 2, 999, -1, -(os.cpu_count() or 1)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_workers_change_no_bits(rng, workers, backend):
    x = rng.standard_normal((2048, 16))  # enough for the CPU kernels to take their parallel form
    one_by_one = np.stack([fwht(row, backend=backend) for row in x[::512]])
    np.testing.assert_array_equal(fwht(x, workers=workers, backend=backend)[::512], one_by_one)


@pytest.mark.parametrize(
    ("workers", "threads"), [(1, 1), (3, 3), (np.int64(2), 2), (-1, 4), (-2, 3), (-4, 1)]
)
def test_workers_count_like_scipy(monkeypatch, workers, threads):
    cpu, seen = backends.select("cpu"), []
    original = cpu.workers
    monkeypatch.setattr(arguments, "CPUS", 4)
    monkeypatch.setattr(cpu, "workers", lambda count: seen.append(count) or original(count))
    fwht([1.0, 2.0])
    assert seen == []
    fwht([1.0, 2.0], workers=workers)
    assert seen == [threads]


# What is refused

FLOATS = np.zeros((4, 8), np.float32)


@pytest.mark.parametrize("transform", [fwht, ifwht])
@pytest.mark.parametrize(
    ("x", "arguments", "error", "message"),
    [
        (np.zeros(3), {}, ValueError, r"axis 0 must be a power of two, got 3; fwht never pads.* 4"),
        (np.zeros((2, 800)), {}, ValueError, r"axis 1 must .* got 800; .* up to 1024"),
        (np.zeros((3, 4)), {"axis": 0}, ValueError, r"axis 0 must be a power of two, got 3"),
        (np.zeros((4, 0)), {}, ValueError, r"axis 1 must be a power of two, got 0; .* up to 1 "),
        ([], {}, ValueError, "axis 0 must be a power of two, got 0"),
        (1.0, {}, ValueError, "x must have at least one axis, got a single number"),
        (FLOATS, {"axis": 2}, ValueError, "axis must be from -2 to 1 for this x, got 2"),
        (FLOATS, {"axis": -3}, ValueError, "axis must be from -2 to 1 for this x, got -3"),
        (FLOATS, {"axis": 1.0}, TypeError, r"axis must be an integer, got 1\.0"),
        (FLOATS, {"axis": None}, TypeError, "axis must be an integer, got None"),
        (FLOATS, {"axis": (0, 1)}, TypeError, r"axis must be an integer, got \(0, 1\)"),
        (FLOATS, {"axis": True}, TypeError, "axis must be an integer, got True"),
        (FLOATS, {"norm": "unitary"}, ValueError, "norm must be one of 'backward', .*'unitary'"),
        (FLOATS, {"norm": None}, ValueError, "norm must be one of .* got None"),
        (FLOATS, {"ordering": "walsh"}, ValueError, "ordering must be one of .* got 'walsh'"),
        (FLOATS, {"backend": "cuda!"}, ValueError, "backend must be one of .* got 'cuda!'"),
        (FLOATS, {"workers": 0}, ValueError, "workers must not be zero"),
        (FLOATS, {"workers": -10_000}, ValueError, "workers must be at least -.* got -10000"),
        (FLOATS, {"workers": 1.5}, TypeError, r"workers must be an integer, got 1\.5"),
        (FLOATS, {"workers": True}, TypeError, "workers must be an integer, got True"),
        (FLOATS * 1j, {}, TypeError, "must hold float32 or float64 .* got complex64; .*real"),
        (np.zeros(4, complex), {}, TypeError, "got complex128; .*real"),
        (np.array(["a", "b"]), {}, TypeError, "must hold float32 or float64 .* got <U1"),
        (np.array([None, 1]), {}, TypeError, "must hold float32 or float64 .* got object"),
        (None, {}, TypeError, "must hold float32 or float64 .* got object"),
        (np.zeros(4, "M8[s]"), {}, TypeError, "must hold float32 or float64 .* got datetime64"),
        (FLOATS, {"out": [[0.0] * 8] * 4}, TypeError, "out must be a NumPy array, got list"),
        (FLOATS, {"out": np.zeros((4, 8))}, TypeError, "out must have .*float32, got float64"),
        (np.zeros(4, int), {"out": np.zeros(4, int)}, TypeError, "dtype float64, got int64"),
        (FLOATS, {"out": FLOATS[:2]}, ValueError, r"out must have .* \(4, 8\), got \(2, 8\)"),
        (FLOATS, {"out": FLOATS.T}, ValueError, r"out must have .* \(4, 8\), got \(8, 4\)"),
        (
            FLOATS,
            {"out": np.broadcast_to(np.float32(0), (4, 8))},
            ValueError,
            "out must be writable, got a read-only array",
        ),
    ],
)
def test_refuses(transform, x, arguments, error, message):
    with pytest.raises(error, match=message):
        transform(x, **arguments)


@pytest.mark.skipif(
    np.dtype(np.longdouble).itemsize == 8, reason="long double is double on this platform"
)
def test_refuses_long_double():
    with pytest.raises(TypeError, match=r"must hold float32 or float64 .* got (float|longdouble)"):
        fwht(np.zeros(4, np.longdouble))


def test_a_refusal_leaves_out_untouched():
    out = np.full(3, 7.0)
    with pytest.raises(ValueError, match="power of two"):
        fwht(np.zeros(3), out=out)
    np.testing.assert_array_equal(out, 7.0)


def test_arguments_are_keywords():
    with pytest.raises(TypeError, match="positional"):
        fwht(np.zeros(4), "ortho")
