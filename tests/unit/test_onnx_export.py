"""ONNX files: onnxruntime gives what the model gives, and the files stay small and readable."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.layers_table import CASES, Case
from small_runs import contents

from fastfood_np import backends, layers
from fastfood_np.layers import (
    SORF,
    AveragePool2D,
    BlockCirculant,
    Center,
    Circulant,
    Conv2D,
    Dense,
    Dropout,
    Fastfood,
    Flatten,
    Hadamard,
    Layer,
    MaxPool2D,
    Permutation,
    QuantizedDense,
    ReLU,
    Sequential,
)
from fastfood_np.models import HEADS, cifar10_quick, deep_fried_lenet, lenet, structured_layer
from fastfood_np.onnx_export import export_onnx, graph, onnx_bytes
from fastfood_np.onnx_export.export import WRITERS

onnx = pytest.importorskip("onnx", reason='onnx (extra "onnx") is not installed')
ort = pytest.importorskip("onnxruntime", reason='onnxruntime (extra "onnx") is not installed')

LENET, CIFAR10 = (1, 28, 28), (3, 32, 32)


@pytest.fixture(autouse=True)
def backend() -> Iterator[None]:
    with backends.using("reference"):  # which compiles nothing
        yield


def run(content: bytes, x: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (y,) = session.run(["y"], {"x": x})
    return y


def assert_close(y: np.ndarray, expected: np.ndarray) -> None:
    assert y.shape == expected.shape and y.dtype == np.float32
    assert np.abs(y - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def checked(model: Layer, shape: tuple[int, ...] | None = None) -> bytes:
    content = onnx_bytes(model, input_shape=shape)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    return content


def arrays(content: bytes) -> dict[str, np.ndarray]:
    held = onnx.load_from_string(content).graph.initializer
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in held}


def test_every_layer_can_be_written() -> None:
    others = {"Layer", "Sequential", "SoftmaxCrossEntropy"}
    assert {kind.__name__ for kind in WRITERS} == set(layers.__all__) - others


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_layers(case: Case) -> None:
    layer = case.layer(np.float32)
    content = checked(layer, case.shape)
    for rows in (1, 3, 64):
        x = case.inputs(np.float32, rows, seed=rows)
        assert_close(run(content, x), layer(x))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_layers_by_the_definition_of_the_operators(case: Case) -> None:
    """A second implementation, which is the standard's own."""
    reference = pytest.importorskip("onnx.reference")
    layer, x = case.layer(np.float32), case.inputs(np.float32)
    evaluator = reference.ReferenceEvaluator(onnx.load_from_string(checked(layer, case.shape)))
    (y,) = evaluator.run(None, {"x": x})
    assert_close(y, layer(x))


def fried_cifar10() -> Layer:
    head = Fastfood(1024, 1024, sigma=20.0, rng=1)
    return cifar10_quick(head=head, mean=np.full(CIFAR10, 0.4), rng=0)


NETWORKS = {
    "lenet": (lambda: lenet(rng=0), LENET),
    "fried-1024": (lambda: deep_fried_lenet(rng=0), LENET),
    "fried-2048-dropout-relu": (
        lambda: deep_fried_lenet(
            2048, conv_relu=True, dropout=0.5, dropout_inside=0.5, dropout_input=0.1, rng=0
        ),
        LENET,
    ),
    "cifar10_quick": (lambda: cifar10_quick(rng=0), CIFAR10),
    "cifar10_quick-fried-mean": (fried_cifar10, CIFAR10),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str) -> None:
    make, shape = NETWORKS[name]
    model = make()
    content = checked(model, shape)
    params = 4 * (model.n_weights + model.n_biases)
    constants = sum(4 * array.size for array in model.constants.values())
    assert params < len(content) < params + constants + 10_000
    for rows in (1, 3, 64):
        images = np.random.default_rng(rows).integers(0, 256, (rows, *shape))
        x = (images / 256).astype(np.float32)
        y, expected = run(content, x), model(x)
        assert_close(y, expected)
        np.testing.assert_array_equal(y.argmax(axis=1), expected.argmax(axis=1))


@pytest.mark.parametrize("kind", HEADS)
def test_heads(kind: str) -> None:
    """Larger than those of the table, in files that hold no more than the layer but for hashing."""
    layer = structured_layer(kind, 800, 10, 13_312, rng=0)
    content = checked(layer)
    x = np.random.default_rng(0).standard_normal((16, 800)).astype(np.float32)
    assert_close(run(content, x), layer(x))
    dense = 4 * 800 * layer(x).shape[1]
    assert len(content) < (1.01 * dense if kind == "hashed" else 4 * layer.n_weights + 12_000)


