"""The training loop: its bits, its random streams, stopping and going on, what it refuses."""

import copy
import gc
import math
import os
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from fastfood_np import backends, layers, models
from fastfood_np.backends.cpu import jit
from fastfood_np.datasets import load
from fastfood_np.layers import (
    ConvPool2D,
    Dense,
    Diagonal,
    Dropout,
    Fastfood,
    Flatten,
    ReLU,
    Sequential,
    SoftmaxCrossEntropy,
)
from fastfood_np.training import (
    SGD,
    Constant,
    Cosine,
    InverseDecay,
    Trainer,
    TrainingDivergedError,
)
from fastfood_np.training.augment import random_affine
from fastfood_np.training.shards import ShardRunner, shard_bounds
from fastfood_np.training.trainer import epoch_order

CLASSES = 3
BACKEND = "reference" if jit.disabled() else "cpu"  # where plain Python loops are too slow


def small_net(dtype=np.float32):
    rng = np.random.default_rng(2)
    return Sequential(
        [
            ("conv", ConvPool2D(1, 2, 3, 2, rng=rng, dtype=dtype)),
            ("flatten", Flatten()),
            ("before", Dropout(0.2)),
            ("fastfood", Fastfood(8, 12, dropout=0.3, rng=rng, dtype=dtype)),
            ("relu", ReLU()),
            ("dropout", Dropout(0.4)),
            ("dense", Dense(12, CLASSES, rng=rng, dtype=dtype)),
        ]
    )


def data(n=22):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 1, 6, 6), dtype=np.uint8), rng.integers(0, CLASSES, n)


def trainer(model=None, *, rate=0.1, batch=8, seed=4, threads=1, augment=None, **options):
    model = small_net() if model is None else model
    optimizer = SGD(model.params, model.trainable, clip_norm=2.0, **options)
    return Trainer(
        model,
        optimizer,
        Cosine(rate, steps=50),
        batch=batch,
        seed=seed,
        threads=threads,
        augment=augment,
    )


def result(run):
    """Everything a run leaves, as something that `==` compares bit for bit."""
    params = {name: value.tobytes() for name, value in run.optimizer.params.items()}
    velocities = {name: value.tobytes() for name, value in run.optimizer.velocities.items()}
    return params, velocities, run.state.step, run.state.losses


def undisturbed(steps=7, **options):
    run = trainer(**options)
    assert run.fit(*data(), steps)
    return result(run)


# ------------------------------------------------------------------------------ the same bits


@pytest.mark.parametrize("augment", [None, random_affine])
@pytest.mark.parametrize("threads", [2, 3, 4, 7, None])
def test_threads_change_no_bit(threads, augment):
    assert undisturbed(threads=threads, augment=augment) == undisturbed(augment=augment)


def test_every_part_of_the_result_can_differ():
    """Another seed, rate or batch shows in params, velocities and losses."""
    ours = undisturbed()
    for options in ({"seed": 5}, {"rate": 0.11}, {"batch": 7}, {"augment": random_affine}):
        theirs = undisturbed(**options)
        assert ours[0] != theirs[0] and ours[1] != theirs[1] and ours[3] != theirs[3]


def test_a_seed_fixes_every_bit():
    assert undisturbed() == undisturbed()


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_going_on_after_a_stop(stop):
    """Within an epoch (3 steps each), at its end, and just after it."""
    run = trainer()
    seen = []

    def stopping(state):
        seen.append(state.step)
        return state.step == stop

    assert run.fit(*data(), 7, on_step=stopping) is False
    assert (run.state.step, seen) == (stop, list(range(1, stop + 1)))
    assert run.fit(*data(), 7, on_step=lambda state: False) is True
    assert result(run) == undisturbed()


def test_going_on_in_another_trainer():
    """Params, velocities and state are all that has to be carried over."""
    first, second = trainer(), trainer(threads=4)
    first.fit(*data(), 4)
    for mine, theirs in (
        (second.optimizer.params, first.optimizer.params),
        (second.optimizer.velocities, first.optimizer.velocities),
    ):
        for name in mine:
            mine[name][...] = theirs[name]
    second.state = copy.deepcopy(first.state)
    second.fit(*data(), 7)
    assert result(second) == undisturbed()


