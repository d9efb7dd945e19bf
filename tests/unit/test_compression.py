"""Compressing a trained model: settings, product quantisation, the search by size and by error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from small_runs import BACKEND

from fastfood_np import backends, options
from fastfood_np.compact_files import decode_model, encode_model
from fastfood_np.compression import ProductQuantizer
from fastfood_np.experiments import compression
from fastfood_np.experiments.compression import (
    Candidate,
    Compressor,
    CompressSettings,
    TargetMissedError,
    product_quantized,
)
from fastfood_np.experiments.training_run import Split
from fastfood_np.layers import Dense, Flatten, QuantizedDense, ReLU, Sequential
from fastfood_np.models import deep_fried_lenet
from fastfood_np.training import SGD, Constant, Trainer, count_errors, predict
from fastfood_np.validation import Array, ModelFileError

NAN, INF = float("nan"), float("inf")
TUNING: dict[str, Any] = {"steps": 150, "lr": 0.03, "batch": 32}


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with backends.using(BACKEND):
        yield


def bright_places(rows: int, seed: int) -> tuple[Array, Array]:
    """Noise of 8 x 8 pixels in which one of ten places is brighter: the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, rows)
    images = rng.integers(0, 120, (rows, 1, 8, 8), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 4)
        image[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 70
    return images, labels


@pytest.fixture(scope="module")
def split() -> Split:
    return Split(*bright_places(800, 0), *bright_places(300, 1), "validation")


@pytest.fixture(scope="module")
def net(split: Split) -> Sequential:
    """64 -> 24 -> 10 numbers, with a validation error of 3 % before compression."""
    rng = np.random.default_rng(0)
    layers = [
        ("flatten", Flatten()),
        ("ip1", Dense(64, 24, rng=rng)),
        ("relu", ReLU()),
        ("ip2", Dense(24, 10, rng=rng)),
    ]
    net = Sequential(layers)
    with backends.using(BACKEND):
        trainer = Trainer(net, SGD(net.params, net.trainable), Constant(0.1), batch=32, threads=1)
        trainer.fit(split.train_images, split.train_labels, 500)
        assert 1 < error_of(net, split) < 5
    return net


def error_of(model: Any, split: Split) -> float:
    wrong = count_errors(predict(model, split.held_out_images, 1), split.held_out_labels)
    return 100.0 * wrong / len(split.held_out_labels)


def compressor(net: Any, split: Split, report: Any = None, threads: int = 1, **given: Any) -> Any:
    settings = CompressSettings(**TUNING | given)
    return Compressor(net, split, settings, {"title": "x"}, threads, report or (lambda line: None))


def bits(net: Sequential) -> dict[str, bytes]:
    return {name: w.tobytes() for name, w in net.params.items()}


# --------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({"target_bytes": None}, ValueError, "target_bytes or max_error must be given, and not b"),
        ({"max_error": 1.0}, ValueError, "target_bytes or max_error must be given, and not both"),
        ({"target_bytes": 0}, ValueError, "target_bytes must be at least 1, got 0"),
        ({"target_bytes": 9.5}, TypeError, r"target_bytes must be an integer, got 9\.5"),
        ({"target_bytes": True}, TypeError, "target_bytes must be an integer, got True"),
        ({"pq": [("ip1", 4, 16)]}, TypeError, r"pq must hold tuples \(layer, length, centroids\)"),
        ({"pq": ("ip1", 4, 16)}, TypeError, r"pq must hold tuples \(layer, length, centroids\)"),
        ({"pq": (("ip1", 4),)}, TypeError, r"pq must hold tuples \(layer, length, centroids\)"),
        ({"pq": "ip1"}, TypeError, r"pq must hold tuples .*, got 'ip1'"),
        ({"pq": ((1, 4, 16),)}, TypeError, "pq must name layers, got 1"),
        ({"pq": (("ip1", 0, 16),)}, ValueError, "pq must be at least 1, got 0"),
        ({"pq": (("ip1", 4.0, 16),)}, TypeError, r"pq must be an integer, got 4\.0"),
        ({"pq": (("ip1", 4, 1),)}, ValueError, "pq must be at least 2, got 1"),
        ({"pq": (("ip1", 4, 257),)}, ValueError, "pq must be at most 256, got 257"),
        ({"pq": (("a", 4, 16), ("a", 2, 4))}, ValueError, "pq must name a layer once, got"),
        ({"steps": -1}, ValueError, "steps must be at least 0, got -1"),
        ({"steps": 1.0}, TypeError, r"steps must be an integer, got 1\.0"),
        ({"lr": 0}, ValueError, "lr must be greater than 0.0, got 0"),
        ({"lr": NAN}, ValueError, "lr must be finite, got nan"),
        ({"lr": None}, TypeError, "lr must be a real number, got None"),
        ({"batch": 0}, ValueError, "batch must be at least 1, got 0"),
        ({"batch": None}, TypeError, "batch must be an integer, got None"),
        ({"augment": 1}, TypeError, "augment must be True or False, got 1"),
        ({"weight_decay": -1e-4}, ValueError, "weight_decay must be at least 0.0, got -0.0001"),
        ({"weight_decay": INF}, ValueError, "weight_decay must be finite, got inf"),
        ({"val_fraction": 0.0}, ValueError, r"val_fraction must be greater than 0\.0, got 0\.0"),
        ({"val_fraction": 1.0}, ValueError, r"val_fraction must be less than 1\.0, got 1\.0"),
        ({"val_fraction": "1/2"}, TypeError, "val_fraction must be a real number, got '1/2'"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": None}, TypeError, "seed must be an integer, got None"),
    ],
)
def test_checks(wrong: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^{message}"):
        CompressSettings(**{"target_bytes": 1000} | wrong)


@pytest.mark.parametrize(
    ("most", "kind", "message"),
    [
        (-0.1, ValueError, r"must be at least 0\.0, got -0\.1"),
        (100.0, ValueError, r"must be less than 100\.0, got 100\.0"),
        (NAN, ValueError, "must be finite, got nan"),
        ("1 %", TypeError, "must be a real number, got '1 %'"),
    ],
)
def test_checks_of_errors(most: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^max_error {message}"):
        CompressSettings(max_error=most)
    assert CompressSettings(max_error=0).max_error == 0


def test_steps_are_four_epochs() -> None:
    settings = CompressSettings(target_bytes=1, batch=64)
    assert settings.fine_tuning_steps(8000) == 4 * 125
    assert settings.fine_tuning_steps(8001) == 4 * 126
    assert replace(settings, steps=0).fine_tuning_steps(8000) == 0


def test_options_offer_what_settings_allow() -> None:
    parser = options.Parser()
    options.add_compress_options(parser)
    names = {action.dest for action in parser._actions}
    others = {"help", "model", "dataset", "data", "download", "threads", "out"}
    assert names - others == asdict(CompressSettings(target_bytes=1)).keys()
    given = vars(parser.parse_args(["m", "--target-bytes", "9", "--pq", "a:4:16", "--pq", "b:1:2"]))
    assert given.pop("model").name == "m"
    assert CompressSettings(**given | {"pq": tuple(given["pq"])}).pq == (("a", 4, 16), ("b", 1, 2))
    least = vars(parser.parse_args(["m", "--max-error", "0", "--steps", "0", "--seed", "0"]))
    assert CompressSettings(**{name: least[name] for name in least if name != "model"}).steps == 0


# --------------------------------------------------------------------------- product quantisation


def pq(*named: tuple[str, int, int], seed: int = 0) -> CompressSettings:
    return CompressSettings(target_bytes=1, pq=named, seed=seed)


def test_product_quantised(net: Sequential) -> None:
    before = bits(net)
    made = product_quantized(net, pq(("ip1", 4, 16), ("ip2", 2, 3)))
    assert list(made.layers) == list(net.layers)
    for name, length, centroids in (("ip1", 4, 16), ("ip2", 2, 3)):
        layer, W = made.layers[name], net.params[f"{name}.W"]
        assert isinstance(layer, QuantizedDense)
        quantizer = ProductQuantizer(W.shape[1] // length, centroids, shared=True, rng=0).fit(W)
        np.testing.assert_array_equal(layer.matrix(), quantizer.decode(quantizer.encode(W)))
        assert layer.params["codebooks"].shape == (1, centroids, length)
        np.testing.assert_array_equal(layer.params["b"], net.params[f"{name}.b"])
    assert bits(net) == before
    for name in made.trainable:
        made.params[name][...] = 7
    assert bits(net) == before  # nothing is shared
    assert made.trainable == ("ip1.codebooks", "ip1.b", "ip2.codebooks", "ip2.b")


def test_one_layer_alone(net: Sequential) -> None:
    made = product_quantized(net, pq(("ip1", 1, 4)))
    assert isinstance(made.layers["ip2"], Dense)
    assert made.params["ip2.W"].tobytes() == net.params["ip2.W"].tobytes()
    assert made.params["ip2.W"] is not net.params["ip2.W"]
    copied = product_quantized(net, pq())
    assert bits(copied) == bits(net) and copied.params["ip1.W"] is not net.params["ip1.W"]


def test_without_a_bias_and_in_float64() -> None:
    layer = Dense(8, 5, bias=False, rng=0, dtype="float64")
    made = product_quantized(Sequential([("ip", layer)]), pq(("ip", 8, 256)))
    assert list(made.params) == ["ip.codebooks"] and made.dtype == np.float64
    np.testing.assert_array_equal(made.layers["ip"].matrix(), layer.params["W"])  # type: ignore


def test_centroids_are_drawn_from_the_seed(net: Sequential) -> None:
    one, again, other = (product_quantized(net, pq(("ip1", 4, 16), seed=s)) for s in (3, 3, 4))
    assert bits(one) == bits(again) != bits(other)


@pytest.mark.parametrize(
    ("named", "saying"),
    [
        ([("ip3", 4, 16)], r"only dense layers can be product-quantised \(ip1, ip2\), got 'ip3'"),
        ([("relu", 4, 16)], r"only dense layers .*, got 'relu'"),
        ([("ip1", 3, 16)], "sub-vectors must divide the 64 inputs of ip1, got length 3"),
        ([("ip1", 128, 16)], "sub-vectors must divide the 64 inputs of ip1, got length 128"),
    ],
)
def test_wrong_layers(net: Sequential, named: Any, saying: str) -> None:
    with pytest.raises(ModelFileError, match=saying):
        product_quantized(net, pq(*named))


def test_no_chain() -> None:
    with pytest.raises(ModelFileError, match="the model must be a Sequential, got Dense"):
        product_quantized(Dense(4, 4), pq())


# ----------------------------------------------------------------------------------------- by size


def check_candidates(found: Compressor, split: Split) -> None:
    """Each is what its file says: read back, it makes as many errors."""
    for candidate in found.tried:
        loaded, metadata = decode_model(candidate.data)
        assert metadata == {"title": "x"} and error_of(loaded, split) == candidate.error
        assert sum(part.nbytes for part in candidate.parts) == len(candidate.data)


@pytest.mark.compiled_only
@pytest.mark.parametrize("target", [400, 700, 1500, 10**9])
def test_a_size_is_kept(net: Sequential, split: Split, target: int) -> None:
    found = compressor(net, split, target_bytes=target)
    best = found.search()
    assert len(best.data) <= target
    assert best in found.tried
    fits = [each.error for each in found.tried if len(each.data) <= target]
    assert best.error == min(fits)
    check_candidates(found, split)
    assert any(each.tuned for each in found.tried)
    keys = [(each.coarseness, each.tuned) for each in found.tried]
    assert len(set(keys)) == len(keys)  # none is measured twice
    if target == 10**9:
        assert len(found.tried) == 2  # nothing is gained by a coarser one
    if target == 700:
        rounded = [len(each.data) for each in found.tried if not each.tuned]
        assert rounded == sorted(rounded, reverse=True) and 0.97 * 700 < rounded[-1] <= 700


def test_the_same_with_product_quantisation(net: Sequential, split: Split) -> None:
    found = compressor(net, split, target_bytes=650, pq=(("ip1", 4, 16),))
    best = found.search()
    assert len(best.data) <= 650 and best.error < 15
    check_candidates(found, split)
    loaded, _ = decode_model(best.data)
    assert isinstance(loaded, Sequential) and isinstance(loaded.layers["ip1"], QuantizedDense)


def test_fine_tuning_helps_where_rounding_is_coarse(net: Sequential, split: Split) -> None:
    found = compressor(net, split, target_bytes=10**9)
    for size in (400, 450):
        coarseness = found.coarseness_for(size)
        rounded, tuned = found.untuned(coarseness), found.tuned(coarseness)
        assert (rounded.tuned, tuned.tuned) == (False, True)
        assert rounded.error > 15 and tuned.error < rounded.error / 2
        assert len(rounded.data) <= size and len(tuned.data) < 1.2 * size


@pytest.mark.compiled_only
def test_no_steps_no_training(
    net: Sequential, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: Any, **given: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(compression, "Trainer", never)
    monkeypatch.setattr(compression, "StraightThroughSGD", never)
    for target in ({"target_bytes": 700}, {"max_error": 10.0}):
        found = compressor(net, split, **target, steps=0)
        assert not found.search().tuned
        assert not any(each.tuned for each in found.tried)


@pytest.mark.compiled_only
def test_out_of_reach(net: Sequential, split: Split) -> None:
    found = compressor(net, split, target_bytes=150)
    with pytest.raises(TargetMissedError, match=r"^the smallest .* target is 150$") as at:
        found.search()
    smallest = min(len(each.data) for each in found.tried)
    assert f" {smallest:,} bytes" in str(at.value)
    assert compressor(net, split, target_bytes=smallest, steps=0).search().data


def test_the_smallest_size_is_reached(net: Sequential, split: Split) -> None:
    """Though there is no room left for fine-tuning to take more."""
    found = compressor(net, split, target_bytes=1, steps=0)
    with pytest.raises(TargetMissedError):
        found.search()
    (smallest,) = found.tried
    found = compressor(net, split, target_bytes=len(smallest.data), steps=1)
    assert len(found.search().data) <= len(smallest.data)


def test_growth_past_the_target_is_taken_back(net: Sequential, split: Split) -> None:
    """Fine-tuning makes this file larger, so it is made coarser and tuned again."""
    found = compressor(net, split, target_bytes=500, steps=400)
    best = found.search()
    tuned = [len(each.data) for each in found.tried if each.tuned]
    assert tuned[0] > 500 >= tuned[-1] and all(size > 500 for size in tuned[:-1])
    assert best.tuned and len(best.data) == tuned[-1]


@pytest.mark.compiled_only
@pytest.mark.parametrize("lr", [1e30, 1e300], ids=str)
def test_divergence_is_survived(net: Sequential, split: Split, lr: float) -> None:
    lines: list[str] = []
    found = compressor(net, split, lines.append, target_bytes=700, lr=lr)
    best = found.search()
    assert not best.tuned and len(best.data) <= 700 and best.error < 10
    (line,) = [line for line in lines if "diverged" in line]
    assert line.startswith("fine-tuning diverged: ") and "lower learning rate" in line
    assert not any(each.tuned for each in found.tried)


def test_what_is_reported(net: Sequential, split: Split) -> None:
    lines: list[str] = []
    found = compressor(net, split, lines.append, target_bytes=1500)
    found.search()
    assert len(lines) == len(found.tried)
    for line, each in zip(lines, found.tried, strict=True):
        how = "fine-tuned" if each.tuned else "rounded"
        pattern = rf" *{len(each.data):,} bytes, {how} +validation error {each.error:.2f} %"
        assert re.fullmatch(pattern, line)


# ---------------------------------------------------------------------------------------- by error


@pytest.mark.parametrize(
    "most",
    [*(pytest.param(most, marks=pytest.mark.compiled_only) for most in (3.0, 6.0, 20.0)), 99.0],
)
def test_an_error_is_kept(net: Sequential, split: Split, most: float) -> None:
    found = compressor(net, split, max_error=most)
    best = found.search()
    assert error_of(decode_model(best.data)[0], split) == best.error <= most
    assert len(best.data) == min(len(each.data) for each in found.tried if each.error <= most)
    check_candidates(found, split)


@pytest.mark.compiled_only
def test_more_errors_allow_smaller_files(net: Sequential, split: Split) -> None:
    sizes = [
        len(compressor(net, split, max_error=most, steps=40).search().data) for most in (3, 10, 40)
    ]
    assert sizes[0] > sizes[1] > sizes[2] and sizes[0] > 1.5 * sizes[2]
    plain = len(encode_model(net, {})[0])
    assert sizes[0] < plain / 3


@pytest.mark.compiled_only
def test_fine_tuning_goes_further(net: Sequential, split: Split) -> None:
    rounded = compressor(net, split, max_error=12.0, steps=0).search()
    tuned = compressor(net, split, max_error=12.0).search()
    assert tuned.tuned and len(tuned.data) < len(rounded.data)


@pytest.mark.compiled_only
def test_an_error_out_of_reach(net: Sequential, split: Split) -> None:
    found = compressor(net, split, max_error=0.0)
    with pytest.raises(TargetMissedError) as at:
        found.search()
    least = min(each.error for each in found.tried)
    assert str(at.value) == f"the validation error is {least:.2f} % at least, the target is 0 %"
    assert any(each.tuned for each in found.tried)


@pytest.mark.compiled_only
@pytest.mark.parametrize("lr", [1e30])
def test_divergence_by_error(net: Sequential, split: Split, lr: float) -> None:
    lines: list[str] = []
    best = compressor(net, split, lines.append, max_error=6.0, lr=lr).search()
    assert not best.tuned and best.error <= 6
    assert [line for line in lines if "diverged" in line]


# -------------------------------------------------------------------------------------------- bits


def searched(net: Any, split: Split, **given: Any) -> list[Candidate]:
    found = compressor(net, split, **given)
    found.search()
    return found.tried


@pytest.mark.compiled_only
@pytest.mark.parametrize("named", [(), (("ip1", 4, 16),)], ids=["plain", "pq"])
def test_the_seed_fixes_every_bit(net: Sequential, split: Split, named: Any) -> None:
    given = {"target_bytes": 700, "pq": named, "steps": 20, "augment": True}
    one = searched(net, split, **given)
    assert one == searched(net, split, **given)
    assert one == searched(net, split, **given, threads=3)
    other = searched(net, split, **given, seed=1)
    assert one[-1].tuned and one[-1].data != other[-1].data


@pytest.mark.compiled_only
def test_the_model_is_as_before(net: Sequential, split: Split) -> None:
    before, arrays = bits(net), dict(net.params)
    for given in ({"target_bytes": 700}, {"max_error": 6.0}, {"target_bytes": 9}):
        try:
            searched(net, split, **given, steps=20)
        except TargetMissedError:
            assert given == {"target_bytes": 9}
    assert bits(net) == before
    assert all(net.params[name] is array for name, array in arrays.items())


@pytest.mark.compiled_only
@pytest.mark.parametrize("option", [{"batch": 16}, {"weight_decay": 0.1}, {"augment": True}])
def test_options_reach_the_fine_tuning(
    net: Sequential, split: Split, option: dict[str, Any]
) -> None:
    usual = searched(net, split, target_bytes=700, steps=20)
    other = searched(net, split, target_bytes=700, steps=20, **option)
    assert [each.data for each in usual if not each.tuned] == [
        each.data for each in other if not each.tuned
    ]
    assert usual[-1].tuned and usual[-1].data != other[-1].data


# ------------------------------------------------------------------------------------------ models


def test_a_deep_fried_net() -> None:
    """S, G and B become codes; the permutation comes from its seed."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 1, 28, 28), dtype=np.uint8)
    labels = rng.integers(0, 10, 24)
    split = Split(images[:16], labels[:16], images[16:], labels[16:], "validation")
    net = deep_fried_lenet(16, channels=(2, 3), dropout=0.5, rng=0)
    best = compressor(net, split, target_bytes=900, steps=2, batch=8).search()
    assert len(best.data) <= 900
    encodings = {part.name: part.encoding for part in best.parts}
    assert encodings["constant:fastfood.perm"] == "seed"
    for name in net.trainable:
        assert encodings[f"param:{name}"] == "uniform"


def test_fixed_factors_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 1, 28, 28), dtype=np.uint8)
    split = Split(images[:8], np.arange(8), images[8:], np.arange(4), "validation")
    net = deep_fried_lenet(16, channels=(2, 3), adaptive=False, rng=0)
    best = compressor(net, split, target_bytes=5000, steps=1, batch=8).search()
    loaded, _ = decode_model(best.data)
    for name in ("fastfood.S", "fastfood.G", "fastfood.B"):
        assert loaded.params[name].tobytes() == net.params[name].tobytes()


def test_outputs_that_are_not_finite(net: Sequential, split: Split) -> None:
    huge = product_quantized(net, pq())
    for name in ("ip1.W", "ip2.W"):
        huge.params[name][...] *= np.float32(1e30)
    with (
        np.errstate(all="ignore"),
        pytest.raises(ModelFileError, match="outputs must be finite"),
    ):
        compressor(huge, split, target_bytes=700)


@pytest.mark.compiled_only
def test_float64(net: Sequential, split: Split) -> None:
    found = compressor(net.astype("float64"), split, target_bytes=700, steps=20)
    best = found.search()
    assert len(best.data) <= 700 and decode_model(best.data)[0].dtype == np.float64
    check_candidates(found, split)
