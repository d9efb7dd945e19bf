"""Fine-tuning through quantisers: levels in the model, gradients for the copies behind them."""

import numpy as np
import pytest
from small_runs import BACKEND

from fastfood_np import backends
from fastfood_np.compression import LloydMax, Uniform
from fastfood_np.layers import Dense, Fastfood, ReLU, Sequential
from fastfood_np.models import deep_fried_lenet
from fastfood_np.training import SGD, Trainer
from fastfood_np.training.checkpoint import load_checkpoint, save_checkpoint
from fastfood_np.training.straight_through import StraightThroughSGD

OPTIONS = {
    "momentum": 0.9,
    "weight_decay": 1e-3,
    "clip_norm": 5.0,
    "rate_multipliers": {"ip.b": 2.0},
    "decay_multipliers": {"ip.b": 0.0},
}


@pytest.fixture(autouse=True)
def quick():
    with backends.using(BACKEND):
        yield


def net(dtype=np.float32):
    return Sequential(
        [
            ("fastfood", Fastfood(6, 16, rng=0, dtype=dtype)),
            ("relu", ReLU()),
            ("ip", Dense(16, 3, rng=1, dtype=dtype)),
        ]
    )


def quantizers(model, kind, names, bits=3):
    return {name: kind(bits).fit(model.params[name]) for name in names}


def gradients(model, seed):
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(model.params[name].shape).astype(model.dtype)
        for name in model.trainable
    }


def copied(arrays):
    return {name: array.copy() for name, array in arrays.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [LloydMax, Uniform])
def test_params_are_levels_and_copies_move_as_with_sgd(kind, dtype):
    model, usual = net(dtype), net(dtype)
    names = ("fastfood.S", "ip.W", "ip.b")
    usual.params["ip.b"][:] = model.params["ip.b"][:] = (0.5, -1, 0.25)
    chosen = quantizers(model, kind, names)
    optimizer = StraightThroughSGD(model.params, model.trainable, chosen, **OPTIONS)
    plain = SGD(usual.params, usual.trainable, **OPTIONS)
    twins = quantizers(usual, kind, names)
    for step in range(6):
        for name, quantizer in chosen.items():
            w, copy = model.params[name], optimizer.params[name]
            assert copy is not w and not np.shares_memory(copy, w)
            np.testing.assert_array_equal(w, quantizer.decode(quantizer.encode(copy), dtype))
            np.testing.assert_array_equal(quantizer.encode(w), quantizer.encode(copy))
            # The quantisers have followed the copies, and nothing else.
            np.testing.assert_array_equal(quantizer.multiples, twins[name].multiples)
            assert quantizer.scale == twins[name].scale
        for name in model.trainable:
            np.testing.assert_array_equal(optimizer.params[name], usual.params[name])
            if name not in chosen:
                assert optimizer.params[name] is model.params[name]
        for each, of in ((optimizer, model), (plain, usual)):
            each.step(gradients(of, step), 0.1)
        for name, twin in twins.items():
            twin.refine(usual.params[name])
    assert (
        kind is Uniform
        or (chosen["ip.W"].multiples != LloydMax(3).fit(net(dtype).params["ip.W"]).multiples).any()
    )


def test_without_quantizers_it_is_sgd():
    models = net(), net()
    one = StraightThroughSGD(models[0].params, models[0].trainable, {}, **OPTIONS)
    other = SGD(models[1].params, models[1].trainable, **OPTIONS)
    for step in range(3):
        one.step(gradients(models[0], step), 0.1)
        other.step(gradients(models[1], step), 0.1)
    for name, w in models[0].params.items():
        assert w.tobytes() == models[1].params[name].tobytes()
        assert one.params[name] is w


