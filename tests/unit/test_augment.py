"""Random affine changes of images."""

import numpy as np
import pytest

from fastfood_np.training import augment
from fastfood_np.training.augment import random_affine


class Chosen:
    """In the place of a generator: hands out the angle, log scale, shear and shifts it is told."""

    def __init__(self, angle=0.0, scale=0.0, shear=0.0, shift=(0.0, 0.0)):
        self.values = [angle, scale, shear, np.reshape(shift, (2, 1, 1, 1))]

    def uniform(self, low, high, shape):
        return np.broadcast_to(self.values.pop(0), shape).astype(float)


def images(m=3, channels=2, h=7, w=7, dtype=np.float64):
    return np.random.default_rng(0).random((m, channels, h, w)).astype(dtype)


def test_no_change():
    x = images()
    np.testing.assert_allclose(random_affine(x, Chosen()), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("down", "right"), [(1, 2), (-2, 0), (0, -1)])
def test_shift(down, right):
    """By whole pixels, with zeros moving in."""
    x = images()
    expected = np.zeros_like(x)
    for r in range(7):
        for c in range(7):
            if 0 <= r - down < 7 and 0 <= c - right < 7:
                expected[..., r, c] = x[..., r - down, c - right]
    moved = random_affine(x, Chosen(shift=(down, right)))
    np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_rotation_about_the_centre(quarters):
    x = images()
    turned = random_affine(x, Chosen(angle=quarters * np.pi / 2))
    either = [np.rot90(x, k, axes=(2, 3)) for k in (quarters, -quarters)]
    # Pixels at the rim may fall outside by rounding.
    inner = (..., slice(1, -1), slice(1, -1))
    assert min(np.abs(turned[inner] - way[inner]).max() for way in either) < 1e-9
    if quarters == 1:
        three = random_affine(x, Chosen(angle=3 * np.pi / 2))
        assert np.abs(turned[inner] - three[inner]).max() > 0.1


def test_scale_grows_a_block_about_the_centre():
    x = np.zeros((1, 1, 9, 9))
    x[0, 0, 3:6, 3:6] = 1.0
    larger = random_affine(x, Chosen(scale=np.log(2.0)))[0, 0]
    np.testing.assert_allclose(larger[2:7, 2:7], 1.0, atol=1e-12)
    assert not larger[0].any() and not larger[:, 8].any()
    smaller = random_affine(x, Chosen(scale=-np.log(3.0)))[0, 0]
    expected = np.zeros((9, 9))
    expected[4, 4] = 1.0
    np.testing.assert_allclose(smaller, expected, atol=1e-9)


def test_shear_moves_rows_along_themselves():
    x = np.zeros((1, 1, 7, 7))
    x[0, 0, :, 3] = 1.0
    sheared = random_affine(x, Chosen(shear=1.0))[0, 0]
    np.testing.assert_allclose(sheared, np.fliplr(np.eye(7)), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 1, 8, 6), (1, 3, 5, 5), (0, 1, 4, 4)])
def test_shape_and_dtype_are_kept(shape, dtype):
    x = (255 * np.random.default_rng(1).random(shape)).astype(dtype)
    kept = x.copy()
    changed = random_affine(x, np.random.default_rng(0))
    assert changed.shape == shape and changed.dtype == dtype
    np.testing.assert_array_equal(x, kept)
    if len(x):
        assert changed.min() >= 0 and changed.max() <= x.max()


def test_every_image_is_changed_in_its_own_way_and_a_seed_fixes_it():
    x = np.repeat(images(m=1), 6, axis=0)
    changed = random_affine(x, np.random.default_rng(0))
    for i in range(6):
        for j in range(i):
            assert np.abs(changed[i] - changed[j]).max() > 1e-3
    np.testing.assert_array_equal(changed, random_affine(x, np.random.default_rng(0)))
    # All channels of an image are changed alike.
    same = np.repeat(images(channels=1), 2, axis=1)
    both = random_affine(same, np.random.default_rng(0))
    np.testing.assert_array_equal(both[:, 0], both[:, 1])


def test_changes_stay_within_their_bounds():
    """The centre of mass of a dot in the centre moves by the shift alone, at most 2 pixels."""
    x = np.zeros((300, 1, 15, 15))
    x[:, 0, 6:9, 6:9] = 1.0
    changed = random_affine(x, np.random.default_rng(3))[:, 0]
    mass = changed.sum(axis=(1, 2))
    places = np.arange(15) - 7
    down = (changed.sum(axis=2) @ places) / mass
    right = (changed.sum(axis=1) @ places) / mass
    for moves in (down, right):
        assert np.abs(moves).max() < augment.SHIFT + 0.1
        assert np.abs(moves).max() > augment.SHIFT - 0.3
    # Areas change with the square of the scale, exp(+-0.1).
    assert (mass > 9 * np.exp(-0.2) - 1.5).all() and (mass < 9 * np.exp(0.2) + 1.5).all()
    assert mass.std() > 0.3