@pytest.mark.parametrize(("d_in", "n_out"), [(800, 1024), (1024, 2048), (3000, 5000), (64, 7)])
@pytest.mark.parametrize("kind", [Fastfood, SORF])
def test_only_small_matrices_make_a_transform(kind: type[Any], d_in: int, n_out: int) -> None:
    layer = kind(d_in, n_out, rng=0)
    content = checked(Sequential([("it", layer)]))
    own = {f"it.{name}": value for name, value in layer.params.items()}
    for name, array in arrays(content).items():
        if name in own:
            np.testing.assert_array_equal(array, own[name])
        elif name == "it.perm":
            assert array.shape == layer.perm.shape
        else:
            assert array.size <= 32 * 32, name
    x = np.random.default_rng(0).standard_normal((3, d_in)).astype(np.float32)
    assert_close(run(content, x), layer(x))


def test_names_follow_the_paper() -> None:
    net = Sequential([("fastfood", Fastfood(5, 19, rng=0)), ("relu", ReLU())])
    written = onnx.load_from_string(checked(net))
    names = [node.name for node in written.graph.node]
    path = [f"fastfood.{factor}" for factor in ("B", "H2", "Pi", "G", "H1", "S", "c")]
    assert [name for name in names if name in path] == path
    assert len(set(names)) == len(names) and names[-1] == "relu"
    values = {node.name: node.output[0] for node in written.graph.node}
    for factor, value in zip(path, ("h_H2", "h_Pi", "h_G", "h_H1", "h_S", "h"), strict=False):
        assert values[factor] == f"fastfood.{value}"
    assert {"fastfood.B", "fastfood.G", "fastfood.S", "fastfood.perm"} <= set(arrays(checked(net)))
    assert written.producer_name == "fastfood_np" and "76 weights" not in written.doc_string
    assert f"{net.n_weights} weights" in written.doc_string


def test_inputs_outputs_and_operators_are_standard() -> None:
    content = checked(deep_fried_lenet(rng=0), LENET)
    written = onnx.load_from_string(content)
    (x,), (y,) = written.graph.input, written.graph.output
    sizes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (x, y)
    }
    assert sizes == {"x": ["m", 1, 28, 28], "y": ["m", 10]}
    assert [(used.domain, used.version) for used in written.opset_import] == [("", 17)]
    assert all(node.domain == "" for node in written.graph.node)
    assert checked(deep_fried_lenet(rng=0), LENET) == content  # nothing but the model is in it


@pytest.mark.parametrize("d", [1, 2, 8, 32, 64, 512, 2048, 32768])
def test_whole_numbers_are_transformed_exactly(d: int) -> None:
    x = np.random.default_rng(d).integers(-9, 10, (2, 3, d)).astype(np.float32)
    np.testing.assert_array_equal(run(checked(Hadamard(), (3, d)), x), Hadamard()(x))


def test_layers_share_matrices_and_nothing_else() -> None:
    first, second = (Sequential([("it", Fastfood(8, 8, rng=seed))]) for seed in (0, 1))
    net = Sequential([("first", first), ("second", second), ("it", Fastfood(8, 8, rng=2))])
    content = checked(net)
    held = arrays(content)
    assert [name for name in held if "." not in name] == ["H8"]
    assert {name for name in held if name.endswith(".B")} == {"first.it.B", "second.it.B", "it.B"}
    x = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    assert_close(run(content, x), net(x))


@pytest.mark.parametrize("kind", [MaxPool2D, AveragePool2D])
@pytest.mark.parametrize(("size", "stride"), [(2, 1), (3, 1), (3, 2), (3, 3), (5, 3), (5, 4)])
def test_windows_over_the_edge(kind: type[Any], size: int, stride: int) -> None:
    for height in range(size, size + 2 * stride):
        layer, shape = kind(size, stride=stride), (2, height, height + 1)
        x = np.random.default_rng(height).standard_normal((3, *shape)).astype(np.float32)
        assert_close(run(checked(layer, shape), x), layer(x))


@pytest.mark.parametrize(
    "value",
    [Dropout(0.5), Sequential([]), Permutation([0])],
    ids=lambda layer: type(layer).__name__,
)
def test_models_that_do_nothing(value: Layer) -> None:
    x = np.arange(3, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(run(checked(value, (1,)), x), x)


def _pooled(*first: tuple[str, Layer]) -> Sequential:
    return Sequential([*first, ("pool", MaxPool2D(2)), ("flatten", Flatten())])


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (Dense(5, 3, rng=0), (5,)),
        (Permutation([[1, 0, 2], [0, 2, 1]]), (2, 3)),
        (
            Sequential([("drop", Dropout(0.5)), ("relu", ReLU()), ("dense", Dense(5, 3, rng=0))]),
            (5,),
        ),
        (Sequential([("in", Sequential([("relu", ReLU())])), ("H", Hadamard())]), None),
        (_pooled(("center", Center((3, 4, 6)))), (3, 4, 6)),
        (_pooled(), None),
        (_pooled(("conv", Conv2D(1, 2, 3, rng=0))), None),
    ],
    ids=["dense", "permutation", "chain", "any", "center", "pool", "conv"],
)
def test_shape_of_an_input_unless_given(model: Layer, shape: tuple[int, ...] | None) -> None:
    if shape is None:
        with pytest.raises(ValueError, match=r"input_shape must be given: .* have shape \(.*\)$"):
            onnx_bytes(model)
        return
    x = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    assert_close(run(checked(model), x), model(x))