def test_steps_already_done():
    run = trainer()
    run.fit(*data(), 4)
    before = result(run)
    assert run.fit(*data(), 4) is True and run.fit(*data(), 0) is True
    assert result(run) == before


def test_on_step_stopping_at_the_last_step():
    assert trainer().fit(*data(), 2, on_step=lambda state: state.step == 2) is True


# ---------------------------------------------------------------- batches and random streams


class Batches:
    """In the place of augmentation: notes the rows of every shard and what it may draw from."""

    def __init__(self):
        self.rows, self.states = [], []

    def __call__(self, images, rng):
        self.rows.append(images[:, 0, 0, 0].astype(int))
        self.states.append(rng.bit_generator.state)
        return images


def numbered(n):
    """Images that carry their row number."""
    return np.broadcast_to(np.arange(n)[:, None, None, None], (n, 1, 6, 6)).astype(np.uint8)


@pytest.mark.parametrize(("n", "batch"), [(22, 8), (16, 8), (5, 8), (9, 1)])
def test_order_and_sizes_of_batches(n, batch):
    """An epoch visits every row once, in the order of its own stream; its last batch is smaller."""
    noted = Batches()
    run = trainer(batch=batch, seed=6, augment=noted)
    per_epoch = math.ceil(n / batch)
    assert run.steps_per_epoch(n) == per_epoch
    run.fit(numbered(n), data(n)[1], 2 * per_epoch)
    sizes = [min(batch, n - first) for first in range(0, n, batch)] * 2
    expected = []
    for epoch in range(2):
        order = np.random.default_rng((1, 6, epoch, 0)).permutation(n)
        np.testing.assert_array_equal(epoch_order(n, 6, epoch), order)
        for first in range(0, n, batch):
            parts = np.array_split(order[first : first + batch], 4)
            expected += [part for part in parts if len(part)]
    assert len(noted.rows) == len(expected)
    for ours, theirs in zip(noted.rows, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert sum(map(len, noted.rows)) == sum(sizes) == 2 * n


def test_streams_of_the_shards():
    """Shard k of step s draws from default_rng((2, seed, s, k)), first of all augmentation."""
    noted = Batches()
    trainer(batch=8, seed=6, augment=noted).fit(numbered(16), data(16)[1], 3)
    expected = [(2, 6, step, shard) for step in range(3) for shard in range(4)]
    assert len(noted.states) == len(expected)
    for state, seed in zip(noted.states, expected, strict=True):
        assert state == np.random.default_rng(seed).bit_generator.state


def test_masks_of_the_shards(monkeypatch):
    """The first dropout of a shard takes its stream's first draws, on any number of threads."""
    masks = {}
    draw = layers.dropout.draw_mask

    def noting(rng, shape, rate):
        mask = draw(rng, shape, rate)
        masks[mask.tobytes(), shape] = True
        return mask

    monkeypatch.setattr(layers.dropout, "draw_mask", noting)
    rng = np.random.default_rng(0)
    model = Sequential(
        [("dropout", Dropout(0.25)), ("dense", Dense(6, CLASSES, rng=1, dtype=np.float64))]
    )
    run = trainer(model, batch=10, seed=3, threads=4)
    run.fit(rng.standard_normal((20, 6)), rng.integers(0, CLASSES, 20), 2)
    expected = {}
    for step in range(2):
        for shard, rows in enumerate((3, 3, 2, 2)):
            stream = np.random.default_rng((2, 3, step, shard))
            mask = stream.integers(0, 65536, (rows, 6), dtype=np.uint16) >= 16384
            expected[mask.tobytes(), (rows, 6)] = True
    assert masks == expected


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5, 6, 7, 8, 63, 64])
def test_shard_bounds(rows):
    sizes = [len(part) for part in np.array_split(np.arange(rows), 4) if len(part)]
    bounds = shard_bounds(rows)
    assert [stop - start for start, stop in bounds] == sizes
    assert [start for start, _ in bounds] == [0, *np.cumsum(sizes)][: len(sizes)]
    assert all(stop == start for (_, stop), (start, _) in pairwise(bounds))


