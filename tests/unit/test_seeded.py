"""Signs and permutations of a seed: the same for ever, so they are spelt out here."""

import itertools
import zlib

import numpy as np
import oracles_seeded
import pytest
from scipy.stats import chi2

from fastfood_np.layers import Fastfood
from fastfood_np.transforms import draw_fastfood
from fastfood_np.transforms.seeded import MOST, seeded_signs_and_permutations

SEEDS = (0, 1, 12345, 2**32, MOST)
SIZES = (1, 8, 64, 65, 128)


def checksum(signs, perm):
    return zlib.crc32(perm.astype("<i8").tobytes(), zlib.crc32(signs.astype("<i8").tobytes()))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_oracle_is_pcg64(seed):
    source, ours = np.random.PCG64(seed), oracles_seeded.PCG64(seed)
    state = source.state["state"]
    assert (ours.state, ours.increment) == (state["state"], state["inc"])
    assert [ours.word() for _ in range(200)] == source.random_raw(200).tolist()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", SEEDS)
def test_from_words(seed, size):
    signs, perm = seeded_signs_and_permutations(seed, 3, size)
    assert (signs.dtype, perm.dtype) == (np.float64, np.int64)
    source = np.random.PCG64(seed)
    for word in (oracles_seeded.PCG64(seed).word, lambda: int(source.random_raw())):
        expected = oracles_seeded.signs_and_permutations(word, 3, size)
        assert (signs.tolist(), perm.tolist()) == expected


@pytest.mark.parametrize(
    ("seed", "signs", "perm"),
    [
        (0, "++++++-+", "32160745"),
        (1, "-+-+-+--", "24750631"),
        (12345, "+-++-+--", "70154632"),
        (2**32, "+-++++++", "74516203"),
        (MOST, "--+--++-", "24756013"),
    ],
)
def test_pinned(seed, signs, perm):
    """Files depend on these."""
    found = seeded_signs_and_permutations(seed, 1, 8)
    assert "".join("-+"[int(sign > 0)] for sign in found[0][0]) == signs
    assert "".join(map(str, found[1][0])) == perm


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, [1777677600, 4091790642, 2499608942, 2205205724, 2116060942]),
        (1, [744760900, 2352705998, 2337567470, 4195967770, 2030900102]),
        (12345, [744760900, 2838923953, 3936456242, 3577980648, 4264732]),
        (2**32, [744760900, 2811690526, 2568565414, 759840072, 2676260456]),
        (MOST, [1777677600, 3704443799, 985268676, 2507512815, 159919369]),
    ],
)
def test_pinned_checksums(seed, expected):
    found = [checksum(*seeded_signs_and_permutations(seed, 2, size)) for size in SIZES]
    assert found == expected


def test_more_blocks_begin_with_the_same():
    signs, perm = seeded_signs_and_permutations(3, 5, 16)
    for blocks in range(1, 5):
        fewer = seeded_signs_and_permutations(3, blocks, 16)
        np.testing.assert_array_equal(fewer[0], signs[:blocks])
        np.testing.assert_array_equal(fewer[1], perm[:blocks])
    assert len({tuple(row) for row in perm.tolist()}) == 5


@pytest.mark.parametrize("size", [3, 4])
def test_permutations_are_uniform(size):
    places = {perm: i for i, perm in enumerate(itertools.permutations(range(size)))}
    counts = np.zeros(len(places), int)
    for seed in range(100):
        for perm in seeded_signs_and_permutations(seed, 50, size)[1].tolist():
            counts[places[tuple(perm)]] += 1
    assert oracles_seeded.chi_square(counts) < chi2.isf(1e-4, len(counts) - 1)


def test_signs_are_uniform():
    """Of neighbours, all four pairs; and each place by itself."""
    signs = np.concatenate([seeded_signs_and_permutations(s, 20, 128)[0] for s in range(50)])
    pairs = (signs[:, ::2] > 0) * 2 + (signs[:, 1::2] > 0)
    assert oracles_seeded.chi_square(np.bincount(pairs.ravel())) < chi2.isf(1e-4, 3)
    assert (np.abs(signs.sum(axis=0)) < 5 * len(signs) ** 0.5).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("d_in", "n_out"), [(1, 1), (5, 19), (8, 8)])
def test_fastfood_of_a_seed(d_in, n_out, dtype):
    one, other = (Fastfood(d_in, n_out, seed=9, rng=rng, dtype=dtype) for rng in (0, 1))
    signs, perm = seeded_signs_and_permutations(9, *one.perm.shape)
    for layer in (one, other):
        np.testing.assert_array_equal(layer.params["B"], signs)
        np.testing.assert_array_equal(layer.perm, perm)
        assert layer.config["seed"] == 9
    assert not np.array_equal(one.params["G"], other.params["G"])
    assert Fastfood(d_in, n_out).config["seed"] is None


def test_rng_then_draws_only_g_and_s():
    factors = draw_fastfood(8, 16, 4, seed=9)
    rng = np.random.default_rng(4)
    for S, G in zip(factors.S, factors.G, strict=True):
        drawn = rng.standard_normal(8)
        np.testing.assert_array_equal(G, drawn)
        np.testing.assert_array_equal(S, np.sqrt(rng.chisquare(8, 8)) / np.linalg.norm(drawn))
    assert not np.array_equal(factors.perm, draw_fastfood(8, 16, 4).perm)


@pytest.mark.parametrize(
    ("seed", "blocks", "size", "kind", "saying"),
    [
        (-1, 1, 1, ValueError, "seed must be at least 0, got -1"),
        (2**64, 1, 1, ValueError, f"seed must be at most {MOST}, got {2**64}"),
        (1.0, 1, 1, TypeError, "seed must be an integer, got 1.0"),
        (True, 1, 1, TypeError, "seed must be an integer, got True"),
        (None, 1, 1, TypeError, "seed must be an integer, got None"),
        (0, 0, 1, ValueError, "blocks must be at least 1, got 0"),
        (0, 1, 0, ValueError, "size must be at least 1, got 0"),
        (0, 1, "8", TypeError, "size must be an integer, got '8'"),
    ],
)
def test_bad_input(seed, blocks, size, kind, saying):
    with pytest.raises(kind, match=saying):
        seeded_signs_and_permutations(seed, blocks, size)
    if seed not in (0, None):
        with pytest.raises(kind, match=saying):
            Fastfood(8, 8, seed=seed)
