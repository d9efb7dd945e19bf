"""Caffe's LeNet in PyTorch, from the weights of ours: the peer of `bench_lenet`."""

from __future__ import annotations

from typing import Any

from optional import imported

from fastfood_np.training.inputs import PIXEL_SCALE
from fastfood_np.training.sgd import SGD

torch = imported("torch")


class TorchLeNet:
    """The net and its optimiser: momentum 0.9, decay 5e-4, twice the rate on biases."""

    def __init__(self, ours: Any, rate: float) -> None:
        nn = torch.nn
        self.net = nn.Sequential(
            nn.Conv2d(1, 20, 5),
            nn.MaxPool2d(2),
            nn.Conv2d(20, 50, 5),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(800, 500),
            nn.ReLU(),
            nn.Linear(500, 10),
        )
        names = [f"{layer}.{part}" for layer in ("conv1", "conv2", "ip1", "ip2") for part in "Wb"]
        for target, name in zip(self.net.parameters(), names, strict=True):
            target.data = torch.tensor(ours.params[name])
        parts = list(self.net.parameters())
        defaults = SGD({}, ())
        self.optimizer = torch.optim.SGD(
            [
                {"params": parts[0::2], "lr": rate},
                {"params": parts[1::2], "lr": 2 * rate},
            ],
            momentum=defaults.momentum,
            weight_decay=defaults.weight_decay,
        )

    def step(self, images: Any, labels: Any) -> float:
        """Train on one batch of uint8 images; return its loss before the update."""
        x = torch.from_numpy(images).float().mul_(PIXEL_SCALE)
        loss = torch.nn.functional.cross_entropy(self.net(x), torch.from_numpy(labels))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())
