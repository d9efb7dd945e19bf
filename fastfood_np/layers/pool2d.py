"""Pooling windows: where they lie, and which images they fit."""

from __future__ import annotations

from fastfood_np.layers.base import Layer
from fastfood_np.validation import Array, check_int


class Pool2D(Layer):
    """What `MaxPool2D` and `AveragePool2D` share.

    Without a stride the windows tile the image and none is cut. With one they follow Caffe: there
    are ``ceil((H - size) / stride) + 1`` rows of them, and what lies over the edge is cut off.
    """

    input_shape = (None, None, None)

    def __init__(self, size: int, stride: int | None = None) -> None:
        check_int(size, "size", minimum=1)
        if stride is not None:
            check_int(stride, "stride", minimum=1, maximum=size)
        super().__init__(size=size, stride=stride)
        self.size = size
        self.stride = size if stride is None else stride

    def check_input(self, x: Array) -> None:
        """Raise a clear error unless `x` is a batch of images that the windows fit."""
        super().check_input(x)
        height, width = x.shape[2:]
        if self.config["stride"] is None:
            if height % self.size or width % self.size:
                raise ValueError(
                    f"x must hold images whose height and width are multiples of size = "
                    f"{self.size}, got shape {x.shape}"
                )
        elif height < self.size or width < self.size:
            raise ValueError(
                f"x must hold images of at least {self.size} x {self.size}, the windows' size, "
                f"got shape {x.shape}"
            )

    def _y_shape(self, x: Array) -> tuple[int, int, int, int]:
        """Return the shape of y: a division rounded up, and one more."""
        m, channels, height, width = x.shape
        rows, columns = (-((self.size - have) // self.stride) + 1 for have in (height, width))
        return m, channels, rows, columns
