"""Data sets of labelled images: the embedded sample, MNIST, Fashion-MNIST, CIFAR-10; IDX files."""

from fastfood_np.datasets.cifar10 import read_cifar10
from fastfood_np.datasets.dataset import Dataset
from fastfood_np.datasets.download import download
from fastfood_np.datasets.idx import read_idx, write_idx
from fastfood_np.datasets.loading import load

__all__ = ["Dataset", "download", "load", "read_cifar10", "read_idx", "write_idx"]