@pytest.mark.parametrize("threads", [1, 3])
def test_shards_run_serially_and_hand_back_in_order(threads):
    def task(shard, start, stop):
        return shard, start, stop, jit.teams(1 << 30) > 1, backends.select().__name__

    with backends.using("reference"), ShardRunner(threads) as shards:
        answers = shards.run(task, 6)
        cpu_answers = []
        with backends.using("cpu"):
            cpu_answers = shards.run(task, 6)
    assert [answer[:3] for answer in answers] == [(0, 0, 2), (1, 2, 4), (2, 4, 5), (3, 5, 6)]
    assert {answer[4] for answer in answers} == {"fastfood_np.backends.reference"}
    assert {answer[3:] for answer in cpu_answers} == {(False, "fastfood_np.backends.cpu")}


@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_in_a_shard_reaches_the_caller(threads):
    def task(shard, start, stop):
        if shard == 2:
            raise KeyError("here")

    with ShardRunner(threads) as shards, pytest.raises(KeyError, match="here"):
        shards.run(task, 8)


# -------------------------------------------------------------------------- what a step computes


def linear_run(**options):
    """Softmax regression, which has nothing random."""
    model = Sequential([("dense", Dense(6, CLASSES, rng=1, dtype=np.float64))])
    return trainer(model, **options)


def test_a_step_is_the_mean_gradient_and_caffes_update():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((10, 6)), rng.integers(0, CLASSES, 10)
    run = linear_run(batch=10, rate=0.3, weight_decay=0.1, rate_multipliers={"dense.b": 2.0})
    W, b = (run.model.params[name].copy() for name in ("dense.W", "dense.b"))
    vW, vb = np.zeros_like(W), np.zeros_like(b)
    for step in range(3):
        logits = x @ W.T + b
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(10), labels]).mean()
        p[np.arange(10), labels] -= 1
        gW, gb = p.T @ x / 10, p.mean(axis=0)
        assert np.hypot(np.linalg.norm(gW), np.linalg.norm(gb)) < 2.0  # not clipped
        rate = run.schedule(step)
        vW = 0.9 * vW + rate * (gW + 0.1 * W)
        vb = 0.9 * vb + 2 * rate * (gb + 0.1 * b)
        W, b = W - vW, b - vb
        run.fit(x, labels, step + 1)
        assert run.state.losses[step] == pytest.approx(loss, rel=1e-13)
        np.testing.assert_allclose(run.model.params["dense.W"], W, rtol=0, atol=1e-13)
        np.testing.assert_allclose(run.model.params["dense.b"], b, rtol=0, atol=1e-13)


def test_bytes_are_scaled_by_256():
    images, labels = data()
    bytes_run, floats_run = trainer(), trainer()
    bytes_run.fit(images, labels, 4)
    floats_run.fit((images / 256).astype(np.float32), labels, 4)
    assert result(bytes_run) == result(floats_run)


def test_it_learns():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 60)
    x = 3 * np.eye(CLASSES, 6)[labels] + rng.standard_normal((60, 6))
    run = linear_run(batch=20)
    run.fit(x, labels, 40)
    assert np.mean(run.state.losses[-3:]) < 0.3 * run.state.losses[0]
    assert len(run.state.losses) == 40 and run.state.seconds > 0


def test_data_are_never_written():
    images, labels = data()
    for array in (images, labels):
        array.flags.writeable = False
    assert trainer().fit(images, labels, 4)


# ------------------------------------------------------------------------------- divergence


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("threads", [1, 4])
def test_a_loss_that_is_not_finite_stops_before_the_update(value, threads):
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((20, 6)), rng.integers(0, CLASSES, 20)
    run = linear_run(batch=4, seed=1, threads=threads)
    bad = 3  # the step that meets the bad row
    x[epoch_order(20, 1, 0)[4 * bad + 2]] = value
    kept = {}

    def keep(state):
        kept["result"] = copy.deepcopy(result(run))
        return False

    message = f"the loss is nan at step {bad}"
    with np.errstate(invalid="ignore"), pytest.raises(TrainingDivergedError, match=message):
        run.fit(x, labels, 10, on_step=keep)
    assert run.state.step == bad == len(run.state.losses)
    assert result(run) == kept["result"]


