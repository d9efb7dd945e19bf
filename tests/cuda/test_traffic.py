"""How many launches a transform takes, what they read and write, and that their tiles cover it."""

import numpy as np
import pytest

from fastfood_np.backends.cuda.hadamard import launches, max_length, passes
from fastfood_np.backends.cuda.limits import GPU_SHARED_BYTES

pytestmark = pytest.mark.compiled  # the simulator's thread blocks are smaller

# The greatest length that takes one launch, and what is read and written each byte once.
ONE_LAUNCH = {"float16": 2**14, "float32": 2**14, "float64": 2**13}
LONGEST = {"float16": 2**14, "float32": 2**24, "float64": 2**24}

lengths = pytest.mark.parametrize(
    "dtype, d",
    [
        (dtype, 1 << log_d)
        for dtype, longest in LONGEST.items()
        for log_d in range(longest.bit_length())
    ],
)


@lengths
def test_each_launch_reads_and_writes_each_byte_once(dtype, d):
    m = max(1, 2**16 // d)
    planned = launches((m, d), dtype)
    assert len(planned) == (1 if d <= ONE_LAUNCH[dtype] else 2)
    for launch in planned:
        assert launch.read_bytes == launch.written_bytes == m * d * np.dtype(dtype).itemsize


@lengths
@pytest.mark.parametrize("m", [1, 3, 64])
def test_tiles_cover_the_data(dtype, d, m):
    compute = 8 if dtype == "float64" else 4
    planned = launches((m, d), dtype)
    for launch, plan in zip(planned, passes(d.bit_length() - 1, compute), strict=True):
        assert launch.threads == plan.schedule.threads
        assert (launch.grid - 1) * plan.schedule.size < m * d <= launch.grid * plan.schedule.size
        if d >= plan.schedule.size:
            assert launch.grid * plan.schedule.size == m * d


def test_kernels_are_shared_by_batches_of_all_sizes():
    whole, also_whole, ragged = (launches((m, 256), "float32")[0] for m in (16, 32, 17))
    assert whole.kernel is also_whole.kernel
    assert whole.kernel is not ragged.kernel
    assert (whole.grid, also_whole.grid, ragged.grid) == (1, 2, 2)


@pytest.mark.parametrize("dtype", LONGEST)
def test_longest_rows(dtype):
    assert max_length(np.dtype(dtype)) == LONGEST[dtype]


def test_rows_too_long_for_two_passes():
    with pytest.raises(ValueError, match=r"2\^25 numbers are too long"):
        launches((1, 2**25), "float64")
    with pytest.raises(ValueError, match=r"2\^26 numbers are too long"):
        passes(26, 4, GPU_SHARED_BYTES)
