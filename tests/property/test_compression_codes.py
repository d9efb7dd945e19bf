"""Laws of packed, coded and product-quantised codes on whatever hypothesis thinks of."""

import numpy as np
import oracles_compression
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastfood_np import backends
from fastfood_np.backends.cpu import jit
from fastfood_np.compression import (
    ProductQuantizer,
    bits_for,
    pack,
    product_quantized_gradient,
    product_quantized_matrix,
    range_coder,
    unpack,
)

LAWS = settings(deadline=None, max_examples=20 if jit.disabled() else 100)
NUMBERS = st.integers(-(2**8), 2**8).map(lambda k: k / 16)


@st.composite
def codes_and_bits(draw, most_bits=16):
    """Codes of any number of bits, uniform or with few values; none at all among them."""
    bits = draw(st.integers(0, most_bits))
    values = draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=1, max_size=4))
    elements = draw(st.sampled_from([st.sampled_from(values), st.integers(0, (1 << bits) - 1)]))
    return draw(hnp.arrays(np.int64, st.integers(0, 200), elements=elements)), bits


@LAWS
@given(codes_and_bits(), st.data())
def test_packing(case, data):
    codes, bits = case
    packed = pack(codes, bits)
    assert packed == oracles_compression.packed(codes, bits)
    np.testing.assert_array_equal(unpack(packed, bits, len(codes)), codes)
    # Any bytes of the right length: refused, or the very bytes that their codes are packed in.
    other = data.draw(st.binary(min_size=len(packed), max_size=len(packed)))
    try:
        found = unpack(other, bits, len(codes))
    except ValueError:
        assert len(codes) * bits % 8
    else:
        assert pack(found, bits) == other


@LAWS
@given(codes_and_bits())
def test_bits_for_is_the_least(case):
    codes, bits = case
    k = int(codes.max(initial=0)) + 1
    assert bits_for(k) <= bits and 2 ** bits_for(k) >= k > 2 ** bits_for(k) // 2


@LAWS
@given(codes_and_bits(most_bits=10))
def test_coding(case):
    codes, bits = case
    coded = range_coder.encode(codes, bits)
    assert len(coded) <= -(-len(codes) * bits // 8) + 1
    found = range_coder.decode(coded, bits, len(codes))
    assert found.dtype == (np.uint8 if bits <= 8 else np.uint16)
    np.testing.assert_array_equal(found, codes)
    with backends.using("reference"):
        assert range_coder.encode(codes, bits) == coded


def refused_or_genuine(data, bits, count):
    """Either a ValueError, or codes in range that are coded as exactly these bytes."""
    try:
        found = range_coder.decode(data, bits, count)
    except ValueError as error:
        assert str(error).startswith("data must be ")
        return True
    assert found.shape == (count,) and (found < 1 << bits).all()
    assert range_coder.encode(found, bits) == data
    return False


@LAWS
@given(st.binary(max_size=40), st.integers(0, 10), st.integers(0, 300))
def test_decoding_hostile_bytes(data, bits, count):
    refused_or_genuine(data, bits, count)


@LAWS
@given(codes_and_bits(most_bits=10), st.data())
def test_decoding_damaged_bytes(case, data):
    codes, bits = case
    coded = range_coder.encode(codes, bits)
    more = data.draw(st.binary(min_size=1, max_size=3))
    assert refused_or_genuine(coded + more, bits, len(codes))
    if coded:
        assert refused_or_genuine(
            coded[: data.draw(st.integers(0, len(coded) - 1))], bits, len(codes)
        )
        flipped = bytearray(coded)
        flipped[data.draw(st.integers(0, len(coded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        refused_or_genuine(bytes(flipped), bits, len(codes))
    # As another number of codes, or of other bits.
    refused_or_genuine(coded, bits, data.draw(st.integers(0, 300)))
    refused_or_genuine(coded, data.draw(st.integers(0, 10)), len(codes))


@st.composite
def matrices(draw):
    """W with many equal entries or few, n_subspaces, n_centroids, and shared or not."""
    n_subspaces, length = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    shape = draw(st.integers(1, 12)), n_subspaces * length
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    elements = draw(st.sampled_from([NUMBERS, st.integers(0, 1).map(float)]))
    W = draw(hnp.arrays(dtype, shape, elements=elements)) * dtype(2.0 ** draw(st.integers(-60, 60)))
    return W, n_subspaces, draw(st.integers(2, 9)), draw(st.booleans())


@settings(LAWS, max_examples=30)
@given(matrices())
def test_product_quantiser(case):
    W, n_subspaces, n_centroids, shared = case
    quantizer = ProductQuantizer(n_subspaces, n_centroids, shared=shared, rng=0).fit(W)
    length = W.shape[1] // n_subspaces
    assert quantizer.codebooks.shape == (1 if shared else n_subspaces, n_centroids, length)
    assert quantizer.codebooks.dtype == W.dtype and np.isfinite(quantizer.codebooks).all()
    codes = quantizer.encode(W)
    decoded = quantizer.decode(codes).reshape(len(W), n_subspaces, length)
    parts = W.reshape(decoded.shape)
    for s in range(n_subspaces):
        rows, codebook = parts[:, s], quantizer.codebooks[0 if shared else s]
        least = oracles_compression.squared_errors(rows, codebook)
        found = ((np.float64(rows) - codebook[codes[:, s]]) ** 2).sum(axis=1)
        np.testing.assert_allclose(found, least, rtol=1e-12)
        alike = parts.reshape(-1, length) if shared else rows
        if len(np.unique(alike, axis=0)) <= n_centroids:  # all of them are kept as they are
            np.testing.assert_array_equal(decoded[:, s], rows)
    twin = ProductQuantizer(n_subspaces, n_centroids, shared=shared, rng=0).fit(W)
    np.testing.assert_array_equal(twin.codebooks, quantizer.codebooks)


@LAWS
@given(matrices(), st.data())
def test_gradient_is_the_transpose(case, data):
    """<dW, W(codebooks)> = <gradient, codebooks>, exactly on numbers of few bits."""
    W, n_subspaces, n_centroids, shared = case
    shape = 1 if shared else n_subspaces, n_centroids, W.shape[1] // n_subspaces
    dW = data.draw(hnp.arrays(np.float64, W.shape, elements=NUMBERS))
    codebooks = data.draw(hnp.arrays(np.float64, shape, elements=NUMBERS))
    codes = data.draw(
        hnp.arrays(np.uint8, (len(W), n_subspaces), elements=st.integers(0, n_centroids - 1))
    )
    gradient = product_quantized_gradient(dW, codes, n_centroids, shared)
    assert gradient.shape == shape
    matrix = product_quantized_matrix(codebooks, codes)
    assert np.vdot(dW, matrix) == np.vdot(gradient, codebooks)
