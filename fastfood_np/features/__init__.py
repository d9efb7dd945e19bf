"""Random feature maps, as scikit-learn transformers: inner products that stand for a kernel.

Needs scikit-learn, the extra "sklearn"; nothing else in the package does.
"""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "fastfood_np.features needs scikit-learn: pip install 'fastfood_np[sklearn]'"
    ) from error

from fastfood_np.features.fastfood import FastfoodFeatures
from fastfood_np.features.orthogonal import OrthogonalFeatures
from fastfood_np.features.random_fourier import RandomFourierFeatures

__all__ = ["FastfoodFeatures", "OrthogonalFeatures", "RandomFourierFeatures"]