def test_divergence_is_an_arithmetic_error():
    assert issubclass(TrainingDivergedError, ArithmeticError)


# ---------------------------------------------------------------------------------- memory


def memory_run():
    rng = np.random.default_rng(0)
    model = Sequential(
        [
            ("conv1", ConvPool2D(1, 3, 3, 2, relu=True, rng=1)),
            ("conv2", ConvPool2D(3, 8, 2, 2, rng=1)),
            ("flatten", Flatten()),
            ("dropout", Dropout(0.2)),
            ("fastfood", Fastfood(32, 64, dropout=0.1, rng=1)),
            ("relu", ReLU()),
            ("dense", Dense(64, CLASSES, rng=1)),
        ]
    )
    x = rng.standard_normal((90, 1, 12, 12)).astype(np.float32)
    return trainer(model, batch=64, threads=2), x, rng.integers(0, CLASSES, 90)


def test_arrays_do_not_pile_up():
    """A shard's y alone is 4 KiB: one array kept per step would show."""
    run, x, labels = memory_run()
    with backends.using(BACKEND):
        run.fit(x, labels, 6)
        tracemalloc.start()
        try:
            run.fit(x, labels, 12)
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            run.fit(x, labels, 42)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert after - before < 64 * 1024


@pytest.mark.skipif(jit.disabled(), reason="compiled kernels' own memory")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_of_kernels_does_not_pile_up():
    """What tracemalloc does not see; 900 steps at one 4 KiB array each would be 3.5 MiB."""

    def resident():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    run, x, labels = memory_run()
    run.fit(x, labels, 100)
    gc.collect()
    before = resident()
    run.fit(x, labels, 1000)
    gc.collect()
    assert resident() - before < 1 << 20


# ------------------------------------------------------------------------------ wrong calls


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (data(6)[0], data(5)[1], ValueError, r"labels must have shape \(6,\), got \(5,\)"),
        (data(6)[0], data(6)[1].astype(float), TypeError, "labels must be an integer array"),
        (data(6)[0], [0] * 6, TypeError, "labels must be an integer array, got list"),
        (data(6)[0], np.arange(6) % 3 - 1, ValueError, r"labels must lie in 0\.\."),
        (data(6)[0], np.arange(6) % 3 + 1, ValueError, r"labels must lie in 0\.\.2, got 1 to 3"),
        (data(0)[0], data(0)[1], ValueError, "images must hold at least one row"),
        (data(6)[0][:, 0], data(6)[1], ValueError, "x must have shape"),
        (data(6)[0] / 256, data(6)[1], TypeError, "float32, got float64"),
    ],
)
def test_images_and_labels_that_do_not_fit(images, labels, error, message):
    run = trainer()
    before = result(run)
    with pytest.raises(error, match=message):
        run.fit(images, labels, 3)
    assert result(run) == before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch": 0}, ValueError, "batch must be at least 1, got 0"),
        ({"batch": 8.0}, TypeError, "batch must be an integer, got 8.0"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": None}, TypeError, "seed must be an integer, got None"),
    ],
)
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message):
        trainer(**options)


@pytest.mark.parametrize("steps", [-1, 2.0])
def test_wrong_steps(steps):
    with pytest.raises((TypeError, ValueError), match="steps must be"):
        trainer().fit(*data(), steps)


@pytest.mark.parametrize("threads", [-1, 1.5, 0])
def test_wrong_threads(threads):
    with pytest.raises((TypeError, ValueError), match="threads must be"):
        trainer(threads=threads).fit(*data(), 1)


def test_a_layer_that_is_no_chain_can_be_trained():
    model = Diagonal(CLASSES, dtype=np.float64)
    run = Trainer(model, SGD(model.params, model.trainable), Constant(0.1), batch=4)
    rng = np.random.default_rng(0)
    assert run.fit(rng.standard_normal((8, CLASSES)), rng.integers(0, CLASSES, 8), 2)
    assert (model.params["D"] != 1).all()


