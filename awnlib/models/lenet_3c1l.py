"""LeNet-3C1L: three convolutions and one linear layer (Any-Width Networks, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from awnlib.layers import SlimmableLinear
from awnlib.models import ModelSpec, SlimmableModel

TITLE = "LeNet-3C1L"


class LeNet3C1L(SlimmableModel):
    """conv3x3-BN-ReLU, conv3x3-BN-ReLU-maxpool2, conv5x5-BN-ReLU-maxpool2, all without padding, then the classifier.

    32 channels in each convolution; `base_width_mult` sqrt(2) gives the 45 of any-width networks.

    Shapes
    ------
    input `[N, *spec.input_shape]` (28x28 or larger, say 32x32), output `[N, spec.num_classes]`
    """

    def __init__(self, spec: ModelSpec) -> None:
        channels = spec.make_channels(conv1=32, conv2=32, conv3=32)
        super().__init__(spec, channels)
        in_channels, height, width = spec.input_shape
        conv1, conv2, conv3 = channels.values()
        self.conv1, self.norm1 = spec.conv(in_channels, conv1, 3), spec.norm_layer(conv1)
        self.conv2, self.norm2 = spec.conv(conv1, conv2, 3), spec.norm_layer(conv2)
        self.conv3, self.norm3 = spec.conv(conv2, conv3, 5), spec.norm_layer(conv3)
        area = _pooled(height) * _pooled(width)
        self.classifier = SlimmableLinear(conv3, spec.num_classes, features_per_channel=area)

    def features(self, images: Tensor) -> Tensor:
        """Return the classifier's input, `[N, active * area]`, channel after channel."""
        x = F.relu(self.norm1(self.conv1(images)))
        x = F.max_pool2d(F.relu(self.norm2(self.conv2(x))), 2)
        x = F.max_pool2d(F.relu(self.norm3(self.conv3(x))), 2)
        return torch.flatten(x, 1)


def _pooled(size: int) -> int:
    """Return the side of the last feature map; raise a ValueError if nothing is left of the image."""
    result = ((size - 4) // 2 - 4) // 2
    if result < 1:
        raise ValueError(f"lenet_3c1l needs images of at least 16 pixels, found {size}")
    return result


build = LeNet3C1L
