"""Two convolutions, nothing between them but an activation."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from awnlib.layers import SlimmableLinear
from awnlib.models import ModelSpec, SlimmableModel


class Bare(SlimmableModel):
    """A network without norms."""

    def __init__(self, spec: ModelSpec) -> None:
        channels = spec.make_channels(first=8, second=12)
        super().__init__(spec, channels)
        self.conv1 = spec.conv(spec.input_shape[0], channels["first"], 3, stride=2)
        self.conv2 = spec.conv(channels["first"], channels["second"], 3, stride=2)
        self.classifier = SlimmableLinear(channels["second"], spec.num_classes)

    def features(self, images: Tensor) -> Tensor:
        """Return the mean of each feature over the image."""
        return F.relu(self.conv2(F.relu(self.conv1(images)))).mean(dim=(2, 3))


build = Bare
