"""From a model to a file: layer by layer, the shapes between them found on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastfood_np import layers
from fastfood_np.files import replacing
from fastfood_np.layers import Dropout, Hadamard, Layer, ReLU, Sequential
from fastfood_np.onnx_export import hadamard, images, matrices, pointwise
from fastfood_np.onnx_export.graph import Graph, Scope, X, import_onnx
from fastfood_np.validation import Array, check_path, check_shape

# Takes where to write, the layer and the name of its input; returns that of its output. By the
# exact class: what a class derived from one of these does is not known.
WRITERS: dict[type[Layer], Callable[[Scope, Any, str], str]] = {
    layers.AveragePool2D: images.average_pool,
    layers.BlockCirculant: matrices.block_circulant,
    layers.Center: pointwise.center,
    layers.Circulant: matrices.circulant,
    layers.Conv2D: images.convolution,
    layers.ConvPool2D: images.convolution,
    layers.Dense: matrices.dense,
    layers.Diagonal: pointwise.diagonal,
    layers.Dropout: pointwise.dropout,
    layers.Fastfood: hadamard.fastfood,
    layers.Flatten: pointwise.flatten,
    layers.Hadamard: hadamard.hadamard,
    layers.Hashed: matrices.hashed,
    layers.LowRank: matrices.low_rank,
    layers.MaxPool2D: images.max_pool,
    layers.Permutation: hadamard.permutation,
    layers.QuantizedDense: matrices.quantized_dense,
    layers.ReLU: pointwise.relu,
    layers.SORF: hadamard.sorf,
}


def export_onnx(
    path: str | Path, model: Layer, *, input_shape: int | tuple[int, ...] | None = None
) -> None:
    """Write a model as an ONNX file that computes ``y = model(x)``, the number of rows left open.

    The file takes "x" of shape (m, ...), m >= 1, and gives "y", both float32. x is what the model
    itself takes, so for the networks of `fastfood_np.models` pixels divided by 256. Dropout is left
    out. Nodes and arrays are named after layers and params ("fastfood.B", "fastfood.Pi").

    All operators are standard ones of opset 17. A Fastfood layer is written factor by factor, H as
    products with matrices of at most 32 x 32, so its part of the file is as small as its params and
    Pi. So are those of all others but `Hashed`, whose matrix is written out. A runtime makes dense
    matrices of circulant and quantised ones when it loads the file, and needs memory for them then.

    Parameters
    ----------
    path : str or path-like
        Replaced in one step. Its folder must be there.
    model : Layer
        Of float32. A layer in device memory is copied to the host for it.
    input_shape : int or tuple of int, optional
        Shape of one input. Needed where the model does not say it itself: networks that begin with
        a convolution or pooling take images of several sizes.

    Raises
    ------
    ImportError
        The package onnx is missing (extra "onnx").
    TypeError
        `model` is no layer, of float64 (onnxruntime has no convolution of it), or holds a layer
        of a kind that is not known here.
    ValueError
        `input_shape` is missing, or does not fit the model; the file would exceed 2 GiB.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> layer = layers.Fastfood(800, 1024, rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "fastfood.onnx"
    ...     export_onnx(file, layer)
    ...     round(4 * 800 * 1024 / file.stat().st_size, -1)  # against a dense matrix
    140.0
    """
    target = check_path(path, "path")
    content = onnx_bytes(model, input_shape=input_shape)
    with replacing(target) as file:
        file.write(content)


def onnx_bytes(model: Layer, *, input_shape: int | tuple[int, ...] | None = None) -> bytes:
    """Return what `export_onnx` writes."""
    if not isinstance(model, Layer):
        raise TypeError(f"model must be a layer, got {model!r}")
    if model.dtype == np.float64:
        raise TypeError(
            "model must be of float32, got float64, for which onnxruntime has no convolution; "
            "convert it with model.astype('float32')"
        )
    sizes = _own(model) if input_shape is None else check_shape(input_shape, "input_shape")
    shape = tuple(size for size in sizes or () if size is not None)
    if sizes is None or len(shape) < len(sizes):
        stated = "..." if sizes is None else ", ".join(str(size or "any") for size in sizes)
        raise ValueError(f"input_shape must be given: the model's inputs have shape ({stated})")
    import_onnx()  # or fail before any work is done
    graph = Graph()
    empty: Array = np.zeros((0, *shape), np.float32)  # without rows: shapes and checks cost nothing
    last, y = _write(graph, "", model, X, empty)
    return graph.serialized(last, shape, y.shape[1:], _about(model))


def _write(graph: Graph, path: str, layer: Layer, value: str, x: Array) -> tuple[str, Array]:
    """Write a layer, or a chain of them; return the name of its output, and y without rows."""
    if isinstance(layer, Sequential):
        for name, part in layer.layers.items():
            value, x = _write(graph, f"{path}.{name}" if path else name, part, value, x)
        return value, x
    path = path or type(layer).__name__
    writer = WRITERS.get(type(layer))
    if writer is None:
        raise TypeError(f"model must hold layers of the package only, got {path}: {layer!r}")
    layer = layer.to_host() if layer.on_device else layer
    try:
        y = layer(x)
    except ValueError as error:
        raise ValueError(f"input_shape does not fit the model; {path}: {error}") from error
    return writer(Scope(graph, path, x.shape[1:]), layer, value), y


def _own(layer: Layer) -> tuple[int | None, ...] | None:
    """Return the shape that a model says its inputs have, as far as it says."""
    if not isinstance(layer, Sequential):
        return layer.input_shape
    for part in layer.layers.values():
        shape = _own(part)
        if shape is not None or not isinstance(part, (Dropout, Hadamard, ReLU)):
            return shape
    return None


def _about(model: Layer) -> str:
    return (
        f"{type(model).__name__} of fastfood_np: {model.n_weights:,} weights, "
        f"{model.n_biases:,} biases. Fastfood layers are c S H G Pi H B (Deep Fried Convnets, "
        "arXiv 1412.7149, equation 5), each factor a node of that name."
    )
