"""Layers whose width is chosen at run time."""

from awnlib.layers.batchnorm import SharedBatchNorm2d, SwitchableBatchNorm2d
from awnlib.layers.conv import SlimmableConv2d, TriangularConv2d
from awnlib.layers.conv_head import ConvHead
from awnlib.layers.head import PrefixHead
from awnlib.layers.layernorm import SlimmableLayerNorm
from awnlib.layers.linear import SlimmableLinear, TriangularLinear
from awnlib.layers.network import SlimmableNetwork
from awnlib.layers.segments import Segments
from awnlib.layers.weight_norm import weight_norm

__all__ = [
    "ConvHead",
    "PrefixHead",
    "Segments",
    "SharedBatchNorm2d",
    "SlimmableConv2d",
    "SlimmableLayerNorm",
    "SlimmableLinear",
    "SlimmableNetwork",
    "SwitchableBatchNorm2d",
    "TriangularConv2d",
    "TriangularLinear",
    "weight_norm",
]
