"""What kernels really read and write, element by element, is what their launches say.

Arrays of the simulator note each access of a kernel. Only large ones are wrapped so, as only they
are counted in a `Launch`: inputs, outputs, masks, and sums that wait for the second kernel.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fastfood_np import draw_fastfood, fwht
from fastfood_np.backends import cuda as backend
from fastfood_np.backends.cuda import hadamard
from fastfood_np.backends.cuda.fastfood import backward, forward
from fastfood_np.backends.cuda.fastfood.plan import backward_plan
from fastfood_np.backends.cuda.launch import Launch

pytestmark = pytest.mark.simulated


class Traffic:
    """Makes arrays that note their accesses, and compares those with what each launch says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
        self.launches: list[Launch] = []
        self._arrays: list[Any] = []
        for module in modules:
            monkeypatch.setattr(module, "run", self._run(module.run))

    def array(self, values: Any) -> Any:
        """Return an array in device memory with these values."""
        from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

        class Noting(FakeCUDAArray):
            """Its views note where they were read and written, as threads append to lists."""

            def __init__(self, array: Any, reads: list[int], writes: list[int]) -> None:
                super().__init__(array)
                self.reads, self.writes = reads, writes

            def reshape(self, *shape: int) -> Any:
                return Noting(self._ary.reshape(*shape), self.reads, self.writes)

            def bind(self, stream: Any = 0) -> Any:
                return self

            def __getitem__(self, index: Any) -> Any:
                self.reads.append(int(index))
                return self._ary[index]

            def __setitem__(self, index: Any, value: Any) -> None:
                self.writes.append(int(index))
                self._ary[index] = value

        self._arrays.append(Noting(np.array(values), [], []))
        return self._arrays[-1]

    def empty(self, shape: Any, dtype: Any, stream: Any = 0) -> Any:
        """Return an array without values, as `arrays.empty` does."""
        return self.array(np.full(shape, np.nan, dtype))

    def _moved(self) -> Any:
        """Return how many bytes kernels have read and written so far."""
        moved = [
            (len(array.reads) * array.itemsize, len(array.writes) * array.itemsize)
            for array in self._arrays
        ]
        return np.sum(moved, axis=0)

    def _run(self, run: Any) -> Any:
        def counted(launch: Launch, *arguments: Any) -> None:
            before = self._moved()
            run(launch, *arguments)
            moved = self._moved() - before
            assert moved.tolist() == [launch.read_bytes, launch.written_bytes]
            self.launches.append(launch)

        return counted


def assert_touched(array: Any, reads: int, writes: int) -> None:
    """Each element was read and written so many times."""
    for touched, times in ((array.reads, reads), (array.writes, writes)):
        counts = np.bincount(touched, minlength=array.size)
        assert counts.size == array.size and (counts == times).all()


# ------------------------------------------------------------------------------ Walsh-Hadamard


