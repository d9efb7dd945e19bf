"""Convolution, max-pooling and ReLU in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.layers.conv2d import Conv2D
from fastfood_np.validation import Array, check_bool, check_int


class ConvPool2D(Conv2D):
    """Conv2D, then MaxPool2D, then (if asked) ReLU: the same numbers, in one pass.

    The image before pooling is never stored, and backward touches only the outputs that were the
    maximum of their window: 1 in pool * pool, fewer still behind a ReLU. The ReLU is applied to
    the pooled output, which is the same as before pooling: ``y = max(0, .)``, and a gradient
    passes only where y > 0. y has shape (m, out, (H - kh + 1) / pool, (W - kw + 1) / pool), H and W
    being those of the padded image.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, padding, bias, rng, dtype
        Those of `Conv2D`.
    pool : int
        Height, width and stride of the pooling windows.
    relu : bool
        Whether the ReLU is there.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        pool: int,
        *,
        padding: int = 0,
        bias: bool = True,
        relu: bool = False,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        check_int(pool, "pool", minimum=1)
        check_bool(relu, "relu")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            padding=padding,
            bias=bias,
            rng=rng,
            dtype=dtype,
        )
        self.pool, self.relu = pool, relu
        self.config.update(pool=pool, relu=relu)

    def check_input(self, x: Array) -> None:
        """Raise a clear error unless `x` is a batch of images that kernel and windows fit."""
        super().check_input(x)
        kernel = self.params["W"].shape[2:]
        height, width = (
            have + 2 * self.padding - size + 1
            for have, size in zip(x.shape[2:], kernel, strict=True)
        )
        if height % self.pool or width % self.pool:
            raise ValueError(
                f"x must hold images whose convolution has a height and width that are multiples "
                f"of pool = {self.pool}, got shape {x.shape}, which gives {height} x {width}"
            )
