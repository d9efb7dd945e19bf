"""The graph being written: nodes, initialisers, and the names that a reader of it meets."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfood_np.validation import Array

OPSET, IR_VERSION = 17, 8  # both of 2022
LARGEST_FILE = 2**31 - 2**20  # a protocol buffer has less than 2^31 bytes; nodes take their share
X, Y, ROWS = "x", "y", "m"


def import_onnx() -> ModuleType:
    """Return the package onnx, or say how to install it."""
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise ImportError(
            "models are exported with the package onnx, which cannot be imported; "
            "pip install 'fastfood_np[onnx]' installs it"
        ) from error
    return onnx


class Node(NamedTuple):
    """One operator: what it is, what it takes, what it is called, and what its output is."""

    operator: str
    inputs: tuple[str, ...]
    name: str
    output: str
    attributes: dict[str, Any]


class Graph:
    """A chain of nodes from "x" on, and the arrays that they take besides."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.initializers: dict[str, Array] = {}

    def serialized(
        self, last: str, input_shape: tuple[int, ...], output_shape: tuple[int, ...], about: str
    ) -> bytes:
        """Return the contents of the file; the value called `last` becomes "y".

        Raises
        ------
        ValueError
            The arrays are too large for one file.
        """
        size = sum(array.nbytes for array in self.initializers.values())
        if size > LARGEST_FILE:
            raise ValueError(f"model must fit into an ONNX file of 2 GiB, got {size:,} bytes")
        onnx = import_onnx()
        floats, make = onnx.TensorProto.FLOAT, onnx.helper
        graph = make.make_graph(
            [self._node(make, node, last) for node in self._nodes_to(last)],
            "fastfood_np",
            [make.make_tensor_value_info(X, floats, [ROWS, *input_shape])],
            [make.make_tensor_value_info(Y, floats, [ROWS, *output_shape])],
            [onnx.numpy_helper.from_array(value, key) for key, value in self.initializers.items()],
        )
        model = make.make_model(
            graph,
            producer_name="fastfood_np",
            doc_string=about,
            opset_imports=[make.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        content: bytes = model.SerializeToString()
        return content

    def _nodes_to(self, last: str) -> list[Node]:
        """Return the nodes, one at least: a model may do nothing."""
        if last == X:
            return [*self.nodes, Node("Identity", (X,), "identity", Y, {})]
        return self.nodes

    @staticmethod
    def _node(make: Any, node: Node, last: str) -> Any:
        output = Y if node.output == last else node.output
        return make.make_node(
            node.operator, list(node.inputs), [output], name=node.name, **node.attributes
        )


class Scope:
    """What a layer writes into: all its names start with the layer's own.

    A node is "<layer>" or "<layer>.<step>", an array "<layer>.<param>". (Names of layers hold no
    dots, so nothing meets "x", "y", or arrays that layers share.)

    Attributes
    ----------
    shape : tuple of int
        Shape of one input of the layer.
    """

    def __init__(self, graph: Graph, path: str, shape: tuple[int, ...]) -> None:
        self.graph, self.path, self.shape = graph, path, shape

    def add(
        self, operator: str, *inputs: str, step: str = "", value: str = "", **attributes: Any
    ) -> str:
        """Append a node and return the name of its output: `value`, or the node's and ".y"."""
        name = f"{self.path}.{step}" if step else self.path
        output = f"{self.path}.{value}" if value else f"{name}.y"
        self.graph.nodes.append(Node(operator, inputs, name, output, attributes))
        return output

    def array(self, name: str, value: npt.ArrayLike, dtype: Any = np.float32) -> str:
        """Keep an array of the layer's; return its name in the graph."""
        full = f"{self.path}.{name}"
        self.graph.initializers[full] = np.array(value, dtype, order="C")
        return full

    def shared(self, name: str, value: Array) -> str:
        """Keep an array that other layers take as well."""
        self.graph.initializers.setdefault(name, value)
        return name

    def reshape(self, x: str, *shape: int, step: str, value: str = "") -> str:
        """Give all inputs of a batch another shape."""
        sizes = self.array(f"{step}.shape", (0, *shape), np.int64)  # 0: as many rows as there are
        return self.add("Reshape", x, sizes, step=step, value=value)

    def leading(self, x: str, *sizes: int, axis: int, step: str) -> str:
        """Keep what comes first along the axes from `axis` on."""
        axes = range(axis, axis + len(sizes))
        starts = self.array(f"{step}.starts", [0] * len(sizes), np.int64)
        ends = self.array(f"{step}.ends", sizes, np.int64)
        return self.add(
            "Slice", x, starts, ends, self.array(f"{step}.axes", axes, np.int64), step=step
        )
