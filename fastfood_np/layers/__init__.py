"""Layers with an explicit forward and backward pass; `layers.base` states their contract."""

from fastfood_np.layers.average_pool2d import AveragePool2D
from fastfood_np.layers.base import Layer
from fastfood_np.layers.block_circulant import BlockCirculant
from fastfood_np.layers.center import Center
from fastfood_np.layers.circulant import Circulant
from fastfood_np.layers.conv2d import Conv2D
from fastfood_np.layers.conv_pool2d import ConvPool2D
from fastfood_np.layers.dense import Dense
from fastfood_np.layers.diagonal import Diagonal
from fastfood_np.layers.dropout import Dropout
from fastfood_np.layers.fastfood import Fastfood
from fastfood_np.layers.flatten import Flatten
from fastfood_np.layers.hadamard import Hadamard
from fastfood_np.layers.hashed import Hashed
from fastfood_np.layers.low_rank import LowRank
from fastfood_np.layers.max_pool2d import MaxPool2D
from fastfood_np.layers.permutation import Permutation
from fastfood_np.layers.quantized_dense import QuantizedDense
from fastfood_np.layers.relu import ReLU
from fastfood_np.layers.sequential import Sequential
from fastfood_np.layers.softmax_cross_entropy import SoftmaxCrossEntropy
from fastfood_np.layers.sorf import SORF

__all__ = [
    "SORF",
    "AveragePool2D",
    "BlockCirculant",
    "Center",
    "Circulant",
    "Conv2D",
    "ConvPool2D",
    "Dense",
    "Diagonal",
    "Dropout",
    "Fastfood",
    "Flatten",
    "Hadamard",
    "Hashed",
    "Layer",
    "LowRank",
    "MaxPool2D",
    "Permutation",
    "QuantizedDense",
    "ReLU",
    "Sequential",
    "SoftmaxCrossEntropy",
]
