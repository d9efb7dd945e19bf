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


def curves_and_floor() -> dict[str, list[tuple[int, float]]]:
    lengths = (16, 1024, 1 << 20)
    return {
        "ours": [(d, 0.1) for d in lengths],
        "theirs": [(d, 0.3) for d in lengths],
        "dense": [(16, 1.0), (1024, 40.0)],
        "floor": [(d, 0.09) for d in lengths],
    }


def test_curves() -> None:
    panels = {"one": curves_and_floor(), "two": curves_and_floor()}
    picture = plotting.curves(panels, "Times", "length d", "ns", "floor")
    assert picture.get_suptitle() == "Times"
    assert [axes.get_title(loc="left") for axes in picture.axes] == ["one", "two"]
    axes = picture.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    ours, theirs, dense, floor = axes.lines
    np.testing.assert_array_equal(ours.get_xydata(), curves_and_floor()["ours"])
    assert ours.get_linewidth() > theirs.get_linewidth() == dense.get_linewidth()
    assert floor.get_linestyle() == "--" and floor.get_color() == plotting.GREY
    assert len({line.get_color() for line in axes.lines}) == 4
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["16", "1024", "$2^{20}$"]
    (legend,) = picture.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ours", "theirs", "dense", "floor"]
    assert drawn(picture).std() > 0.01


@pytest.mark.parametrize("largest", [2.5, 90.0])
def test_speedup_bars(largest: float) -> None:
    groups = [
        plotting.Bars("64", {"a": 0.5, "b": 1.5}, None),
        plotting.Bars("256", {"a": largest}, 2.0),
    ]
    picture = plotting.speedup_bars({"one": groups}, "Ratios", "length d", "their time / ours")
    (axes,) = picture.axes
    assert axes.get_yscale() == ("log" if largest > 8 else "linear")
    tops = [bar.get_y() + bar.get_height() for bar in axes.patches]
    assert tops == pytest.approx([0.5, largest, 1.5])
    left = [bar.get_x() for bar in axes.patches]
    assert -0.5 < left[0] < left[2] < 0.5 < left[1] < 1.5
    (aims,) = axes.collections
    ((start, end),) = aims.get_segments()
    assert start[0] < 1 < end[0] and start[1] == end[1] == 2.0
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["64", "256"]
    (legend,) = picture.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "target"]
    low, high = axes.get_ylim()
    assert low < 0.5 and high > largest
    assert drawn(picture).std() > 0.01


def test_roofline() -> None:
    places = {"fwht": [(0.5, 20.0), (2.5, 40.0)], "sgemm": [(90.0, 200.0)]}
    roofs = plotting.Roofline(50.0, 200.0, places)
    picture = plotting.roofline({"1 thread": roofs, "2 threads": roofs}, "Roofs")
    left, right = picture.axes
    roof, fwht, sgemm = left.lines
    (start, low), ridge, (_, peak) = roof.get_xydata()
    assert low == pytest.approx(50.0 * start)
    assert ridge.tolist() == [4.0, 200.0] and peak == 200.0
    np.testing.assert_array_equal(fwht.get_xydata(), [(0.5, 20.0), (2.5, 40.0)])
    assert sgemm.get_color() != fwht.get_color() and right.get_title(loc="left") == "2 threads"
    texts = " ".join(text.get_text() for text in left.texts)
    assert "50 GB/s" in texts and "200 GFLOP/s" in texts
    for x, y in [*fwht.get_xydata(), *sgemm.get_xydata()]:
        assert left.get_xlim()[0] < x < left.get_xlim()[1]
        assert left.get_ylim()[0] < y < left.get_ylim()[1]
    assert drawn(picture).std() > 0.01


def size_labels(picture: Figure) -> tuple[list[str], list[str]]:
    """Return what is written at the ticks that are seen, below and to the left."""
    picture.draw_without_rendering()
    (axes,) = picture.axes
    return tuple(  # type: ignore[return-value]
        [
            tick.label1.get_text()
            for tick in axis.get_major_ticks()
            if min(limits) <= tick.get_loc() <= max(limits)
        ]
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()))
    )


def test_size_error() -> None:
    rounded = [(10_000, 3.0), (20_000, 1.5), (40_000, 0.9)]
    series = {"rounded": rounded, "fine-tuned": [(9_950, 1.05)]}
    picture = plotting.size_error(series, (9_950, 1.05), "Sizes")
    (axes,) = picture.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_title(loc="left") == "Sizes"
    line, other, chosen = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), rounded)
    assert line.get_color() != other.get_color() and chosen.get_marker() == "*"
    assert chosen.get_xydata().tolist() == [[9_950, 1.05]]
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["rounded", "fine-tuned", "chosen: 9,950 bytes, 1.05 %"]
    below, left = size_labels(picture)
    assert below == ["10,000", "15,000", "20,000", "30,000", "40,000"]
    assert left == ["1", "1.5", "2", "3"]
    assert drawn(picture).std() > 0.01


@pytest.mark.parametrize(
    "points",
    [
        [(98, 66.7)],
        [(5_100, 1.02), (5_900, 1.06)],
        [(51_000, 90.0), (52_000, 90.0)],
        [(380_000, 0.92), (1_500_000, 0.9)],
        [(10_000, 90.0), (500_000, 0.1)],
        [(500, 0.0), (900, 0.0)],
        [(500, 12.5), (900, 0.0)],
    ],
)
def test_sizes_and_errors_of_any_range(points: list[tuple[int, float]]) -> None:
    """Some numbers stand at both axes, and every point is seen."""
    picture = plotting.size_error({"rounded": points}, points[-1], "a title " * 20)
    below, left = size_labels(picture)
    for labels in (below, left):
        assert 2 <= len(labels) <= 12 and len(set(labels)) == len(labels)
    assert not any("e" in label for label in below) and not any("\N{MINUS SIGN}" in t for t in left)
    (axes,) = picture.axes
    for size, error in points:
        assert axes.get_xlim()[0] < size < axes.get_xlim()[1]
        assert axes.get_ylim()[0] < error < axes.get_ylim()[1]
    assert axes.get_yscale() == ("log" if all(error for _, error in points) else "linear")
    assert drawn(picture).std() > 0.01


def test_pictures_of_nothing() -> None:
    for picture in (
        plotting.size_error({}, None, ""),
        plotting.curves({}, "", "", "", "floor"),
        plotting.speedup_bars({}, "", "", ""),
        plotting.speedup_bars({"none": []}, "", "", ""),
        plotting.roofline({}, ""),
    ):
        assert drawn(picture).ndim == 3


def test_more_names_than_colours() -> None:
    names = [f"peer {i}" for i in range(10)]
    picture = plotting.speedup_bars(
        {"one": [plotting.Bars("64", dict.fromkeys(names, 2.0), 1.0)]}, "", "", ""
    )
    assert len(picture.axes[0].patches) == 10 and drawn(picture).std() > 0.01
