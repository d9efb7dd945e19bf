"""The kernels behind fwht: whatever the vectors, blocks and threads, the bits of the reference."""

import numba
import numpy as np
import pytest

from fastfood_np.backends import cpu, reference
from fastfood_np.backends.cpu import hadamard, jit, widths

every_form = pytest.mark.parametrize("form", widths.BYTES)
both_dtypes = pytest.mark.parametrize("dtype", (np.float32, np.float64))


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """Plain Python takes a second for sixteen blocks as they are; an eighth does as well there."""
    if jit.disabled():
        for name in ("NEAR", "MIDDLE", "COLUMNS"):
            monkeypatch.setattr(hadamard, name, getattr(hadamard, name) // 8)


@pytest.fixture(autouse=True)
def four_threads(monkeypatch):
    """Let even small work be shared out among four."""
    monkeypatch.setattr(jit, "PARALLEL_MIN_ELEMENTS", 1)
    monkeypatch.setattr(numba, "get_num_threads", lambda: 4)


def assert_same_bits(form, m, d, dtype):
    x = np.random.default_rng(d).standard_normal((m, d)).astype(dtype)
    expected, shared, alone = np.empty_like(x), np.full_like(x, np.nan), x.copy()
    reference.fwht(x, expected)
    with cpu.vectors(form):
        cpu.fwht(x, shared)
        with cpu.serial():
            cpu.fwht(alone, alone)
    np.testing.assert_array_equal(shared, expected)
    np.testing.assert_array_equal(alone, expected)


@both_dtypes
@every_form
@pytest.mark.parametrize(
    ("m", "d"), [(3, 1), (5, 2), (3, 4), (3, 8), (9, 16), (5, 32), (2, 64), (3, 512), (7, 1024)]
)
def test_rows_within_a_block(form, m, d, dtype):
    assert_same_bits(form, m, d, dtype)


@both_dtypes
@every_form
@pytest.mark.parametrize("blocks", [1, 2, 4, 8, 16])
def test_rows_of_several_blocks(form, blocks, dtype):
    """Shared out, each number of blocks takes other passes beyond them."""
    assert_same_bits(form, 1, blocks * hadamard.NEAR // dtype().itemsize, dtype)
