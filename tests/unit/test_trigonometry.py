"""Cosine and sine of rows: how exact they are, for all angles, and the same bits everywhere."""

import functools
import warnings
from fractions import Fraction

import numpy as np
import pytest

from fastfood_np.backends.angles import LIMIT
from fastfood_np.backends.cpu import jit, trigonometry
from fastfood_np.backends.cpu.kernel import Kernel
from fastfood_np.backends.cpu.simd import U, flat
from fastfood_np.backends.cpu.trigonometry import TILE

DTYPES = (np.float32, np.float64)
BOUND = {np.float32: 9e-8, np.float64: 2e-16}
MANY = 5_000 if jit.disabled() else 200_000  # in plain Python an element takes 10 us


@jit.jit
def cos_sin_row(scratch, angles, amplitude, cosines, sines):
    trigonometry.cos_sin_row(
        U(angles.size), flat(scratch), flat(angles), amplitude, flat(cosines), flat(sines)
    )


@jit.jit
def cos_row(scratch, angles, phase, amplitude, out):
    trigonometry.cos_row(
        U(angles.size), flat(scratch), flat(angles), flat(phase), amplitude, flat(out)
    )


both = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def cos_sin(angles):
    """The function under test, into fresh rows."""
    angles = np.ascontiguousarray(angles)
    cosines, sines = np.full_like(angles, 7), np.full_like(angles, 7)
    cos_sin_row(np.empty((2, TILE), angles.dtype), angles, angles.dtype.type(1), cosines, sines)
    return cosines, sines


# The truth: whole numbers, in units of 2^-1200 for angles and 2^-160 for results.

ANGLE_BITS, RESULT_BITS = 1200, 160


@functools.cache
def half_pi():
    """pi / 2 by Machin's formula."""

    def arc_cotangent(n, one):
        total, term, k = 0, one // n, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term //= n * n
            k += 2
        return total

    one = 1 << (ANGLE_BITS + 64)
    return (8 * arc_cotangent(5, one) - 2 * arc_cotangent(239, one)) >> 64


