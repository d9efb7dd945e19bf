"""scikit-learn's random_state as a Generator."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn (extra 'sklearn') is not installed")

from sklearn.utils import check_random_state

from fastfood_np.features.random_state import generator


def words(rng, count=8):
    """What a Generator gives next."""
    assert isinstance(rng, np.random.Generator)
    return rng.integers(0, 1 << 62, count).tolist()


@pytest.fixture
def global_state():
    """NumPy's global state, put back at the end."""
    before = np.random.get_state()  # noqa: NPY002
    yield check_random_state(None)
    np.random.set_state(before)  # noqa: NPY002


@pytest.mark.parametrize("seed", [0, 7, np.int64(7), np.uint8(7), 2**100])
def test_an_int_is_the_seed(seed):
    expected = words(np.random.default_rng(int(seed)))
    assert words(generator(seed)) == expected
    assert words(generator(seed)) == expected  # and no call moves on
    assert words(generator(1)) != expected


def test_a_generator_is_used_itself():
    rng = np.random.default_rng(3)
    assert generator(rng) is rng
    first, second = words(generator(rng)), words(generator(rng))
    twice = words(np.random.default_rng(3), 16)
    assert first == twice[:8] and second == twice[8:]


def test_a_random_state_gives_a_seed_and_moves_on():
    state = np.random.RandomState(3)
    first, second = words(generator(state)), words(generator(state))
    assert first != second
    again = np.random.RandomState(3)
    assert [words(generator(again)), words(generator(again))] == [first, second]
    assert words(generator(np.random.RandomState(4))) != first
    assert first != words(np.random.default_rng(3))


def test_none_is_the_global_state(global_state):
    global_state.seed(3)
    first, second = words(generator(None)), words(generator(None))
    assert first != second
    global_state.seed(3)
    assert words(generator(None)) == first
    assert words(generator(np.random.RandomState(3))) == first
    global_state.seed(4)
    assert words(generator(None)) != first


def test_other_sources_leave_the_global_state_alone(global_state):
    global_state.seed(3)
    for source in (5, np.random.default_rng(5), np.random.RandomState(5)):
        words(generator(source))
    untouched = generator(None)
    global_state.seed(3)
    assert words(untouched) == words(generator(None))


def test_a_random_state_seeds_with_more_than_32_bits():
    """With 32 bits, two of 100,000 seeds would be the same by chance."""
    sizes = []

    class Noting(np.random.RandomState):
        def randint(self, *arguments, **options):
            found = super().randint(*arguments, **options)
            sizes.append(found)
            return found

    generator(Noting(0))
    assert sum(np.asarray(found).size for found in sizes) == 4
    assert max(int(np.max(found)) for found in sizes) > 2**31


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (-1, ValueError, "random_state must be at least 0, got -1"),
        (np.int64(-5), ValueError, r"random_state must be at least 0, got .*-5"),
        (1.5, TypeError, "random_state must be None, an integer, a numpy RandomState or a numpy"),
        (1.0, TypeError, "a numpy Generator, got 1.0"),
        ("a", TypeError, "got 'a'"),
        ("1", TypeError, "got '1'"),
        (True, TypeError, "got True"),
        (np.True_, TypeError, "got .*True"),
        ([1, 2], TypeError, r"got \[1, 2\]"),
        (np.random.SeedSequence(1), TypeError, "got SeedSequence"),
    ],
)
def test_refuses(wrong, error, message):
    with pytest.raises(error, match=message):
        generator(wrong)


def test_the_module_stands_for_its_global_state():
    before = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(5)  # noqa: NPY002
        first = words(generator(np.random))
        np.random.seed(5)  # noqa: NPY002
        assert words(generator(None)) == first
    finally:
        np.random.set_state(before)  # noqa: NPY002