def test_a_gradient_that_is_not_finite_changes_nothing():
    model = net()
    chosen = quantizers(model, LloydMax, ("ip.W",))
    optimizer = StraightThroughSGD(model.params, model.trainable, chosen)
    before = copied(model.params), copied(optimizer.params), chosen["ip.W"].multiples.copy()
    grads = gradients(model, 0)
    grads["ip.W"][0, 0] = np.inf
    with pytest.raises(FloatingPointError):
        optimizer.step(grads, 0.1)
    for arrays, kept in zip((model.params, optimizer.params), before, strict=False):
        for name, w in kept.items():
            np.testing.assert_array_equal(arrays[name], w)
    np.testing.assert_array_equal(chosen["ip.W"].multiples, before[2])


def trained(threads, steps=4, kind=LloydMax, path=None):
    """Train some steps, from those of a checkpoint on if there is one."""
    model = deep_fried_lenet(16, channels=(2, 2), dropout=0.3, rng=0)
    chosen = quantizers(model, kind, ("conv1.W", "conv2.W", "ip2.W"))
    chosen |= quantizers(model, Uniform, ("fastfood.S", "ip2.b"))
    optimizer = StraightThroughSGD(model.params, model.trainable, chosen)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 1, 28, 28), np.uint8)
    trainer = Trainer(model, optimizer, lambda step: 0.01, batch=8, threads=threads)
    if path is not None:
        load_checkpoint(path, trainer)
        optimizer.quantize()
    trainer.fit(images, rng.integers(0, 10, 24), steps)
    return model, optimizer, chosen, trainer


def test_threads_change_no_bit():
    one, several = trained(1), trained(4)
    assert one[3].state.losses == several[3].state.losses
    for owner, other in zip(one[:2], several[:2], strict=True):  # the model, and the copies
        for name, w in owner.params.items():
            assert w.tobytes() == other.params[name].tobytes()


def test_a_checkpoint_of_quantizers_that_stay(tmp_path):
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, trained(1, steps=2, kind=Uniform)[3])
    model, optimizer, _, trainer = trained(1, kind=Uniform, path=path)
    whole = trained(1, kind=Uniform)
    assert trainer.state.losses == whole[3].state.losses
    for owner, other in ((model, whole[0]), (optimizer, whole[1])):
        for name, w in owner.params.items():
            assert w.tobytes() == other.params[name].tobytes()


def test_a_network_learns_with_its_weights_at_levels():
    model, optimizer, chosen, _ = trained(2)
    start = deep_fried_lenet(16, channels=(2, 2), dropout=0.3, rng=0)
    for name, quantizer in chosen.items():
        w = model.params[name]
        assert len(np.unique(w)) <= 8
        np.testing.assert_array_equal(quantizer.decode(quantizer.encode(w), w.dtype), w)
        assert not np.array_equal(optimizer.params[name], start.params[name])


@pytest.mark.parametrize(
    ("names", "saying"),
    [
        (("ip.V",), r"quantizers must name trained params \(fastfood.S, .*ip.b\), got 'ip.V'"),
        (("W",), "quantizers must name trained params .*, got 'W'"),
    ],
)
def test_unknown_names(names, saying):
    model = net()
    before = copied(model.params)
    with pytest.raises(ValueError, match=saying):
        StraightThroughSGD(model.params, model.trainable, {name: Uniform(2) for name in names})
    for name, w in before.items():
        np.testing.assert_array_equal(model.params[name], w)


def test_a_param_that_is_not_trained():
    layer = Fastfood(4, 4, adaptive=False, rng=0)
    with pytest.raises(ValueError, match=r"quantizers must name trained params \(\), got 'S'"):
        StraightThroughSGD(layer.params, layer.trainable, quantizers(layer, Uniform, ("S",)))


@pytest.mark.parametrize("kind", [LloydMax, Uniform])
def test_a_quantizer_that_is_not_fitted(kind):
    """The first of two is fitted: nothing is quantised with it."""
    model = net()
    before = copied(model.params)
    chosen = {**quantizers(model, kind, ("ip.W",)), "ip.b": kind(2)}
    with pytest.raises(ValueError, match=r"quantizers\['ip.b'\] must be fitted first"):
        StraightThroughSGD(model.params, model.trainable, chosen)
    for name, w in before.items():
        np.testing.assert_array_equal(model.params[name], w)
