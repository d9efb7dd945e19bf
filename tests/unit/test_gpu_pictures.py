"""Pictures of what was measured on a GPU: which rows become which curves."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from fastfood_np.experiments.benchmark_pictures import pictures

COPY = "the fastest copy of the same bytes"


def row(what: str, d: int, ours: str, **others: float) -> dict[str, Any]:
    """Return a row in which ours takes 2 ps an element, one copy 1 and the other 1.5."""
    picoseconds = {ours: 2.0, "copy by A": 1.5, "copy by B": 1.0, **others}
    return {
        "what": what,
        "dtype": "float32",
        "d": d,
        "copy": "copy by B",
        "contenders": {name: {"ns_per_element": 1e-3 * ps} for name, ps in picoseconds.items()},
        "speedups": {name: ps / 2 for name, ps in others.items()},
    }


def drawn(*rows: dict[str, Any]) -> dict[str, Figure]:
    machine = {"gpu": {"name": "A Graphics Card"}}
    failed = {"what": "fwht", "dtype": "float32", "not_measured": "why"}
    return dict(pictures({"gpu": {"machine": machine, "rows": [failed, *rows]}}))


def curves(figure: Figure, panel: int = 0) -> dict[str, Any]:
    return {line.get_label(): line.get_xydata().tolist() for line in figure.axes[panel].lines}


def test_fwht_stands_against_the_fastest_copy() -> None:
    figures = drawn(*(row("fwht", d, "fwht") for d in (64, 4096, 1 << 20)))
    assert list(figures) == ["gpu-fwht-times"]
    picture = figures["gpu-fwht-times"]
    assert curves(picture) == {"fwht": [[64, 2], [4096, 2]], COPY: [[64, 1], [4096, 1]]}
    assert curves(picture, 1) == {"fwht": [[1 << 20, 2]], COPY: [[1 << 20, 1]]}
    assert "A Graphics Card" in picture.get_suptitle()


def test_fastfood_stands_against_dense_products() -> None:
    rows = [row(what, 64, "fastfood", tf32=6.0) for what in ("forward", "backward")]
    figures = drawn(*rows)
    assert list(figures) == ["gpu-fastfood-times", "gpu-fastfood-speedups"]
    assert curves(figures["gpu-fastfood-times"]) == {
        "fused Fastfood": [[64, 2]],
        COPY: [[64, 1]],
        "tf32": [[64, 6]],
    }
    for panel in range(2):
        assert curves(figures["gpu-fastfood-speedups"], panel) == {
            "cuBLAS, tf32": [[64, 3]],
            "as fast as ours": [[64, 1]],
        }


def test_without_dense_products_there_is_no_picture_of_them() -> None:
    assert list(drawn(row("forward", 64, "fastfood"))) == ["gpu-fastfood-times"]


def test_nothing_measured_is_nothing_drawn() -> None:
    assert drawn() == {}
