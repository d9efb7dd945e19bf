"""The range coder: pinned bytes, sizes near the entropy, carries, and what is refused."""

import numpy as np
import oracles_compression
import pytest

from fastfood_np import backends
from fastfood_np.backends import cpu, reference
from fastfood_np.backends.cpu import jit
from fastfood_np.compression import pack
from fastfood_np.compression.range_coder import decode, encode

BACKENDS = pytest.mark.parametrize("backend", ["cpu", "reference"])
COUNT = 25_000


def drawn(name, bits, n=COUNT):
    rng, k = np.random.default_rng(bits), 1 << bits
    codes = {
        "normal": np.round(rng.normal(k / 2, k / 8, n)),
        "narrow": np.round(rng.normal(k / 2, k / 32, n)),
        "geometric": rng.geometric(0.5, n) - 1,
        "mostly 0": rng.geometric(0.9, n) - 1,
        "rare": np.where(rng.random(n) < 0.99, 0, k - 1),
        "uniform": rng.integers(0, k, n),
        "same": np.full(n, k - 1),
        "drift": np.round(rng.normal(k / 2, np.linspace(k / 50, k / 4, n))),
    }[name]
    return codes.clip(0, k - 1).astype(np.uint16)


@BACKENDS
@pytest.mark.parametrize(
    ("codes", "bits", "expected"),
    [
        ([], 4, ""),
        ([0, 0, 0], 0, ""),
        ([0], 1, "00"),
        ([1], 1, "40"),
        ([0] * 100, 4, "000000"),
        ([7, 0, 7, 7, 1, 7, 7, 7], 3, "70e78c"),
        ([5] * 40 + [2] * 3, 4, "2b83e155bf"),
        # A bit 1, and then the codes themselves.
        ([0xFF, 0x00, 0x11, 0x03], 8, f"{0b1_11111111_00000000_00010001_00000011 << 7:x}"),
        ([40000, 1], 16, f"{0b1_1001110001000000_0000000000000001 << 7:x}"),
    ],
)
def test_pinned(codes, bits, expected, backend):
    """Files depend on these."""
    array = np.array(codes, np.int64)
    with backends.using(backend):
        assert encode(array, bits).hex() == expected
        np.testing.assert_array_equal(decode(bytes.fromhex(expected), bits, len(codes)), array)


@BACKENDS
@pytest.mark.parametrize("bits", range(17))
def test_round_trip_and_dtype(bits, backend):
    rng = np.random.default_rng(bits)
    with backends.using(backend):
        for spread in (0.01, 0.2, 1.0):
            codes = (rng.random(83) * spread * (1 << bits)).astype(np.int64)
            data = encode(codes, bits)
            assert len(data) <= len(pack(codes, bits)) + (bits > 0)
            for given in (data, bytearray(data), memoryview(data)):
                found = decode(given, bits, 83)
                assert found.dtype == (np.uint8 if bits <= 8 else np.uint16)
                np.testing.assert_array_equal(found, codes)


def test_any_integer_dtype_shape_and_layout():
    codes = np.random.default_rng(0).integers(0, 8, (6, 7))
    expected = encode(codes.ravel(), 3)
    for dtype in (np.int8, np.uint8, ">i4", np.uint64):
        assert encode(codes.astype(dtype), 3) == expected
    assert encode(np.asfortranarray(codes), 3) == expected
    codes.flags.writeable = False
    assert encode(codes, 3) == expected


# ------------------------------------------------------------------------------ how small


@pytest.mark.compiled_only
@pytest.mark.parametrize(
    ("name", "bits"),
    [(name, bits) for name in ("normal", "geometric", "mostly 0") for bits in (1, 2, 4, 5)]
    + [("narrow", 4), ("narrow", 5)],
)
def test_size_is_near_the_entropy(name, bits):
    codes = drawn(name, bits)
    data = encode(codes, bits)
    assert len(data) <= 1.02 * oracles_compression.entropy_bytes(codes) + 4
    np.testing.assert_array_equal(decode(data, bits, COUNT), codes)


