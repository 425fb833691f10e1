"""What one would run instead: networks and input pipelines as published code writes them, without awnlib.

The layout is PyTorch's default (NCHW), and every width is a pass of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AREA = 16  # pixels of the last feature map for images of 28x28


def count(width_mult: float, full: int) -> int:
    """Return the number of channels at a width."""
    return int(width_mult * full + 0.5)


class SlicedConv2d(nn.Conv2d):
    """A convolution of the first channels; a triangular one masks its weights with a lower triangle."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, triangular: bool) -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        self.triangular = triangular

    def forward(self, input: Tensor, width_mult: float = 1.0) -> Tensor:
        """Convolve at a width; the mask is made anew in every pass."""
        weight, rows = self.weight, count(width_mult, self.out_channels)
        if self.triangular:
            mask = torch.ones(weight.shape[:2], dtype=weight.dtype, device=weight.device).tril()
            weight = weight * mask[:, :, None, None]
        assert self.bias is not None
        return F.conv2d(input, weight[:rows, : input.shape[1]], self.bias[:rows])


class SlicedBatchNorm2d(nn.BatchNorm2d):
    """One set of statistics for all widths, of which the first entries are used."""

    def forward(self, input: Tensor, width_mult: float = 1.0) -> Tensor:
        """Normalise at a width."""
        assert self.running_mean is not None
        assert self.running_var is not None
        rows = count(width_mult, self.num_features)
        mean, var = self.running_mean[:rows], self.running_var[:rows]
        weight, bias = self.weight[:rows], self.bias[:rows]
        return F.batch_norm(input, mean, var, weight, bias, self.training, self.momentum or 0.0, self.eps)


class SwitchableBatchNorm2d(nn.Module):
    """A BN layer for each width."""

    def __init__(self, channels: int, width_mults: Sequence[float]) -> None:
        super().__init__()
        self.width_mults = sorted(width_mults)
        self.norms = nn.ModuleList(nn.BatchNorm2d(count(width_mult, channels)) for width_mult in self.width_mults)

    def forward(self, input: Tensor, width_mult: float) -> Tensor:
        """Normalise with the layer of a width."""
        output: Tensor = self.norms[self.width_mults.index(width_mult)](input)
        return output


class PapersLeNet(nn.Module):
    """LeNet-3C1L of selectable width, with biases in the convolutions: an any-width network or an S-Net.

    Parameters
    ----------
    channels
        Of every convolution.
    switches
        The widths of an S-Net; none for an any-width network.
    area
        Pixels of the last feature map.
    """

    def __init__(
        self, channels: int, *, switches: Sequence[float] = (), num_classes: int = 10, area: int = AREA
    ) -> None:
        super().__init__()

        def norm() -> nn.Module:
            return SwitchableBatchNorm2d(channels, switches) if switches else SlicedBatchNorm2d(channels)

        triangular = not switches
        self.conv1, self.norm1 = SlicedConv2d(1, channels, 3, triangular=triangular), norm()
        self.conv2, self.norm2 = SlicedConv2d(channels, channels, 3, triangular=triangular), norm()
        self.conv3, self.norm3 = SlicedConv2d(channels, channels, 5, triangular=triangular), norm()
        self.classifier = nn.Linear(channels * area, num_classes)

    def forward(self, images: Tensor, width_mult: float) -> Tensor:
        """Return the logits at a width, `[N, classes]`."""
        x = F.relu(self.norm1(self.conv1(images, width_mult), width_mult))
        x = F.max_pool2d(F.relu(self.norm2(self.conv2(x, width_mult), width_mult)), 2)
        x = F.max_pool2d(F.relu(self.norm3(self.conv3(x, width_mult), width_mult)), 2).flatten(1)
        return F.linear(x, self.classifier.weight[:, : x.shape[1]], self.classifier.bias)


class PlainLeNet(nn.Module):
    """LeNet-3C1L of one width, with the given channels in its three convolutions."""

    def __init__(self, channels: Sequence[int], *, num_classes: int = 10, area: int = AREA) -> None:
        super().__init__()
        first, second, third = channels
        self.conv1, self.norm1 = nn.Conv2d(1, first, 3, bias=False), nn.BatchNorm2d(first)
        self.conv2, self.norm2 = nn.Conv2d(first, second, 3, bias=False), nn.BatchNorm2d(second)
        self.conv3, self.norm3 = nn.Conv2d(second, third, 5, bias=False), nn.BatchNorm2d(third)
        self.classifier = nn.Linear(third * area, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, `[N, classes]`."""
        x = F.relu(self.norm1(self.conv1(images)))
        x = F.max_pool2d(F.relu(self.norm2(self.conv2(x))), 2)
        x = F.max_pool2d(F.relu(self.norm3(self.conv3(x))), 2)
        logits: Tensor = self.classifier(x.flatten(1))
        return logits


def papers_backward(
    network: PapersLeNet, images: Tensor, labels: Tensor, width_mults: Sequence[float]
) -> dict[float, tuple[float, float]]:
    """Add the gradients of one pass for each width; return the loss and the accuracy (%) of each."""
    meters = {}
    for width_mult in width_mults:
        logits = network(images, width_mult)
        loss = F.cross_entropy(logits, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        meters[width_mult] = loss.item(), _accuracy(logits, labels)
    return meters


@torch.no_grad()
def papers_sweep(
    network: PapersLeNet, images: Tensor, labels: Tensor, width_mults: Sequence[float]
) -> dict[float, tuple[float, float]]:
    """Return the loss and the accuracy (%) at each width, from one pass for each."""
    meters = {}
    for width_mult in width_mults:
        logits = network(images, width_mult)
        meters[width_mult] = F.cross_entropy(logits, labels).item(), _accuracy(logits, labels)
    return meters


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return 100 * (logits.argmax(dim=1) == labels).float().mean().item()