def exact_cos_sin(angle):
    """cos and sin of one number by Taylor's series at angle - k pi/2."""
    angle = Fraction(float(angle))  # a power of two is below the line
    k, r = divmod((angle.numerator << ANGLE_BITS) // angle.denominator, half_pi())
    r >>= ANGLE_BITS - RESULT_BITS
    sums, term, power = [0, 0, 0, 0], 1 << RESULT_BITS, 0
    while term:
        sums[power % 4] += term
        power += 1
        term = (term * r >> RESULT_BITS) // power
    cosine, sine = sums[0] - sums[2], sums[1] - sums[3]
    for _ in range(k % 4):
        cosine, sine = -sine, cosine
    return cosine, sine


def largest_error(angles):
    """The largest error of cos_sin_row at these few numbers."""
    errors = [
        abs(int(Fraction(float(value)) * 2**RESULT_BITS) - truth)
        for angle, *values in zip(angles, *cos_sin(angles), strict=True)
        for value, truth in zip(values, exact_cos_sin(angle), strict=True)
    ]
    return max(errors) / 2**RESULT_BITS


def assert_near(angles):
    """Check many numbers: float32 with float64, float64 with libm and a few of them exactly."""
    bound = BOUND[angles.dtype.type]
    if angles.dtype == np.float64:
        assert largest_error(angles[:: max(1, angles.size // 500)]) <= bound
        bound += 1.2e-16  # libm's own: a unit in the last place
    cosines, sines = cos_sin(angles)
    assert np.abs(cosines - np.cos(angles.astype(np.float64))).max() <= bound
    assert np.abs(sines - np.sin(angles.astype(np.float64))).max() <= bound


@pytest.mark.parametrize(
    "angle, cosine, sine",
    [
        (1.0, 0.5403023058681398, 0.8414709848078965),
        (-4.0, -0.6536436208636119, 0.7568024953079282),
        (1e22, 0.5232147853951389, -0.8522008497671888),  # W. Kahan's
    ],
)
def test_the_oracle_knows_published_values(angle, cosine, sine):
    results = [value / 2**RESULT_BITS for value in exact_cos_sin(angle)]
    np.testing.assert_allclose(results, [cosine, sine], rtol=3e-16)


# Errors


@both
@pytest.mark.parametrize("end", [0.8, 2.0, 100.0, LIMIT])
def test_dense_grids(dtype, end):
    assert_near(np.linspace(-end, end, MANY + 1).astype(dtype))


@both
def test_random_numbers_of_every_exponent(rng, dtype):
    """Denormals and the largest are among them."""
    info = np.finfo(dtype)
    exponents = np.linspace(np.log2(info.smallest_subnormal), info.maxexp, MANY // 2)
    small = exponents < np.log2(LIMIT)
    for part in (exponents[small], exponents[~small]):
        angles = np.ldexp(rng.uniform(0.5, 1, part.size), part.astype(int)).astype(dtype)
        assert_near(angles * rng.choice([-1, 1], part.size).astype(dtype))


@both
def test_random_bits(rng, dtype):
    whole = np.uint32 if dtype == np.float32 else np.uint64
    angles = rng.integers(0, np.iinfo(whole).max, 2_000, dtype=whole).view(dtype)
    assert largest_error(angles[np.isfinite(angles)]) <= BOUND[dtype]


@both
def test_next_to_multiples_of_a_quarter_pi(rng, dtype):
    """Where sine or cosine vanishes, and where the angle goes over to the next quarter."""
    k = np.concatenate([np.arange(400), rng.integers(0, int(LIMIT / (np.pi / 4)), MANY // 10)])
    angles = (k * (np.pi / 4)).astype(dtype)
    for neighbour in (angles, np.nextafter(angles, -angles), np.nextafter(angles, 2 * angles)):
        assert_near(neighbour)
        assert_near(-neighbour)


@pytest.mark.parametrize(
    "dtype, multiples", [(np.float32, (161, 322, 3, 33433, 644)), (np.float64, (29, 58, 116, 232))]
)
def test_the_numbers_nearest_to_multiples_of_half_a_pi(dtype, multiples):
    """Found by trying all multiples below the limit. What cancellation leaves is of the right size.

    (In float32 it is wrong by a ninth at worst, by 2e-9: there the third part of pi/2 ends.)
    """
    angles = np.array([float(Fraction(k * half_pi(), 1 << ANGLE_BITS)) for k in multiples], dtype)
    assert largest_error(angles) <= BOUND[dtype]
    for angle, *values in zip(angles, *cos_sin(angles), strict=True):
        small, truth = min(zip(values, exact_cos_sin(angle), strict=True), key=lambda v: abs(v[0]))
        assert 0.75 <= float(small) / (truth / 2**RESULT_BITS) <= 1.25


@both
def test_on_both_sides_of_the_limit(dtype):
    limit, far = dtype(LIMIT), dtype(np.inf)
    above, below = np.nextafter(limit, far), np.nextafter(limit, -far)
    for angle in (below, limit, above, dtype(2 * LIMIT), np.finfo(dtype).max):
        for sign in (1, -1):
            assert largest_error(np.array([sign * angle], dtype)) <= BOUND[dtype]


def test_the_hardest_number_of_all():
    """6381956970095103 * 2^797 is the float64 closest to a multiple of pi/2 (J.-M. Muller)."""
    assert largest_error(np.array([6381956970095103 * 2.0**797])) <= BOUND[np.float64]


# Special values


@both
def test_not_finite_gives_nan_in_silence(dtype):
    angles = np.array([np.nan, 1, np.inf, -1e6, -np.inf, 0, -np.nan], dtype)
    # In plain Python NumPy sees every step on the way, and has something to say.
    with warnings.catch_warnings(), np.errstate(invalid="ignore" if jit.disabled() else "warn"):
        warnings.simplefilter("error")
        results = cos_sin(angles)
    for result in results:
        np.testing.assert_array_equal(np.isnan(result), ~np.isfinite(angles))


@both
def test_zeros_and_denormals(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    angles = np.array([0.0, -0.0, tiny, -tiny, 3 * tiny], dtype)
    cosines, sines = cos_sin(angles)
    np.testing.assert_array_equal(cosines, np.ones(5, dtype))
    np.testing.assert_array_equal(sines, angles)
    np.testing.assert_array_equal(np.signbit(sines), np.signbit(angles))


# The same bits everywhere


def same(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, e, strict=True)


@both
def test_every_length_from_every_start(rng, dtype):
    angles = rng.uniform(-300, 300, 100).astype(dtype)
    whole = cos_sin(angles)
    for n in range(41):
        start = 7 * n % 50
        part = slice(start, start + n)
        same(cos_sin(angles[part]), [row[part] for row in whole])


@both
@pytest.mark.parametrize("n", [TILE - 1, TILE, TILE + 1, 2 * TILE + 5])
def test_tiles_leave_no_seam(rng, dtype, n):
    angles = rng.uniform(-300, 300, n).astype(dtype)
    cosines, sines = cos_sin(angles)
    for i in (0, TILE - 2, TILE - 1, TILE, n - 1):
        one = slice(min(i, n - 1), min(i, n - 1) + 1)
        same(cos_sin(angles[one]), (cosines[one], sines[one]))


@both
@pytest.mark.parametrize("neighbour", [np.nan, np.inf, -1e30, 2 * LIMIT])
def test_neighbours_do_not_matter(rng, dtype, neighbour):
    angles = rng.uniform(-LIMIT, LIMIT, 67).astype(dtype)
    alone = cos_sin(angles)
    for place in (0, 13, 66):
        disturbed = angles.copy()
        disturbed[place] = neighbour
        same(*([np.delete(row, place) for row in rows] for rows in (cos_sin(disturbed), alone)))


@both
@pytest.mark.parametrize("largest", [100.0, 1e7])
def test_in_place(rng, dtype, largest):
    angles = rng.uniform(-largest, largest, TILE + 77).astype(dtype)
    cosines, sines = cos_sin(angles)

    row, other = angles.copy(), np.empty_like(angles)
    cos_sin_row(np.empty((2, TILE), row.dtype), row, row.dtype.type(1), row, other)
    same((row, other), (cosines, sines))

    row, other = angles.copy(), np.empty_like(angles)
    cos_sin_row(np.empty((2, TILE), row.dtype), row, row.dtype.type(1), other, row)
    same((other, row), (cosines, sines))


@both
@pytest.mark.parametrize("largest", [100.0, 1e7])
@pytest.mark.parametrize("n", [0, 1, 7, 40, TILE + 77])
def test_cos_row_is_the_cosine_of_the_rounded_sum(rng, dtype, n, largest):
    angles = rng.uniform(-largest, largest, n).astype(dtype)
    phase = rng.uniform(0, 2 * np.pi, n).astype(dtype)
    expected = cos_sin(angles + phase)[0]

    out, in_angles, in_phase = np.full(n, 7, dtype), angles.copy(), phase.copy()
    cos_row(np.empty((2, TILE), angles.dtype), angles, phase, dtype(1), out)
    cos_row(np.empty((2, TILE), in_angles.dtype), in_angles, phase, dtype(1), in_angles)
    cos_row(np.empty((2, TILE), angles.dtype), angles, in_phase, dtype(1), in_phase)
    same((out, in_angles, in_phase), (expected,) * 3)


def _rows(lanes, angles, cosines, sines, team, first, last):
    for i in range(first, last):
        cos_sin_row(
            np.empty((2, TILE), angles[i].dtype),
            angles[i],
            angles.dtype.type(1),
            cosines[i],
            sines[i],
        )


@both
def test_called_by_serial_and_parallel_kernels(rng, dtype):
    by_rows = Kernel(_rows)
    angles = rng.uniform(-100, 100, (5, 37)).astype(dtype)
    expected = [np.stack(rows) for rows in zip(*map(cos_sin, angles), strict=True)]
    for work in (0, 1 << 30):  # alone, shared out
        results = np.empty_like(angles), np.empty_like(angles)
        by_rows(work, len(angles), (), angles, *results)
        same(results, expected)