@pytest.mark.compiled_only
@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("name", ["normal", "geometric", "rare", "same", "drift"])
def test_size_is_that_of_the_probabilities(name, bits):
    """To -log2 of what has been learnt come one bit for the flag, and at most two bytes."""
    codes = drawn(name, bits, n=5000)
    ideal = oracles_compression.learnt_bits(codes, bits)
    assert ideal + 0.9 <= 8 * len(encode(codes, bits)) <= ideal + 17.1


@pytest.mark.compiled_only
@pytest.mark.parametrize("bits", [1, 4, 8, 12, 16])
def test_uniform_codes_take_what_they_are_packed_in(bits):
    codes = drawn("uniform", bits)
    assert len(encode(codes, bits)) <= len(pack(codes, bits)) + 1


@pytest.mark.compiled_only
def test_drifting_codes_take_less_than_their_entropy():
    """Of all codes together, that is: what is old is forgotten."""
    codes = drawn("drift", 4)
    assert len(encode(codes, 4)) < 0.97 * oracles_compression.entropy_bytes(codes)


@pytest.mark.compiled_only
def test_few_bytes_for_codes_that_are_all_the_same():
    assert len(encode(drawn("same", 8), 8)) <= 8 * 4
    # As far as a count can go for what it is: see the refusal of counts that go beyond.
    for bits in (1, 4):
        codes = np.zeros(300_000 // bits, np.uint8)
        np.testing.assert_array_equal(decode(encode(codes, bits), bits, codes.size), codes)


# ------------------------------------------------------------------------ the arithmetic


def coded(module, codes, bits, adaptive, room):
    out = np.full(room, 0xAA, np.uint8)
    length = module.range_encode(codes, bits, adaptive, out)
    return out[: max(length, 0)].tobytes(), length


def test_same_bytes_in_both_backends():
    rng = np.random.default_rng(1)
    n = 2500 if jit.disabled() else 40_000  # past where weights are halved
    for _ in range(5):
        codes = np.minimum(rng.geometric(rng.uniform(0.15, 0.4), n) - 1, 15).astype(np.uint16)
        ours, theirs = (coded(module, codes, 4, True, 2 * n) for module in (cpu, reference))
        assert ours == theirs


@pytest.mark.parametrize("module", [cpu, reference], ids=["cpu", "reference"])
@pytest.mark.parametrize("zeros", range(1, 12))
def test_long_carries(zeros, module):
    """Codes whose bytes lie a little above x00..00: x-1, ff..ff is written first, then a carry."""
    rng = np.random.default_rng(zeros)
    for _ in range(5):
        data = rng.integers(1, 128, 40, np.uint8)
        data[3 : 3 + zeros] = 0
        codes = np.empty(300, np.uint16)
        reference.range_decode(data, 4, codes)
        found, length = coded(module, codes, 4, True, 200)
        assert length > 5 + zeros and found[: 3 + zeros] == data[: 3 + zeros].tobytes()
        assert (found, length) == coded(reference, codes, 4, True, 200)
        again = np.empty_like(codes)
        module.range_decode(np.frombuffer(found, np.uint8), 4, again)
        np.testing.assert_array_equal(again, codes)


@pytest.mark.parametrize("module", [cpu, reference], ids=["cpu", "reference"])
@pytest.mark.parametrize("adaptive", [True, False], ids=["adaptive", "halves"])
def test_output_that_is_too_short(module, adaptive):
    """-1 for every size below the one needed, and never a byte outside."""
    codes = np.random.default_rng(2).integers(0, 8, 40).astype(np.uint16)
    data, length = coded(module, codes, 3, adaptive, 100)
    assert coded(module, codes, 3, adaptive, length) == (data, length)
    for room in range(length):
        guarded = np.full(room + 8, 0xAA, np.uint8)
        assert module.range_encode(codes, 3, adaptive, guarded[:room]) == -1
        assert (guarded[room:] == 0xAA).all()


@pytest.mark.parametrize("module", [cpu, reference], ids=["cpu", "reference"])
def test_data_end_anywhere(module):
    """Behind the end come zeros, and nothing that lies there in memory."""
    data = np.random.default_rng(3).integers(0, 256, 30, np.uint8)
    for length in range(12):
        padded = np.zeros(30, np.uint8)
        padded[:length] = data[:length]
        found = np.empty((2, 100), np.uint16)
        module.range_decode(data[:length], 4, found[0])
        module.range_decode(padded, 4, found[1])
        np.testing.assert_array_equal(found[0], found[1])
        assert found.max() < 16


# ------------------------------------------------------------------------ what is refused


@BACKENDS
@pytest.mark.parametrize("name", ["geometric", "uniform", "rare"])
def test_data_that_were_cut_or_go_on(name, backend):
    codes = drawn(name, 4, n=60)
    with backends.using(backend):
        data = encode(codes, 4)
        for wrong in [data[:n] for n in range(len(data))] + [data + b"\0", data + b"\xff\0"]:
            with pytest.raises(ValueError, match=r"^data must be "):
                decode(wrong, 4, 60)
        np.testing.assert_array_equal(decode(data, 4, 60), codes)


def test_another_way_to_write_the_same_codes_is_refused():
    """Zeros in halves, where learning takes fewer bytes."""
    halves, _ = coded(reference, np.zeros(40, np.uint16), 4, False, 100)
    assert len(encode(np.zeros(40, np.uint8), 4)) < len(halves)
    with pytest.raises(ValueError, match="data must be the whole of what was encoded"):
        decode(halves, 4, 40)


@pytest.mark.parametrize(
    ("data", "bits", "count", "saying"),
    [
        (b"", 4, 1, "data must be 1 to 2 bytes for 1 codes of 4 bits, got 0"),
        (b"\0\0\0", 4, 1, "data must be 1 to 2 bytes for 1 codes of 4 bits, got 3"),
        (b"\0", 4, 0, "data must be 0 to 0 bytes for 0 codes of 4 bits, got 1"),
        (b"\0", 0, 5, "data must be 0 to 0 bytes for 5 codes of 0 bits, got 1"),
        (b"\0" * 9, 8, 10**15, "data must be 2.* bytes for 1"),
        (b"\0" * 9, 16, 10**30, "data must be 4.* bytes for 1"),
        (b"\0", 17, 1, "bits must be at most 16, got 17"),
        (b"\0", -1, 1, "bits must be at least 0, got -1"),
        (b"\0", 4, -1, "count must be at least 0, got -1"),
    ],
)
def test_decode_refuses(data, bits, count, saying):
    with pytest.raises(ValueError, match=saying):
        decode(data, bits, count)


@pytest.mark.parametrize(
    ("codes", "bits", "kind", "saying"),
    [
        ([16], 4, ValueError, r"codes must lie in 0\.\.15, got 16 to 16"),
        ([3, -1], 4, ValueError, r"codes must lie in 0\.\.15, got -1 to 3"),
        ([1], 0, ValueError, r"codes must lie in 0\.\.0, got 1 to 1"),
        ([1], 17, ValueError, "bits must be at most 16"),
        ([1], True, TypeError, "bits must be an integer"),
        ([1.0], 4, TypeError, "codes must be an integer array, got float64"),
    ],
)
def test_encode_refuses(codes, bits, kind, saying):
    with pytest.raises(kind, match=saying):
        encode(np.array(codes), bits)


def test_other_kinds_are_refused():
    with pytest.raises(TypeError, match="codes must be an integer array, got list"):
        encode([1, 2], 4)
    with pytest.raises(TypeError, match="data must be bytes, got str"):
        decode("ab", 8, 2)
    with pytest.raises(TypeError, match="count must be an integer"):
        decode(b"ab", 8, 2.0)
