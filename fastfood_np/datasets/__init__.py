"""Data sets of labelled images: the embedded sample, MNIST and Fashion-MNIST, IDX files."""

from fastfood_np.datasets.dataset import Dataset
from fastfood_np.datasets.download import download
from fastfood_np.datasets.idx import read_idx, write_idx
from fastfood_np.datasets.loading import load

__all__ = ["Dataset", "download", "load", "read_idx", "write_idx"]