def test_an_integer_stands_for_the_shape_of_a_row() -> None:
    assert onnx_bytes(ReLU(), input_shape=7) == onnx_bytes(ReLU(), input_shape=(7,))


class _Odd(Dense):
    """What it computes is not known."""


@pytest.mark.parametrize(
    ("model", "shape", "error", "saying"),
    [
        ("lenet", None, TypeError, "model must be a layer, got 'lenet'"),
        (Dense(3, 2, dtype=np.float64), None, TypeError, r"float32, got float64.*astype"),
        (Sequential([("odd", _Odd(3, 2))]), None, TypeError, "layers of the package only, got odd"),
        (_Odd(3, 2), None, TypeError, "got _Odd"),
        (Layer(), 3, TypeError, "got Layer"),
        (Dense(3, 2), 4, ValueError, r"not fit the model; Dense: x must have shape \(m, 3\)"),
        (Hadamard(), (2, 3), ValueError, "not fit the model; Hadamard: .* power of two"),
        (lenet(rng=0), (1, 29, 28), ValueError, "not fit the model; conv1: .* multiples of pool"),
        (lenet(rng=0), (1, 32, 32), ValueError, "not fit the model; ip1: .*800"),
        (lenet(rng=0), None, ValueError, r"input_shape must be given: .* \(1, any, any\)$"),
        (ReLU(), (), ValueError, "input_shape must hold at least one size"),
        (ReLU(), (3, 0), ValueError, "input_shape must be at least 1, got 0"),
        (ReLU(), 2.5, TypeError, "input_shape must be an integer, got 2.5"),
        (ReLU(), "28", TypeError, "input_shape must be an integer, got '28'"),
    ],
)
def test_wrong_input_writes_nothing(
    tmp_path: Path, model: Any, shape: Any, error: type[Exception], saying: str
) -> None:
    (tmp_path / "there.onnx").write_bytes(b"an older one")
    before = contents(tmp_path)
    for name in ("there.onnx", "new.onnx"):
        with pytest.raises(error, match=saying):
            export_onnx(tmp_path / name, model, input_shape=shape)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("path", "error"), [(3, TypeError), (None, TypeError), ("", ValueError), (b"x", TypeError)]
)
def test_wrong_paths(path: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="path must be"):
        export_onnx(path, Dense(3, 2))


def test_the_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for n_out in (2, 3):
        layer = Dense(4, n_out, rng=0)
        export_onnx(str(path), layer)
        assert contents(tmp_path) == {"model.onnx": onnx_bytes(layer)}
    with pytest.raises(FileNotFoundError):
        export_onnx(tmp_path / "no folder" / "model.onnx", Dense(4, 3))


def test_files_beyond_what_the_format_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "LARGEST_FILE", 100)
    with pytest.raises(ValueError, match=r"ONNX file of 2 GiB, got 1,2\d\d bytes"):
        onnx_bytes(Dense(30, 10))


def test_without_the_package_onnx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'fastfood_np\[onnx\]'"):
        export_onnx(tmp_path / "model.onnx", Dense(3, 2))
    assert contents(tmp_path) == {}


def test_a_layer_in_device_memory_is_copied_to_the_host() -> None:
    layer = Dense(3, 2, rng=0)
    elsewhere = Dense(3, 2, rng=1)
    elsewhere.on_device, elsewhere.to_host = True, lambda: layer  # type: ignore[method-assign]
    assert onnx_bytes(elsewhere) == onnx_bytes(layer)


@pytest.mark.parametrize("n_centroids", [2, 16, 17, 256])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("n_out", [512, 301, 1])
def test_codes_stay_codes(n_centroids: int, shared: bool, bias: bool, n_out: int) -> None:
    layer = QuantizedDense(
        800, n_out, n_subspaces=100, n_centroids=n_centroids, shared=shared, bias=bias, rng=0
    )
    if bias:
        layer.params["b"][:] = np.random.default_rng(1).standard_normal(n_out)
    content = checked(layer)
    held = layer.constants["codes"].nbytes + sum(value.nbytes for value in layer.params.values())
    assert held < len(content) < held + 3_000
    assert arrays(content)["QuantizedDense.codes"].dtype == np.uint8
    x = np.random.default_rng(0).standard_normal((3, 800)).astype(np.float32)
    assert_close(run(content, x), layer(x))


@pytest.mark.parametrize(
    "layer",
    [Circulant(700, 1500, bias=True, rng=0), BlockCirculant(700, 900, block_size=64, rng=0)],
    ids=["circulant", "block-circulant"],
)
def test_circulant_matrices_are_made_by_the_runtime(layer: Layer) -> None:
    content = checked(layer)
    assert len(content) < 4 * (layer.n_weights + layer.n_biases) + 4_000
    x = np.random.default_rng(0).standard_normal((3, 700)).astype(np.float32)
    assert_close(run(content, x), layer(x))
