"""Packed codes: pinned bytes, sizes, and what is refused."""

import numpy as np
import oracles_compression
import pytest

from fastfood_np.compression import bits_for, pack, unpack


@pytest.mark.parametrize(
    ("codes", "bits", "expected"),
    [
        ([1, 0, 1, 1], 1, "0d"),
        ([1, 2, 3], 2, "39"),
        ([5, 6, 7, 1], 3, "f503"),
        ([0x12, 0x34], 8, "1234"),
        ([0x1FF, 1], 9, "ff0300"),
        ([0x1234, 0xFFFF], 16, "3412ffff"),
        ([0, 0], 0, ""),
        ([], 5, ""),
    ],
)
def test_pinned(codes, bits, expected):
    """Files depend on these."""
    array = np.array(codes, np.int64)
    assert pack(array, bits) == bytes.fromhex(expected) == oracles_compression.packed(codes, bits)
    np.testing.assert_array_equal(unpack(bytes.fromhex(expected), bits, len(codes)), array)


@pytest.mark.parametrize("bits", range(17))
def test_round_trip_and_dtype(bits):
    codes = np.random.default_rng(bits).integers(0, 1 << bits, 101)
    data = pack(codes, bits)
    assert len(data) == -(-101 * bits // 8) and data == oracles_compression.packed(codes, bits)
    for given in (data, bytearray(data), memoryview(data)):
        found = unpack(given, bits, 101)
        assert found.dtype == (np.uint8 if bits <= 8 else np.uint16) and found.dtype.isnative
        np.testing.assert_array_equal(found, codes)


def test_any_integer_dtype_shape_and_layout():
    codes = np.random.default_rng(0).integers(0, 8, (6, 7))
    expected = pack(codes.ravel(), 3)
    for dtype in (np.int8, np.uint8, ">i4", np.uint64):
        assert pack(codes.astype(dtype), 3) == expected
    assert pack(np.asfortranarray(codes), 3) == expected
    assert pack(codes[::-1, ::2][::-1], 3) == pack(codes[:, ::2].copy(), 3)


def test_results_are_writable_and_their_own():
    data = bytearray(b"\x01\x02")
    codes = unpack(data, 8, 2)
    data[0] = 9
    codes[1] = 7
    assert codes.tolist() == [1, 7] and data[1] == 2


@pytest.mark.parametrize(
    ("k", "bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (256, 8), (257, 9), (2**16, 16)]
)
def test_bits_for(k, bits):
    assert bits_for(k) == bits and bits_for(np.int32(k)) == bits


@pytest.mark.parametrize(
    ("data", "bits", "count", "saying"),
    [
        (b"", 4, 1, "data must be 1 bytes for 1 codes of 4 bits, got 0"),
        (b"\0\0", 4, 2, "data must be 1 bytes for 2 codes of 4 bits, got 2"),
        (b"\0", 0, 5, "data must be 0 bytes for 5 codes of 0 bits, got 1"),
        (b"\x10", 4, 1, "data must end with zero bits"),
        (b"\0\x80", 5, 3, "data must end with zero bits"),
        (b"\0", 4, 10**30, "data must be 5.* bytes for 10"),
        (b"\0", 17, 1, "bits must be at most 16, got 17"),
        (b"\0", -1, 1, "bits must be at least 0, got -1"),
        (b"\0", 4, -1, "count must be at least 0, got -1"),
    ],
)
def test_unpack_refuses(data, bits, count, saying):
    with pytest.raises(ValueError, match=saying):
        unpack(data, bits, count)


@pytest.mark.parametrize(
    ("codes", "bits", "kind", "saying"),
    [
        ([16], 4, ValueError, r"codes must lie in 0\.\.15, got 16 to 16"),
        ([3, -1], 4, ValueError, r"codes must lie in 0\.\.15, got -1 to 3"),
        ([1], 0, ValueError, r"codes must lie in 0\.\.0, got 1 to 1"),
        ([2**40], 16, ValueError, r"codes must lie in 0\.\.65535"),
        ([1], 17, ValueError, "bits must be at most 16"),
        ([1], 4.0, TypeError, "bits must be an integer"),
        ([1.0], 4, TypeError, "codes must be an integer array, got float64"),
        ([True], 4, TypeError, "codes must be an integer array, got bool"),
    ],
)
def test_pack_refuses(codes, bits, kind, saying):
    with pytest.raises(kind, match=saying):
        pack(np.array(codes), bits)


def test_other_kinds_are_refused():
    with pytest.raises(TypeError, match="codes must be an integer array, got list"):
        pack([1, 2], 4)
    with pytest.raises(TypeError, match="data must be bytes, got str"):
        unpack("ab", 8, 2)
    with pytest.raises(TypeError, match="data must be bytes, got ndarray"):
        unpack(np.zeros(2, np.uint8), 8, 2)
    with pytest.raises(TypeError, match="count must be an integer"):
        unpack(b"ab", 8, 2.0)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        bits_for(0)