@pytest.mark.parametrize(
    ("shape", "dtype", "passes"),
    [
        ((1, 1), "float32", 1),
        ((3, 8), "float32", 1),
        ((40, 16), "float32", 1),  # a whole tile and a part of one
        ((3, 512), "float64", 1),
        ((5, 32), "float16", 1),
        ((1, 2048), "float32", 1),  # exchanged by halves
        ((2, 4096), "float32", 2),
        ((1, 2048), "float64", 2),
    ],
)
def test_fwht(
    shape: tuple[int, int], dtype: str, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic = Traffic(monkeypatch, hadamard)
    x = traffic.array(np.ones(shape, dtype))
    out = traffic.array(np.full(shape, np.nan, dtype))
    fwht(x, out=out)
    assert len(traffic.launches) == passes
    assert_touched(x, reads=1, writes=0)
    assert_touched(out, reads=passes - 1, writes=passes)


@pytest.mark.parametrize(("d", "passes"), [(64, 1), (2048, 2)])
def test_fwht_in_place(d: int, passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    traffic = Traffic(monkeypatch, hadamard)
    x = traffic.array(np.ones((1, d)))
    fwht(x, out=x)
    assert len(traffic.launches) == passes
    assert_touched(x, reads=passes, writes=passes)


# ------------------------------------------------------------------------------------ Fastfood


class Work:
    """The arguments of both passes; `m` rows of `d_in` numbers, and what becomes of them."""

    def __init__(
        self, traffic: Traffic, m: int, d_in: int, n_out: int, dropout: bool, dtype: Any
    ) -> None:
        factors = draw_fastfood(d_in, n_out, rng=0)
        self.blocks, self.d_pad = factors.S.shape
        rng = np.random.default_rng(1)
        self.x = traffic.array(rng.standard_normal((m, d_in)).astype(dtype))
        self.dy = traffic.array(rng.standard_normal((m, n_out)).astype(dtype))
        self.keep = None
        if dropout:
            self.keep = traffic.array(rng.random((m, self.blocks, self.d_pad)) < 0.5)
        self.parameters = factors.to_device(dtype)
        self.phase = backend.arrays.to_device(np.zeros(n_out, dtype))


@pytest.mark.parametrize(
    ("m", "d_in", "n_out", "options"),
    [
        (3, 5, 8, {}),  # short rows, padded, in part of a tile
        (70, 8, 5, {}),  # in more than a tile, and cut
        (3, 5, 21, {}),  # three stacked blocks, the last one cut
        (3, 8, 16, {"nonlinearity": "cos_sin"}),
        (3, 8, 13, {"nonlinearity": "cos"}),
        (3, 5, 13, {"dropout": True}),
        (3, 512, 512, {}),  # two rows a thread block
        (1, 300, 512, {"dtype": np.float64}),
    ],
    ids=str,
)
def test_forward(
    m: int, d_in: int, n_out: int, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    dtype, dropout = options.get("dtype", np.float32), options.get("dropout", False)
    nonlinearity = options.get("nonlinearity", "none")
    traffic = Traffic(monkeypatch, forward)
    has = Work(traffic, m, d_in, n_out, dropout, dtype)
    y = traffic.empty((m, n_out * (2 if nonlinearity == "cos_sin" else 1)), dtype)
    phase = has.phase if nonlinearity == "cos" else None
    backend.fastfood_forward(
        has.x, *has.parameters, 0.5, has.keep, 2.0, nonlinearity, phase, 1.0, y
    )
    assert len(traffic.launches) == 1
    assert_touched(has.x, reads=1, writes=0)
    assert_touched(y, reads=0, writes=1)
    if has.keep is not None:
        assert_touched(has.keep, reads=1, writes=0)


class Way:
    """The way back through the factors, and what is written on it."""

    def __init__(self, traffic: Traffic, has: Work, need_dx: bool = True) -> None:
        shape, dtype = (has.blocks, has.d_pad), has.x.dtype
        self.dx = traffic.empty(has.x.shape, dtype) if need_dx else None
        self.gradients = [traffic.empty(shape, dtype) for _ in range(3)]
        self.partial = traffic.empty(backend.fastfood_scratch(has.x.shape[0], shape, dtype), dtype)
        backend.fastfood_backward(
            has.x,
            has.dy,
            *has.parameters,
            0.5,
            has.keep,
            2.0,
            self.dx,
            *self.gradients,
            self.partial,
        )


@pytest.mark.parametrize("need_dx", [True, False])
@pytest.mark.parametrize(
    ("m", "d_in", "n_out", "dropout", "dtype"),
    [
        (3, 5, 8, False, np.float32),
        (40, 8, 21, False, np.float32),  # more than a tile of rows, stacked and cut
        (3, 5, 13, True, np.float32),
        (3, 5, 13, False, np.float64),
        (2, 128, 128, False, np.float32),
    ],
)
def test_backward(
    m: int,
    d_in: int,
    n_out: int,
    dropout: bool,
    dtype: Any,
    need_dx: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traffic = Traffic(monkeypatch, backward)
    has = Work(traffic, m, d_in, n_out, dropout, dtype)
    way = Way(traffic, has, need_dx)
    assert len(traffic.launches) == 2
    times = (
        2
        if backward.reads_x_twice(
            backward_plan(has.d_pad.bit_length() - 1, has.x.itemsize), dtype, dropout
        )
        else 1
    )
    assert_touched(has.x, reads=times * has.blocks, writes=0)
    assert_touched(has.dy, reads=1, writes=0)
    if way.dx is not None:  # stacked blocks are added up there
        assert_touched(way.dx, reads=has.blocks - 1, writes=has.blocks)
    if has.keep is not None:
        assert_touched(has.keep, reads=1, writes=0)
    assert_touched(way.partial, reads=1, writes=1)
    for gradient in way.gradients:
        assert_touched(gradient, reads=0, writes=1)


def test_chunks_go_through_several_groups_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer thread blocks than groups of rows, partial sums shrink and the rest stays."""
    plan = backward_plan(3, 4)
    monkeypatch.setattr(backward, "CHUNK_THREADS", 2 * plan.schedule.threads)
    traffic = Traffic(monkeypatch, backward)
    has = Work(traffic, 4 * plan.rows + 1, 8, 8, False, np.float32)
    way = Way(traffic, has)
    assert [launch.grid for launch in traffic.launches] == [2, (1, 3)]
    assert_touched(has.x, reads=1, writes=0)
    assert_touched(has.dy, reads=1, writes=0)
    assert_touched(way.dx, reads=0, writes=1)
    assert_touched(way.partial, reads=1, writes=1)
