"""Pictures: drawn without a warning from any run, however short or good."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from fastfood_np import plotting

pytestmark = pytest.mark.filterwarnings("error")


def drawn(picture: Figure) -> np.ndarray:
    """Return the pixels."""
    file = io.BytesIO()
    picture.savefig(file, format="png")
    file.seek(0)
    return matplotlib.image.imread(file)


def test_learning_curves() -> None:
    losses = [list(2.3 * 0.99 ** np.arange(500)), list(2.0 * 0.98 ** np.arange(500))]
    errors = [[(100, 10.0), (500, 2.0)], [(100, 5.0), (500, 1.0)]]
    picture = plotting.learning_curves(
        ["one", "two"], losses, errors, "validation", [(1.5, 2.7), (0.6, 1.7)]
    )
    left, right = picture.axes
    assert left.get_title(loc="left") == "Training loss" and left.get_xlabel() == "step"
    assert "Validation error" in right.get_title(loc="left")
    for axes in (left, right):
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
        assert axes.get_yscale() == "log"
    np.testing.assert_array_equal(right.lines[0].get_xydata(), errors[0])
    np.testing.assert_array_equal(right.lines[1].get_ydata(), (1.5, 2.7))
    smooth = left.lines[1].get_xydata()
    assert len(smooth) == 491 and smooth[0, 0] == 5.5
    assert smooth[0, 1] == pytest.approx(np.mean(losses[0][:10]))
    pixels = drawn(picture)
    assert pixels.shape == (630, 1575, 4)
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 50


@pytest.mark.parametrize("error", [0.0, 50.0, 100.0])
@pytest.mark.parametrize("loss", [[], [2.3], [0.0, 0.0], [1e9, 1.0]])
def test_learning_curves_of_odd_runs(loss: list[float], error: float) -> None:
    points = [(len(loss), error)] if loss else []
    picture = plotting.learning_curves(["one"], [loss], [points], "test", [(error, error)])
    assert drawn(picture).std() > 0.01


@pytest.mark.parametrize("count", [0, 1, 8, 9, 24])
def test_mistakes(count: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels, predictions = [3] * count, [5] * count
    picture = plotting.mistakes(images, labels, predictions, [0.996] * count, "Title")
    shown = [axes for axes in picture.axes if axes.images]
    assert len(shown) == count and len(picture.axes) >= 1
    for axes, image in zip(shown, images, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), image)
        assert axes.get_title() == "3, taken for 5\n(100 % sure)"
    pixels = drawn(picture)
    assert pixels.shape[0] > 150 and pixels.std() > 0.001
