"""The benchmark of quantised layers runs small, and refuses a layer that computes wrongly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench_quantized import AIMED_AT, BATCHES, SETTINGS, SIZE, SMALL_SIZE, thread_counts
from benchmark_runs import VERDICT, compiled, draws, rows_of, run
from fastfood_work import check_all
from harness import WrongResultError
from quantized_work import QuantizedWork

pytestmark = compiled


def test_bench_quantized(tmp_path: Path) -> None:
    printed = run("bench_quantized.py", "--json", tmp_path / "quantized.json")
    assert "targets met" in printed and "threads: Numba 1" in printed
    rows = rows_of(tmp_path / "quantized.json")
    assert rows.keys() == {"forward", "memory"}
    expected = [
        (setting, m, count) for setting in SETTINGS for m in BATCHES for count in thread_counts()
    ]
    for (setting, m, count), row in zip(expected, rows["forward"], strict=True):
        assert (row["m"], row["threads"], row["d"], row["n"]) == (m, count, *SMALL_SIZE)
        assert vars(setting).items() <= row.items() and row.keys() >= VERDICT
        assert list(row["contenders"]) == ["quantized", "dense", "floor"]
        assert row["value"] == row["speedups"]["dense"] and row["over_floor"] > 0
        assert row["target"] == (4.0 if (setting, m) == (AIMED_AT, 1) else None)
    for setting, row in zip(SETTINGS, rows["memory"], strict=True):
        assert vars(setting).items() <= row.items()
        assert row["value"] == row["dense_bytes"] / row["bytes"]
        assert row["target"] == (40.0 if setting == AIMED_AT else None)
    assert draws(tmp_path, "quantized") == ["quantized-speedups.png"]


def test_what_is_measured() -> None:
    """Bytes of the layer that is aimed at, by hand: half a byte a code, 64 a centroid and run."""
    d, n = SIZE
    assert (d, n) == (9216, 4096) and 1 in BATCHES
    runs = d // AIMED_AT.length
    held = runs * n // 2 + runs * AIMED_AT.n_centroids * AIMED_AT.length * 4
    assert 4 * d * n / held == pytest.approx(51.2)


@pytest.mark.parametrize("m", [1, 3, 20])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_right_and_wrong_layers(setting, m) -> None:
    work = QuantizedWork(48, 70, setting)
    batch = work.batch(m)
    entries = {"quantized": batch.quantized(), "dense": batch.dense()}
    assert max(check_all(entries, "small").values()) < 1e-6
    work.layer.set_codes(np.roll(work.layer.codes, 1, axis=0))
    with pytest.raises(WrongResultError, match=r"quantized, wrong: y: off by"):
        check_all(entries, "wrong")
