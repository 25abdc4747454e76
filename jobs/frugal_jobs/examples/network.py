"""The small residual network that the examples compress. How it is trained stands in fashion_mnist.py."""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = (24, 48, 104)  # 385 thousand parameters: big enough to prune, small enough to train in a minute on one core


class Residual(nn.Module):
    """Two 3x3 convolutions with a shortcut; `stride` 2 halves the image."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer))
        same = inner == outer and stride == 1
        self.shortcut: nn.Module = nn.Identity() if same else nn.Conv2d(inner, outer, 1, stride, bias=False)
        self.activation = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        return self.activation(self.second(self.first(images)) + self.shortcut(images))  # type: ignore[no-any-return]


class ResidualNetwork(nn.Module):
    """Grey images float32 (batch, 1, height, width) in [0, 1] to float32 logits (batch, 10); any size from 8x8."""

    def __init__(self) -> None:
        super().__init__()
        small, middle, large = WIDTHS
        self.stem = nn.Sequential(nn.Conv2d(1, small, 3, 1, 1, bias=False), nn.BatchNorm2d(small), nn.ReLU())
        self.body = nn.Sequential(
            nn.MaxPool2d(2),
            Residual(small, small, 1),
            Residual(small, middle, 2),
            Residual(middle, large, 2),
            Residual(large, large, 1),
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(large, 10))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(self.stem(images)))  # type: ignore[no-any-return]


def network() -> ResidualNetwork:
    """Return the network with random weights; also the `model.factory` of the PyTorch example."""
    return ResidualNetwork()


class RowReader(nn.Module):
    """Reads an image row by row with two recurrent layers; the last state decides."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        layer = nn.GRU if kind == "gru" else nn.LSTM
        self.rows = layer(width, READER_STATES, num_layers=2, batch_first=True)
        self.head = nn.Linear(READER_STATES, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, 10) of grey images (batch, 1, height, width)."""
        states, _ = self.rows(images.squeeze(1))
        logits: Tensor = self.head(states[:, -1])
        return logits


READER_STATES = 128  # 0.17 M weights as a GRU, 0.23 M as an LSTM


def reader(kind: str, *, width: int) -> RowReader:
    """Return an untrained reader of rows of `width` pixels: a `gru` or an `lstm`."""
    return RowReader(kind, width)
