"""Two convolutions that keep the size, without norms, and a convolution that reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from awnlib.layers import PrefixHead, SlimmableConv2d
from awnlib.models import ModelSpec, SlimmableModel


class ConvHead(SlimmableConv2d):
    """A convolution with the same outputs at every width."""

    def prefix_outputs(self, features: Tensor, counts: Tensor) -> Tensor:
        """Return the outputs of several widths from the features at full width."""
        kept = torch.arange(features.shape[1], device=features.device) < counts[:, None]
        return torch.stack([self(features * mask[:, None, None]) for mask in kept])

    def running_outputs(self, features: Tensor, counts: Sequence[int]) -> Iterator[Tensor]:
        """Yield the outputs of rising widths."""
        for count in counts:
            yield F.conv2d(features[:, :count], self.weight[:, :count], self.bias, padding=self.padding)


class PlainFilter(SlimmableModel):
    """Images in, images of the same size out."""

    def __init__(self, spec: ModelSpec) -> None:
        channels = spec.make_channels(first=8, second=12)
        super().__init__(spec, channels)
        first, second = channels.values()
        self.conv1, self.conv2 = (
            spec.conv(spec.input_shape[0], first, 3, padding=1),
            spec.conv(first, second, 3, padding=1),
        )
        self.last = ConvHead(second, spec.num_classes, 3, padding=1)

    @property
    def head(self) -> PrefixHead:
        """The last convolution."""
        return self.last

    def features(self, images: Tensor) -> Tensor:
        """Return the last convolution's input, `[N, active, H, W]`."""
        return F.relu(self.conv2(F.relu(self.conv1(images))))


build = PlainFilter
