"""What the package finds out about the processor."""

import pytest

from fastfood_np.backends.cpu import hadamard, host


def write_cache(folder, index, level, size):
    cache = folder / f"index{index}"
    cache.mkdir(parents=True)
    (cache / "level").write_text(f"{level}\n")
    (cache / "size").write_text(f"{size}\n")


def test_second_cache_is_the_one_of_level_2(tmp_path, monkeypatch):
    for index, (level, size) in enumerate([(1, "48K"), (1, "64K"), (2, "2048K"), (3, "491520K")]):
        write_cache(tmp_path, index, level, size)
    monkeypatch.setattr(host, "CACHES", tmp_path)
    assert host.second_cache() == 2048 << 10
    assert host.description()["second cache"] == "2048 KiB"


@pytest.mark.parametrize("size", [None, "", "?", "2M"])
def test_second_cache_where_the_system_does_not_tell(tmp_path, monkeypatch, size):
    if size is not None:
        write_cache(tmp_path, 0, 2, size)
    monkeypatch.setattr(host, "CACHES", tmp_path / "cpu0" if size is None else tmp_path)
    assert host.second_cache() == host.USUAL_SECOND_CACHE


def test_blocks_of_the_transform_fit_into_the_caches():
    assert hadamard.MIDDLE.bit_count() == hadamard.NEAR.bit_count() == 1
    assert hadamard.NEAR < hadamard.MIDDLE <= max(2 * hadamard.NEAR, host.second_cache() // 2)