# ------------------------------------------------------------------------------- against PyTorch


class TorchLeNet:
    """The same net, loss and update, from PyTorch's operations and its own gradients."""

    def __init__(self, torch, net):
        self.torch = torch
        self.params = {
            name: torch.tensor(value, requires_grad=True) for name, value in net.params.items()
        }
        self.velocities = {name: torch.zeros_like(value) for name, value in self.params.items()}

    def loss(self, images, labels):
        F, p = self.torch.nn.functional, self.params
        h = self.torch.tensor(images.astype(np.float32) / 256)
        for name in ("conv1", "conv2"):
            h = F.max_pool2d(F.conv2d(h, p[f"{name}.W"], p[f"{name}.b"]), 2)
        h = F.relu(F.linear(h.flatten(1), p["ip1.W"], p["ip1.b"]))
        logits = F.linear(h, p["ip2.W"], p["ip2.b"])
        return F.cross_entropy(logits, self.torch.tensor(labels))

    def step(self, images, labels, rate):
        loss = self.loss(images, labels)
        grads = self.torch.autograd.grad(loss, list(self.params.values()))
        with self.torch.no_grad():
            for (name, w), g in zip(self.params.items(), grads, strict=True):
                own_rate = rate * (2 if name.endswith(".b") else 1)
                self.velocities[name] = 0.9 * self.velocities[name] + own_rate * (g + 5e-4 * w)
                w -= self.velocities[name]
        return loss.item()


@pytest.fixture
def torch_lenet():
    torch = pytest.importorskip("torch", reason="needs the extra torch")
    net = models.lenet(rng=0)
    return net, TorchLeNet(torch, net)


@pytest.mark.torch
def test_ten_steps_of_lenet_equal_pytorchs(torch_lenet):
    net, theirs = torch_lenet
    dataset, schedule = load("sample"), InverseDecay(0.01)
    images, labels = dataset.train_images, dataset.train_labels
    optimizer = SGD(net.params, net.trainable, rate_multipliers=models.rate_multipliers(net))
    run = Trainer(net, optimizer, schedule, batch=64, seed=0)
    with backends.using(BACKEND):
        run.fit(images, labels, 10)
    order = epoch_order(len(images), 0, 0)
    expected = []
    for step in range(10):
        rows = order[64 * step : 64 * (step + 1)]
        expected.append(theirs.step(images[rows], labels[rows], schedule(step)))
    np.testing.assert_allclose(run.state.losses, expected, rtol=0, atol=1e-4)
    assert expected[-1] < expected[0]  # ten steps of training, not of standing still


@pytest.mark.torch
def test_first_gradients_of_lenet_equal_pytorchs(torch_lenet):
    net, theirs = torch_lenet
    dataset, ce = load("sample"), SoftmaxCrossEntropy()
    images, labels = dataset.train_images[:64], dataset.train_labels[:64]
    with backends.using(BACKEND):
        logits, cache = net.forward(images.astype(np.float32) / 256, train=True)
        loss, loss_cache = ce.forward(logits, labels)
        _, grads = net.backward(ce.backward(loss_cache), cache, need_dx=False)
    their_loss = theirs.loss(images, labels)
    their_grads = theirs.torch.autograd.grad(their_loss, list(theirs.params.values()))
    assert loss == pytest.approx(their_loss.item(), abs=1e-5)
    for name, gradient in zip(theirs.params, their_grads, strict=True):
        expected = gradient.numpy()
        np.testing.assert_allclose(
            grads[name], expected, rtol=0, atol=1e-4 * np.abs(expected).max(), err_msg=name
        )


# ------------------------------------------------------------------------------------ BLAS


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_overlapping_runners_leave_blas_as_it_was():
    """Whoever comes first and leaves first: one thread while any is open, all after the last."""
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        first, second = ShardRunner(1), ShardRunner(1)
        first.__enter__()
        second.__enter__()
        first.__exit__()
        assert set(blas_threads()) == {1}
        second.__exit__()
        assert blas_threads() == before
